"""A request as OpenAI's chat-completions wire has it, and how to ask again where a server refuses an option. Pure."""

import json
import re
from collections.abc import Mapping
from typing import Any, assert_never

from acp_agent.domain.message import (
    AssistantMessage,
    Image,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from acp_agent.domain.ports import ModelRequest
from acp_agent.domain.tool import ToolSpec

_REASONERS = re.compile(r"(o\d|gpt-[5-9])")
"""OpenAI's models that take `max_completion_tokens` only."""

_OPTIONS = {
    "response_format": ("response_format", "response format", "json_schema", "schema", "structured output"),
    "stream_options": ("stream_options",),
    "reasoning_effort": ("reasoning_effort", "reasoning effort", "reasoning.effort"),
    "max_completion_tokens": ("max_completion_tokens",),
    "max_tokens": ("max_tokens",),
}
"""What a request may carry that some servers refuse, and the words by which they do."""

_TWINS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


def body_of(
    request: ModelRequest, model: str, *, max_output: int | None, schema: bool, openai: bool = False
) -> dict[str, Any]:
    """The JSON body that streams `request` from `model`.

    `schema`: the server can hold a reply to a JSON schema. `openai`: it is OpenAI itself.
    """
    body: dict[str, Any] = {
        "model": model,
        "messages": messages_of(request.messages),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.tools:
        body["tools"] = [function_of(tool) for tool in request.tools]
    elif request.answer_schema is not None and schema:
        body["response_format"] = response_format(request.answer_schema)
    if request.effort is not None:
        body["reasoning_effort"] = request.effort
    if max_output is not None:
        body["max_completion_tokens" if openai and _REASONERS.match(model) else "max_tokens"] = max_output
    return body


def messages_of(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    """The conversation as it travels."""
    return [message_of(message) for message in messages]


def message_of(message: Message) -> dict[str, Any]:
    """One message as it travels; reasoning stays here."""
    match message:
        case UserMessage(images=images) if images:
            return {"role": "user", "content": [{"type": "text", "text": message.text}, *map(_picture, images)]}
        case SystemMessage() | UserMessage():
            return {"role": message.role, "content": message.text}
        case AssistantMessage(calls=()):
            return {"role": "assistant", "content": message.text}
        case AssistantMessage():
            calls = [_call_of(call) for call in message.calls]
            return {"role": "assistant", "content": message.text or None, "tool_calls": calls}
        case ToolMessage():
            return {"role": "tool", "tool_call_id": message.call_id, "content": message.text}
        case _:
            assert_never(message)


def _picture(image: Image) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:{image.mime_type};base64,{image.data}"}}


def without_images(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The conversation for a model that sees nothing; where pictures were, a note says so."""
    return tuple(
        UserMessage(text=f"{message.text}\n[{len(message.images)} images left out: this model sees none]")
        if isinstance(message, UserMessage) and message.images
        else message
        for message in messages
    )


def _call_of(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": _sendable(call.arguments)}
    return {"id": call.call_id, "type": "function", "function": function}


def _sendable(arguments: str) -> str:
    """Arguments as they were; what is no JSON object is wrapped, for servers that parse it refuse the whole request."""
    try:
        sendable = isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        sendable = False
    return arguments if sendable else json.dumps({"malformed_arguments": arguments}, ensure_ascii=False)


def function_of(tool: ToolSpec) -> dict[str, Any]:
    """A tool as the model sees it."""
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def response_format(schema: dict[str, Any]) -> dict[str, Any]:
    """The option that holds a reply to a schema; strict where the schema is closed enough for it."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": _closed(schema)}}


def _closed(schema: Any) -> bool:
    if isinstance(schema, list):
        return all(map(_closed, schema))
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, dict):
        names = set(properties) if isinstance(properties, dict) else set()
        if schema.get("additionalProperties") is not False or set(schema.get("required") or ()) != names:
            return False
    return all(map(_closed, schema.values()))


def refused_option(body: Mapping[str, Any], complaint: str, refused: frozenset[str]) -> str | None:
    """The option of `body` that a complaint about a bad request names, given those `refused` before.

    A limit of the output is never given up: once its other name was refused as well, the request fails.
    """
    words = complaint.lower()
    for option, names in _OPTIONS.items():
        if option in body and any(name in words for name in names):
            return option if _TWINS.get(option) not in refused else None
    return None


def without(body: Mapping[str, Any], refused: frozenset[str]) -> dict[str, Any]:
    """`body` without the `refused` options; a limit of the output goes by its other name."""
    changed = {name: value for name, value in body.items() if name not in refused}
    for option in refused & body.keys() & _TWINS.keys():
        changed[_TWINS[option]] = body[option]
    return changed


def encode(body: Mapping[str, Any]) -> bytes:
    """The bytes of a body; lone surrogates, which UTF-8 cannot carry, become question marks."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
