"""The OpenAI chat-completions wire: a step becomes the bytes a provider would send. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from acp_agent.testing.request import Request, text_of
from acp_agent.testing.script import Step

CREATED = 1_700_000_000
CHARACTERS_PER_TOKEN = 4
DONE = b"[DONE]"
END_OF_BODY = b"0\r\n\r\n"

encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def to_bytes(text: str) -> bytes:
    """JSON text as UTF-8; lone surrogates, which UTF-8 cannot carry, as escapes."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(json.loads(text)).encode()


def frame(event: bytes) -> bytes:
    """One server-sent event as one chunk of an HTTP/1.1 body."""
    return b"%x\r\ndata: %s\n\n\r\n" % (len(event) + 8, event)


HEARTBEAT = b"e\r\n: keep-alive\n\n\r\n"
"""A comment among server-sent events, as one chunk: it says nothing and keeps the connection."""


def error_body(error: Mapping[str, Any]) -> bytes:
    """An error in OpenAI's shape, missing fields filled in."""
    filled = {"message": "injected", "type": "server_error", "param": None, "code": None, **error}
    return to_bytes(encode({"error": filled}))


def completion(request: Request, step: Step) -> bytes:
    """The body of a reply that is not streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": step.text or None}
    if step.reasoning:
        message["reasoning_content"] = step.reasoning
    if step.tools:
        message["tool_calls"] = [
            {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}
            for identifier, (name, arguments) in zip(call_ids(request, step), arguments_of(step), strict=True)
        ]
    choice = {"index": 0, "message": message, "finish_reason": _finish_reason(step)}
    body = {**_base(request, step, "chat.completion"), "choices": [choice]}
    if (usage := usage_of(request, step)) is not None:
        body["usage"] = usage
    return to_bytes(encode(body))


def stream_events(request: Request, step: Step) -> list[bytes]:
    """The payloads of the server-sent events of a streamed reply, [DONE] included."""
    base = encode(_base(request, step, "chat.completion.chunk"))[:-1]
    before, after = base + ',"choices":[{"index":0,"delta":', ',"finish_reason":null}]}'
    events = [to_bytes(before + delta + after) for delta in _deltas(request, step)]
    events.append(to_bytes(f'{before}{{}},"finish_reason":{encode(_finish_reason(step))}}}]}}'))
    if (request.body.get("stream_options") or {}).get("include_usage"):
        usage = usage_of(request, step)
        if usage is not None:
            events.append(to_bytes(f'{base},"choices":[],"usage":{encode(usage)}}}'))
    events.append(DONE)
    return events


def call_ids(request: Request, step: Step) -> list[str]:
    """`call_{turn}_{i}`; when history was compacted and the name is taken, the next turn that is free."""
    turn = request.turn
    while f"call_{turn}_0" in request.call_ids:
        turn += 1
    return [f"call_{turn}_{index}" for index in range(len(step.tools))]


def arguments_of(step: Step) -> list[tuple[str, str]]:
    """The tool calls of a step with their arguments as they travel."""
    return [(name, value if isinstance(value, str) else encode(value)) for name, value in step.tools]


def usage_of(request: Request, step: Step) -> dict[str, Any] | None:
    """The usage to report: as given, computed from lengths, or none."""
    if step.usage is None:
        return None
    usage: dict[str, Any] = _computed_usage(request, step) if step.usage == "computed" else dict(step.usage)
    counts = [usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)]
    if "total_tokens" not in usage and all(isinstance(number, int) for number in counts):
        usage["total_tokens"] = sum(counts)
    if step.cached_tokens:
        usage["prompt_tokens_details"] = {"cached_tokens": step.cached_tokens}
    return usage


def _computed_usage(request: Request, step: Step) -> dict[str, Any]:
    said = len(step.text) + len(step.reasoning) + sum(len(name) + len(text) for name, text in arguments_of(step))
    usage: dict[str, Any] = {
        "prompt_tokens": _tokens(sum(map(_length, request.messages))),
        "completion_tokens": _tokens(said),
    }
    if step.reasoning:
        usage["completion_tokens_details"] = {"reasoning_tokens": _tokens(len(step.reasoning))}
    return usage


def _length(message: Mapping[str, Any]) -> int:
    calls = message.get("tool_calls") or ()
    return len(text_of(message)) + sum(len((call.get("function") or {}).get("arguments") or "") for call in calls)


def _tokens(characters: int) -> int:
    return max(1, characters // CHARACTERS_PER_TOKEN)


def _finish_reason(step: Step) -> str:
    return step.finish_reason or ("tool_calls" if step.tools else "stop")


def _base(request: Request, step: Step, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{request.conversation}-{request.turn}",
        "object": kind,
        "created": CREATED,
        "model": step.model or request.model,
    }


def _deltas(request: Request, step: Step) -> Iterator[str]:
    yield '{"role":"assistant","content":""}'
    for piece in _pieces(step.reasoning, step.chunk):
        yield f'{{"reasoning_content":{encode(piece)}}}'
    for piece in _pieces(step.text, step.chunk):
        yield f'{{"content":{encode(piece)}}}'
    calls = [
        _call_deltas(index, identifier, name, _pieces(arguments, step.chunk))
        for index, (identifier, (name, arguments)) in enumerate(
            zip(call_ids(request, step), arguments_of(step), strict=True)
        )
    ]
    rounds = zip_longest(*calls) if step.interleave else calls
    for deltas in rounds:
        for delta in deltas:
            if delta is not None:
                yield f'{{"tool_calls":[{delta}]}}'


def _call_deltas(index: int, identifier: str, name: str, pieces: Sequence[str]) -> list[str]:
    function = {"name": name, "arguments": ""}
    opening = encode({"index": index, "id": identifier, "type": "function", "function": function})
    return [opening, *(f'{{"index":{index},"function":{{"arguments":{encode(piece)}}}}}' for piece in pieces)]


def _pieces(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]
