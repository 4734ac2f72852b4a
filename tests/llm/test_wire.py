"""Requests as they travel."""

import json

import pytest

from acp_agent.domain.message import AssistantMessage, SystemMessage, ToolCall, ToolMessage, UserMessage
from acp_agent.domain.ports import ModelRequest
from acp_agent.domain.tool import Risk, ToolSpec
from acp_agent.llm.wire import body_of, encode, refused_option, response_format, without

READ = ToolSpec(name="read", description="Read.", parameters={"type": "object"}, risk=Risk.READ)
MESSAGES = (
    SystemMessage(text="be good"),
    UserMessage(text="hi"),
    AssistantMessage(
        reasoning="hm",
        calls=(
            ToolCall(call_id="a", name="read", arguments='{"path":"x"}'),
            ToolCall(call_id="b", name="read", arguments='{"path'),
            ToolCall(call_id="c", name="read", arguments="[1]"),
        ),
    ),
    ToolMessage(call_id="a", name="read", text="ok"),
    AssistantMessage(text="done"),
)
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


def asked(**fields: object) -> ModelRequest:
    return ModelRequest.model_validate({"model": "openai/m", "messages": MESSAGES, **fields})


def test_a_conversation_with_tools_as_it_travels() -> None:
    assert body_of(asked(tools=(READ,)), "m", max_output=None, schema=True) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "be good"},
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "read", "arguments": '{"path":"x"}'}},
                    {
                        "id": "b",
                        "type": "function",
                        "function": {"name": "read", "arguments": '{"malformed_arguments": "{\\"path"}'},
                    },
                    {
                        "id": "c",
                        "type": "function",
                        "function": {"name": "read", "arguments": '{"malformed_arguments": "[1]"}'},
                    },
                ],
            },
            {"role": "tool", "tool_call_id": "a", "content": "ok"},
            {"role": "assistant", "content": "done"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": [
            {"type": "function", "function": {"name": "read", "description": "Read.", "parameters": {"type": "object"}}}
        ],
    }


@pytest.mark.parametrize(
    ("model", "openai", "name"),
    [
        ("gpt-5-mini", True, "max_completion_tokens"),
        ("o3", True, "max_completion_tokens"),
        ("gpt-6-sol", True, "max_completion_tokens"),
        ("gpt-4o", True, "max_tokens"),
        ("gpt-5-mini", False, "max_tokens"),
    ],
)
def test_the_limit_of_the_output_has_the_name_its_server_takes(model: str, openai: bool, name: str) -> None:
    body = body_of(asked(), model, max_output=7, schema=True, openai=openai)
    assert {key: value for key, value in body.items() if key.startswith("max")} == {name: 7}


def test_a_schema_is_asked_for_only_without_tools_and_where_it_can_be_held() -> None:
    wanted = asked(answer_schema=SCHEMA)
    assert body_of(wanted, "m", max_output=None, schema=True)["response_format"] == response_format(SCHEMA)
    assert "response_format" not in body_of(wanted, "m", max_output=None, schema=False)
    offered = asked(answer_schema=SCHEMA, tools=(READ,))
    assert "response_format" not in body_of(offered, "m", max_output=None, schema=True)


def test_a_schema_is_strict_only_when_every_object_in_it_is_closed() -> None:
    open_inside = {**SCHEMA, "properties": {"n": {"type": "object", "properties": {"x": {}}}}}
    assert response_format(SCHEMA)["json_schema"]["strict"] is True
    assert response_format(open_inside)["json_schema"]["strict"] is False
    assert response_format({"anyOf": [SCHEMA, {"type": "object"}]})["json_schema"]["strict"] is False


def test_a_refused_option_is_named_and_left_out() -> None:
    body = {"model": "m", "max_tokens": 5, "stream_options": {}, "response_format": {}}
    none: frozenset[str] = frozenset()
    assert refused_option(body, "Unknown parameter: stream_options", none) == "stream_options"
    assert refused_option(body, "json_schema is not supported", none) == "response_format"
    assert refused_option(body, "messages must not be empty", none) is None
    complaint = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    assert refused_option(body, complaint, none) == "max_tokens"
    assert without(body, frozenset({"max_tokens", "response_format"})) == {
        "model": "m",
        "stream_options": {},
        "max_completion_tokens": 5,
    }


def test_a_limit_of_the_output_is_never_given_up() -> None:
    assert refused_option({"max_completion_tokens": 5}, "max_completion_tokens: no", frozenset({"max_tokens"})) is None


def test_text_that_utf8_cannot_carry_is_sent_all_the_same() -> None:
    assert json.loads(encode({"content": "ü\ud800"})) == {"content": "ü?"}
