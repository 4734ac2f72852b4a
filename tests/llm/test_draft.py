"""A reply out of deltas, from servers that all do it in their own way."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_agent.domain.errors import ModelError, ModelFault
from acp_agent.domain.message import AssistantMessage, Reply, ToolCall, ToolMessage, Usage, UserMessage, Word
from acp_agent.domain.ports import ModelRequest
from acp_agent.llm.draft import Draft

ASKED = ModelRequest(model="openai/m", messages=(UserMessage(text="hi"),))


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def call(index: int | None = 0, call_id: str | None = None, name: str | None = None, arguments: Any = None) -> Any:
    return {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def reply_of(*chunks: Any, request: ModelRequest = ASKED) -> Reply:
    draft = Draft()
    for chunk in chunks:
        list(draft.add(chunk))
    return draft.reply_to(request)


def calls_of(*pieces: Any, finish: str = "tool_calls") -> list[tuple[str, str, str]]:
    reply = reply_of(*(delta(tool_calls=[piece]) for piece in pieces), delta(finish))
    assert reply.stop == "tool_calls"
    return [(made.call_id, made.name, made.arguments) for made in reply.message.calls]


READ = ("a", "read", '{"path":1}')
LIST = ("b", "list", "{}")


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        pytest.param(
            [
                call(0, "a", "read", ""),
                call(0, arguments='{"path"'),
                call(1, "b", "list", "{}"),
                call(0, arguments=":1}"),
            ],
            [READ, LIST],
            id="by index, interleaved",
        ),
        pytest.param([call(0, "a", "read", '{"path":1}'), call(1, "b", "list", "{}")], [READ, LIST], id="whole calls"),
        pytest.param([call(0, "a", "read", '{"path":1}'), call(0, "b", "list", "{}")], [READ, LIST], id="all index 0"),
        pytest.param(
            [call(None, "a", "read", '{"path":1}'), call(None, "b", "list", "{}")], [READ, LIST], id="no index"
        ),
        pytest.param(
            [call(None, "a", "read", '{"pa'), call(None, None, None, 'th":1}'), call(None, "b", "list", "{}")],
            [READ, LIST],
            id="no index, in pieces",
        ),
        pytest.param(
            [call(0, "a", "read", '{"pa'), call(0, "a", "read", 'th":1}')], [READ], id="id and name with every piece"
        ),
        pytest.param(
            [call(0, "a", "read", '{"pa'), call(0, "zz", None, 'th":1}')], [READ], id="a new id with every piece"
        ),
        pytest.param(
            [call(0, "a", "re"), call(0, None, "ad"), call(0, None, None, '{"path":1}')], [READ], id="split name"
        ),
        pytest.param([call(0, "a", "read", {"path": 1})], [("a", "read", '{"path": 1}')], id="arguments as an object"),
        pytest.param([call(0, "b", "list", ""), call(0, None, None, None)], [LIST], id="no arguments at all"),
        pytest.param([call(0, "a", "read", '{"path"')], [("a", "read", '{"path"')], id="malformed, passed on raw"),
        pytest.param(
            [call(None, None, "read", "{}"), call(None, None, "read", "{}")],
            [("call_0_0", "read", "{}"), ("call_0_1", "read", "{}")],
            id="no ids, twice the same",
        ),
        pytest.param(
            [call(0, "a", "read", "{}"), call(1, "a", "list", "{}")],
            [("a", "read", "{}"), ("a_2", "list", "{}")],
            id="the same id twice",
        ),
        pytest.param(
            [call(3, "a", "read", '{"path":1}'), call(7, "b", "list", "{}")], [READ, LIST], id="an index with gaps"
        ),
    ],
)
def test_tool_calls_are_put_together(pieces: list[Any], expected: list[tuple[str, str, str]]) -> None:
    assert calls_of(*pieces) == expected


def test_an_id_of_an_earlier_turn_is_not_used_again() -> None:
    earlier = AssistantMessage(calls=(ToolCall(call_id="call_0", name="read", arguments="{}"),))
    history = (UserMessage(text="hi"), earlier, ToolMessage(call_id="call_0", name="read", text="x"))
    request = ASKED.model_copy(update={"messages": history})
    reply = reply_of(delta("stop", tool_calls=[call(0, "call_0", "read", "{}"), call(1, None, "b")]), request=request)
    assert [made.call_id for made in reply.message.calls] == ["call_0_2", "call_1_1"]


def test_an_old_function_call_is_a_tool_call() -> None:
    reply = reply_of(delta(function_call={"name": "read", "arguments": "{"}), delta("function_call"))
    assert reply.message.calls == (ToolCall(call_id="call_0_0", name="read", arguments="{"),)
    assert reply.stop == "tool_calls"


@pytest.mark.parametrize(
    ("finish", "stop"),
    [
        ("stop", "end_turn"),
        ("eos", "end_turn"),
        (None, "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
    ],
)
def test_the_reason_to_stop_is_mapped(finish: str | None, stop: str) -> None:
    assert reply_of(delta(content="x"), delta(finish)).stop == stop


@pytest.mark.parametrize("finish", ["stop", "length", "content_filter", None])
def test_a_reply_with_calls_wants_them_made_whatever_it_says(finish: str | None) -> None:
    assert reply_of(delta(finish, tool_calls=[call(0, "a", "read", "{}")])).stop == "tool_calls"


def test_words_come_as_they_stream_and_usage_from_the_last_chunk() -> None:
    draft = Draft()
    chunks = [
        delta(role="assistant", content=""),
        delta(reasoning_content="let me "),
        delta(reasoning="see"),
        delta(content="Hel"),
        delta("stop", content="lo"),
        {
            "choices": [],
            "usage": {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
        },
    ]
    words = [word for chunk in chunks for word in draft.add(chunk)]
    assert words == [
        Word(kind="reasoning", text="let me "),
        Word(kind="reasoning", text="see"),
        Word(kind="text", text="Hel"),
        Word(kind="text", text="lo"),
    ]
    assert draft.reply_to(ASKED) == Reply(
        message=AssistantMessage(text="Hello", reasoning="let me see"),
        stop="end_turn",
        model="openai/m",
        usage=Usage(input_tokens=10, output_tokens=5, cached_tokens=4, reasoning_tokens=2),
    )


def test_no_usage_is_none() -> None:
    assert reply_of(delta("stop", content="x"), {"choices": [], "usage": None}, {"usage": {}}).usage is None


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        (7, 7),
        (7.9, 7),
        (-7, 0),
        (10**400, 10**15),
        (1e300, 10**15),
        (float("inf"), 10**15),
        (float("nan"), 0),
        (True, 0),
    ],
)
def test_a_count_that_cannot_be_is_one_that_the_record_can_hold(told: object, counted: int) -> None:
    usage = {"prompt_tokens": told, "completion_tokens": 5}
    assert reply_of(delta("stop", content="x"), {"choices": [], "usage": usage}).usage == Usage(
        input_tokens=counted, output_tokens=5
    )


def test_content_in_parts_is_text_and_thoughts() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "yes"}]
    message = reply_of(delta("stop", content=parts)).message
    assert message == AssistantMessage(text="yes", reasoning="hm")


def test_a_torn_surrogate_pair_is_joined_and_a_lone_one_replaced() -> None:
    draft = Draft()
    words = [word.text for piece in ("a\ud83d", "\ude00b", "\udc00") for word in draft.add(delta(content=piece))]
    assert words == ["a", "😀b", "�"]
    assert draft.reply_to(ASKED).message.text == "a😀b�"


@pytest.mark.parametrize("text", [None, "", " \n"])
def test_neither_text_nor_calls_is_empty(text: str | None) -> None:
    with pytest.raises(ModelError) as caught:
        reply_of(delta(reasoning_content="hm", content=text), delta("stop"))
    assert caught.value.fault is ModelFault.EMPTY


def test_a_refusal_without_words_is_a_reply() -> None:
    assert reply_of(delta("content_filter")).stop == "refusal"
    assert reply_of(delta("stop", refusal="No.")) == Reply(
        message=AssistantMessage(text="No."), stop="refusal", model="openai/m"
    )


ENVELOPE = ["choices", "delta", "message", "content", "finish_reason", "text", "thinking", "reasoning", "refusal"]
CALLS = ["tool_calls", "function_call", "function", "name", "arguments", "index", "id"]
USAGE = ["usage", "prompt_tokens", "completion_tokens", "prompt_tokens_details", "cached_tokens"]
FIELDS = ENVELOPE + CALLS + USAGE
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5),
    max_leaves=25,
)


def in_a_chunk(value: Any) -> Any:
    return {"choices": [{"delta": {"content": value, "tool_calls": [{"function": value, "index": value}]}}]}


@given(st.lists(JSON | JSON.map(in_a_chunk), max_size=4))
def test_no_json_does_more_than_fail_as_a_model_error(chunks: list[Any]) -> None:
    draft = Draft()
    try:
        for chunk in chunks:
            list(draft.add(chunk))
        draft.reply_to(ASKED)
    except ModelError as error:
        assert error.fault in (ModelFault.MALFORMED, ModelFault.EMPTY)
