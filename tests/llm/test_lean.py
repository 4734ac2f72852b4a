"""The lean adapter against a scripted server over real HTTP."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_agent.domain.errors import ModelError, ModelFault
from acp_agent.domain.message import AssistantMessage, Reply, ToolCall, Usage, Word
from acp_agent.domain.ports import ModelRequest
from acp_agent.domain.tool import Risk, ToolSpec
from acp_agent.llm import lean
from acp_agent.llm.gateway import Gateway
from acp_agent.llm.provider import Provider
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.script import Step

KEY = "sk-test-1234567890"
READ = ToolSpec(name="read_file", description="Read.", parameters={"type": "object"}, risk=Risk.READ)
CALLS = (("read_file", {"path": "a.py"}), ("read_file", {"path": "größe.py"}), ("list", "{broken"))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
"""Any value, halves of surrogate pairs, NaN and numbers of any size among them."""

RequestOf = Callable[..., ModelRequest]
GatewayOf = Callable[..., Gateway]
RawServer = Callable[..., str]


async def reply_of(gateway: Gateway, request: ModelRequest) -> tuple[Reply, list[Word]]:
    words: list[Word] = []
    return await gateway.reply(request, words.append), words


async def error_of(gateway: Gateway, request: ModelRequest) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await gateway.reply(request, lambda word: None)
    assert KEY not in str(caught.value)
    return caught.value


def sse(*chunks: Any) -> bytes:
    texts = (chunk if isinstance(chunk, str) else json.dumps(chunk) for chunk in chunks)
    return "".join(f"data: {text}\n\n" for text in texts).encode()


def said(text: str, finish: str | None = None) -> Mapping[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}


async def test_a_reply_streams_with_reasoning_and_usage(request_of: RequestOf, gateway_of: GatewayOf) -> None:
    step = Step(
        text="Hello, 😀 world, how are you?",
        reasoning="They say hi.",
        usage={"prompt_tokens": 12, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 3}},
        chunk=5,
    )
    with ModelServer([step]) as server:
        reply, words = await reply_of(gateway_of(server.url), request_of())
        (request,) = server.requests
    assert reply == Reply(
        message=AssistantMessage(text=step.text, reasoning=step.reasoning),
        stop="end_turn",
        model="openai/test-model",
        usage=Usage(input_tokens=12, output_tokens=9, reasoning_tokens=3),
    )
    assert "".join(word.text for word in words if word.kind == "text") == step.text
    assert "".join(word.text for word in words if word.kind == "reasoning") == step.reasoning
    assert len(words) > 5
    assert request.api_key == KEY
    assert request.body == {
        "model": "test-model",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize("interleave", [False, True])
async def test_parallel_calls_arrive_whole_and_malformed_ones_raw(
    request_of: RequestOf, gateway_of: GatewayOf, interleave: bool
) -> None:
    with ModelServer([Step(text="Reading.", tools=CALLS, chunk=3, interleave=interleave)]) as server:
        reply, _ = await reply_of(gateway_of(server.url), request_of(tools=(READ,)))
    assert reply.stop == "tool_calls"
    assert reply.message == AssistantMessage(
        text="Reading.",
        calls=(
            ToolCall(call_id="call_0_0", name="read_file", arguments='{"path":"a.py"}'),
            ToolCall(call_id="call_0_1", name="read_file", arguments='{"path":"größe.py"}'),
            ToolCall(call_id="call_0_2", name="list", arguments="{broken"),
        ),
    )


async def test_a_server_without_usage_gives_none(request_of: RequestOf, gateway_of: GatewayOf) -> None:
    with ModelServer([Step(text="x", usage=None)]) as server:
        reply, _ = await reply_of(gateway_of(server.url), request_of())
    assert reply.usage is None


async def test_one_connection_serves_one_call_after_the_other(request_of: RequestOf) -> None:
    adapter, connections = lean.LeanAdapter(), []
    with ModelServer([Step(text="x")] * 3) as server:
        provider = Provider(name="openai", base_url=server.url)
        for _ in range(3):
            await adapter.reply(provider, "m", request_of(), lambda word: None)
            connections += adapter._client(server.url)._transport._pool.connections  # type: ignore[attr-defined]
        await adapter.aclose()
    assert connections == [connections[0]] * 3


FULL = 7  # role, three of text, finish, usage, [DONE]


@pytest.mark.parametrize("cut_after", range(FULL + 1))
async def test_a_stream_cut_before_its_end_is_cut_and_after_it_a_reply(
    request_of: RequestOf, gateway_of: GatewayOf, cut_after: int
) -> None:
    finished = 5
    with ModelServer([Step(text="x" * 48, cut_after=cut_after)]) as server:
        gateway = gateway_of(server.url)
        if cut_after >= finished:
            reply, _ = await reply_of(gateway, request_of())
            assert reply.message.text == "x" * 48
            assert (reply.usage is not None) == (cut_after > finished)
        else:
            error = await error_of(gateway, request_of())
            assert error.fault in ((ModelFault.CUT,) if cut_after else (ModelFault.CUT, ModelFault.NETWORK))


@pytest.mark.parametrize("cut_after", range(1, 6))
async def test_calls_that_were_cut_are_no_calls(request_of: RequestOf, gateway_of: GatewayOf, cut_after: int) -> None:
    with ModelServer([Step(tools=CALLS[:1], chunk=5, cut_after=cut_after)]) as server:
        assert (await error_of(gateway_of(server.url), request_of())).fault is ModelFault.CUT


@pytest.mark.parametrize("garbage_at", range(5))
async def test_a_broken_chunk_is_malformed(request_of: RequestOf, gateway_of: GatewayOf, garbage_at: int) -> None:
    with ModelServer([Step(text="x" * 48, garbage_at=garbage_at)]) as server:
        assert (await error_of(gateway_of(server.url), request_of())).fault is ModelFault.MALFORMED


@pytest.mark.parametrize("step", [Step(text="x" * 48, stall_at=0), Step(text="x" * 48, stall_at=3), Step(delay=3600.0)])
async def test_silence_is_a_timeout(request_of: RequestOf, gateway_of: GatewayOf, step: Step) -> None:
    with ModelServer([step]) as server:
        error = await error_of(gateway_of(server.url), request_of(timeout=0.2))
    assert error.fault is ModelFault.TIMEOUT


async def test_a_slow_stream_is_not_silent(request_of: RequestOf, gateway_of: GatewayOf) -> None:
    # As a whole it takes longer than it may be silent; each gap is far shorter.
    with ModelServer([Step(text="x" * 160, chunk=8, gap=0.1)]) as server:
        reply, _ = await reply_of(gateway_of(server.url), request_of(timeout=1.5))
    assert len(reply.message.text) == 160


async def test_silence_after_the_reply_is_complete_does_not_lose_it(
    request_of: RequestOf, gateway_of: GatewayOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lean, "AFTER_FINISH", 0.1)
    with ModelServer([Step(text="x" * 48, stall_at=5)]) as server:
        reply, _ = await reply_of(gateway_of(server.url), request_of())
    assert (reply.message.text, reply.usage) == ("x" * 48, None)


async def test_a_caller_that_leaves_hangs_up(request_of: RequestOf, gateway_of: GatewayOf) -> None:
    with ModelServer([Step(text="x" * 48, stall_at=2), Step(text="y")]) as server:
        gateway = gateway_of(server.url, max_concurrent=1)
        heard: list[Word] = []
        async with anyio.create_task_group() as tasks:

            def on_word(word: Word) -> None:
                heard.append(word)
                tasks.cancel_scope.cancel()

            tasks.start_soon(gateway.reply, request_of(), on_word)
        await anyio.to_thread.run_sync(server.wait_for_hang_ups, 1)
        reply, _ = await reply_of(gateway, request_of())
    assert (len(heard), reply.message.text) == (1, "y")


@pytest.mark.parametrize(
    ("status", "error", "headers", "expected"),
    [
        (429, {"code": "rate_limit_exceeded"}, {"Retry-After": "7"}, (ModelFault.RATE_LIMIT, 7.0, 429)),
        (429, {"code": "rate_limit_exceeded"}, {"retry-after-ms": "250"}, (ModelFault.RATE_LIMIT, 0.25, 429)),
        (429, {"code": "insufficient_quota"}, {}, (ModelFault.QUOTA, None, 429)),
        (402, {}, {}, (ModelFault.QUOTA, None, 402)),
        (401, {"message": f"bad key {KEY}"}, {}, (ModelFault.AUTH, None, 401)),
        (404, {}, {}, (ModelFault.NOT_FOUND, None, 404)),
        (529, {}, {}, (ModelFault.OVERLOADED, None, 529)),
        (500, {}, {}, (ModelFault.SERVER, None, 500)),
        (400, {"code": "context_length_exceeded"}, {}, (ModelFault.CONTEXT_LENGTH, None, 400)),
        (400, {"message": "prompt is too long: 9 > 8"}, {}, (ModelFault.CONTEXT_LENGTH, None, 400)),
    ],
)
async def test_an_error_is_classified(
    request_of: RequestOf,
    gateway_of: GatewayOf,
    status: int,
    error: Mapping[str, Any],
    headers: Mapping[str, str],
    expected: tuple[ModelFault, float | None, int],
) -> None:
    with ModelServer([Step(status=status, error=error, headers=headers)]) as server:
        caught = await error_of(gateway_of(server.url), request_of())
        assert len(server.requests) == 1
    assert (caught.fault, caught.retry_after, caught.status) == expected


async def test_an_error_within_the_stream_is_classified(request_of: RequestOf, gateway_of: GatewayOf) -> None:
    error = {"message": "Overloaded", "type": "overloaded_error"}
    with ModelServer([Step(text="x" * 48, error_at=2, error=error)]) as server:
        caught = await error_of(gateway_of(server.url), request_of())
    assert (caught.fault, caught.message) == (ModelFault.OVERLOADED, "Overloaded")


async def test_a_reply_without_words_is_empty(request_of: RequestOf, gateway_of: GatewayOf) -> None:
    with ModelServer([Step(reasoning="hm")]) as server:
        assert (await error_of(gateway_of(server.url), request_of())).fault is ModelFault.EMPTY


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "http://no-such-host.invalid/v1"])
async def test_a_server_that_is_not_there_is_a_network_fault(
    request_of: RequestOf, gateway_of: GatewayOf, url: str
) -> None:
    error = await error_of(gateway_of(url), request_of())
    assert error.fault is ModelFault.NETWORK
    assert f"cannot connect to {url}/chat/completions" in error.message


@pytest.mark.parametrize("url", ["not a url", "ftp://127.0.0.1/v1", "http://[::1"])
async def test_an_address_that_is_none_is_a_bad_request(request_of: RequestOf, gateway_of: GatewayOf, url: str) -> None:
    assert (await error_of(gateway_of(url), request_of())).fault is ModelFault.BAD_REQUEST


async def test_a_server_that_hangs_up_is_a_network_fault(request_of: RequestOf, gateway_of: GatewayOf) -> None:
    with ModelServer([Step(hang_up=True)]) as server:
        assert (await error_of(gateway_of(server.url), request_of())).fault is ModelFault.NETWORK


async def test_a_key_that_no_header_can_carry_is_not_shown(request_of: RequestOf, gateway_of: GatewayOf) -> None:
    error = await error_of(gateway_of("http://127.0.0.1:9/v1", keys=("geheim-ü-schlüssel",)), request_of())
    assert (error.fault, "geheim" in error.message) == (ModelFault.AUTH, False)


async def test_white_space_around_a_key_is_no_part_of_it(request_of: RequestOf, gateway_of: GatewayOf) -> None:
    with ModelServer([Step(text="x")], api_key="k-12345678") as server:
        reply, _ = await reply_of(gateway_of(server.url, keys=(" k-12345678\n",)), request_of())
    assert reply.message.text == "x"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(sse(said("x"), said("", "stop")), "x", id="no [DONE]"),
        pytest.param(sse(said("x"), "[DONE]"), "x", id="no reason"),
        pytest.param(sse(said("x", "stop"))[:-2], "x", id="no blank line at the end"),
        pytest.param(sse(said("x"), said(" and more", "stop"))[:-20], ModelFault.CUT, id="ends within a chunk"),
        pytest.param(sse(said("x")), ModelFault.CUT, id="ends too early"),
        pytest.param(b"", ModelFault.CUT, id="nothing"),
        pytest.param(sse("[DONE]"), ModelFault.EMPTY, id="done at once"),
        pytest.param(sse("[1, 2]"), ModelFault.MALFORMED, id="no object"),
        pytest.param(b"event: error\ndata: {}\n\n", ModelFault.SERVER, id="an event named error"),
        pytest.param(
            b'{"choices":[{"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}]}', "x", id="plain JSON"
        ),
        pytest.param(b'{"choices":[{"mess', ModelFault.MALFORMED, id="plain JSON, cut"),
        pytest.param(b'{"error":{"message":"slow down","code":429}}', ModelFault.RATE_LIMIT, id="an error with 200"),
        pytest.param(b"<html><title>Welcome</title></html>", ModelFault.NOT_FOUND, id="a web page"),
        pytest.param(sse(*[said("x")] * 3, said("", "stop"), said("y"), "[DONE]"), "xxxy", id="words after the reason"),
    ],
)
async def test_what_servers_really_send(
    request_of: RequestOf, gateway_of: GatewayOf, raw_server: RawServer, body: bytes, expected: str | ModelFault
) -> None:
    gateway = gateway_of(raw_server(body))
    if isinstance(expected, ModelFault):
        assert (await error_of(gateway, request_of())).fault is expected
    else:
        assert (await reply_of(gateway, request_of()))[0].message.text == expected


def refusing(*options: str) -> Callable[[Any], Step]:
    def answer(request: Any) -> Step:
        for option in options:
            if option in request.body:
                return Step(status=400, error={"message": f"Unsupported parameter: '{option}'", "type": "bad"})
        return Step(text="{}")

    return answer


@pytest.mark.parametrize(
    ("refused", "sent"),
    [
        ([], ["max_tokens", "response_format", "stream_options"]),
        (["response_format"], ["max_tokens", "stream_options"]),
        (["stream_options", "max_tokens"], ["max_completion_tokens", "response_format"]),
    ],
)
async def test_options_a_server_refuses_are_left_out_from_then_on(
    request_of: RequestOf, gateway_of: GatewayOf, refused: Sequence[str], sent: list[str]
) -> None:
    request = request_of(answer_schema={"type": "object"}, max_output=9)
    with ModelServer(refusing(*refused)) as server:
        gateway = gateway_of(server.url)
        for _ in range(2):
            await reply_of(gateway, request)
        assert len(server.requests) == len(refused) + 2
        last = server.requests[-1].body
    assert sorted(last.keys() - {"model", "messages", "stream"}) == sent


async def test_a_limit_no_name_of_which_is_taken_fails(request_of: RequestOf, gateway_of: GatewayOf) -> None:
    with ModelServer(refusing("max_tokens", "max_completion_tokens")) as server:
        error = await error_of(gateway_of(server.url), request_of(max_output=9))
    assert error.fault is ModelFault.BAD_REQUEST


@given(JSON, st.booleans())
def test_a_chunk_is_read_as_the_standard_library_reads_it(value: Any, escaped: bool) -> None:
    text = json.dumps(value, ensure_ascii=escaped)
    assert repr(lean.parsed(text)) == repr(json.loads(text))


@given(st.text(alphabet='{}[]":,0123456789.eE+-truefalsn\\u d', max_size=24))
def test_what_is_no_json_is_refused_as_the_standard_library_refuses_it(text: str) -> None:
    try:
        expected = repr(json.loads(text))
    except ValueError:
        with pytest.raises(ValueError):
            lean.parsed(text)
    else:
        assert repr(lean.parsed(text)) == expected


def test_chunks_nested_deeply_and_names_said_twice_are_read_alike() -> None:
    deep = "[" * 500 + "]" * 500
    assert lean.parsed(deep) == json.loads(deep)
    with pytest.raises(RecursionError):
        lean.parsed("[" * 100_000)
    assert lean.parsed('{"a": 1, "a": 2}') == {"a": 2}
