"""Updates that are too large for one line: words are split, everything else is cut with a visible note. Pure."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any

from acp_agent.surfaces.acp.encode import LONGEST_LINE_OUT, encoded, notification_line

CHUNKS = frozenset({"user_message_chunk", "agent_message_chunk", "agent_thought_chunk"})
TOOL_CALLS = frozenset({"tool_call", "tool_call_update"})

_LONGEST_PIECE = 1024 * 1024
"""Characters: each is at most 6 bytes on the wire."""

_LONGEST_VALUE = 64 * 1024
"""Characters or bytes that are left of a value that had to be cut."""

_MOST_ITEMS = 32


def update_line(session_id: str, update: Mapping[str, Any]) -> bytes:
    """The notification that carries `update`, whatever its size."""
    return notification_line("session/update", {"sessionId": session_id, "update": update})


def chunk_line(session_id: str, kind: str, message_id: object, text: str) -> bytes | None:
    """The notification that carries words, as `update_line` writes it; None for what needs more care.

    Only the words differ from one to the next, and an editor waits for each.
    """
    if len(text) > _LONGEST_PIECE or not isinstance(message_id, str):
        return None
    before, after = _around(session_id, kind, message_id)
    try:
        return b"".join((before, encode_basestring(text).encode(), after))
    except UnicodeEncodeError:
        return None


@lru_cache(maxsize=64)
def _around(session_id: str, kind: str, message_id: str) -> tuple[bytes, bytes]:
    """What stands before and behind the words of a message."""
    empty = {"sessionUpdate": kind, "messageId": message_id, "content": {"type": "text", "text": ""}}
    before, _, after = update_line(session_id, empty).rpartition(b'""')
    return before, after


def update_lines(session_id: str, update: Mapping[str, Any], longest: int = LONGEST_LINE_OUT) -> list[bytes]:
    """The notifications that carry `update`, none longer than `longest` bytes (at least 8 MiB)."""
    line = update_line(session_id, update)
    if len(line) <= longest:
        return [line]
    lines = [update_line(session_id, part) for part in _parts(update)]
    if max(map(len, lines)) > longest:
        return [update_line(session_id, without_bulk(update, "too large to show"))]
    return lines


def fitting_tool_call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call whose raw values, texts and diffs are cut to 64 KiB each, with a note where that was done."""
    fitting = dict(call)
    for name in ("rawInput", "rawOutput"):
        if name in fitting:
            fitting[name] = _cut_value(fitting[name])
    if isinstance(fitting.get("title"), str):
        fitting["title"] = _cut(fitting["title"], 1024)
    if isinstance(fitting.get("content"), list):
        items = fitting["content"]
        fitting["content"] = [part for item in items[:_MOST_ITEMS] for part in _cut_item(item)]
        if len(items) > _MOST_ITEMS:
            fitting["content"].append(_note(f"{len(items) - _MOST_ITEMS} more items are not shown"))
    if isinstance(fitting.get("locations"), list):
        fitting["locations"] = fitting["locations"][:1000]
    return fitting


def without_bulk(call: Mapping[str, Any], why: str) -> dict[str, Any]:
    """A tool call's identity and status, with a note in place of its content."""
    kept = ("toolCallId", "title", "kind", "status")
    told = {name: _cut(str(call[name]), 1024) for name in kept if call.get(name) is not None}
    return {"sessionUpdate": call["sessionUpdate"], **told, "content": [_note(why)]}


def _parts(update: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    kind = update.get("sessionUpdate")
    if kind in CHUNKS:
        yield from _chunk_parts(update)
    elif kind in TOOL_CALLS:
        yield fitting_tool_call(update)
    else:
        yield _cut_deeply(update)


def _chunk_parts(update: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    content = update.get("content")
    content = content if isinstance(content, dict) else {}
    text = content.get("text")
    if content.get("type") == "text" and isinstance(text, str):
        for start in range(0, len(text), _LONGEST_PIECE):
            yield {**update, "content": {"type": "text", "text": text[start : start + _LONGEST_PIECE]}}
    else:
        what = content.get("mimeType") or content.get("type") or "content"
        note = f"[{what} of {_size(len(encoded(content)))} is too large to show]"
        yield {**update, "content": {"type": "text", "text": note}}


def _cut_value(value: Any) -> Any:
    text = value if isinstance(value, str) else encoded(value).decode()
    return value if len(text) <= _LONGEST_VALUE else _cut(text)


def _cut_item(item: Any) -> Iterator[Any]:
    if not isinstance(item, dict):
        return
    if item.get("type") == "diff":
        yield from _cut_diff(item)
        return
    content = item.get("content")
    text = content.get("text") if isinstance(content, dict) else None
    if isinstance(text, str):
        yield {"type": "content", "content": {"type": "text", "text": _cut(text)}}
    elif (size := len(encoded(item))) > _LONGEST_VALUE:
        yield _note(f"content of {_size(size)} is too large to show")
    else:
        yield item


def _cut_diff(item: dict[str, Any]) -> Iterator[Any]:
    old, new = item.get("oldText"), item.get("newText")
    longest = max(len(text) for text in (old, new, "") if isinstance(text, str))
    if longest <= _LONGEST_VALUE:
        yield item
        return
    kept = {name: text[:_LONGEST_VALUE] for name, text in (("oldText", old), ("newText", new)) if isinstance(text, str)}
    yield {**item, **kept}
    yield _note(f"the diff of {item.get('path')} shows the first {_size(_LONGEST_VALUE)} of {_size(longest)}")


def _cut_deeply(value: Any) -> Any:
    match value:
        case str():
            return _cut(value, 1024)
        case Mapping():
            return {name: _cut_deeply(inner) for name, inner in value.items()}
        case list():
            return [_cut_deeply(inner) for inner in value[:500]]
        case _:
            return value


def _cut(text: str, longest: int = _LONGEST_VALUE) -> str:
    return text if len(text) <= longest else f"{text[:longest]}\n[cut: {_size(len(text))} in all]"


def _note(text: str) -> dict[str, Any]:
    return {"type": "content", "content": {"type": "text", "text": f"[{text}]"}}


def _size(amount: int) -> str:
    return f"{amount / 1024 / 1024:.1f} MB" if amount >= 1024 * 1024 else f"{amount / 1024:.0f} KB"
