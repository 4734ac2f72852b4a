"""Lines that a client may send, from well-formed to nonsense, with what each deserves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

METHODS = (
    "initialize",
    "session/new",
    "session/list",
    "session/prompt",
    "session/cancel",
    "$/cancel_request",
    "_ours/nonsense",
    "",
)
SCRAPS = ("", "s1", "/w", "text", "1", "\ud800", "\x00", "é👋", "x" * 300, "[" * 80, '"', "\\")
NAMES = ("sessionId", "cwd", "mcpServers", "prompt", "type", "text", "_meta", "requestId", "protocolVersion", "value")


def value(random: Random, depth: int = 0) -> Any:
    """Any JSON value, often one that a parameter could be."""
    kind = random.randrange(9 if depth < 5 else 6)
    match kind:
        case 0:
            return random.choice((None, True, False))
        case 1:
            return random.choice((0, -1, 1, 2**63, 10**40))
        case 2:
            return random.choice((0.5, -1e300, 1.0, float("nan"), float("inf")))
        case 3 | 4 | 5:
            return random.choice(SCRAPS)
        case 6:
            return [value(random, depth + 1) for _ in range(random.randrange(4))]
        case 7:
            return {random.choice(NAMES): value(random, depth + 1) for _ in range(random.randrange(5))}
        case _:
            return [{"type": random.choice(("text", "image", "resource", 7)), "text": value(random, depth + 1)}]


def nested(depth: int) -> Any:
    """Arrays in arrays."""
    inner: Any = 0
    for _ in range(depth):
        inner = [inner]
    return inner


def conversation(random: Random, length: int) -> Iterator[tuple[bytes, Any]]:
    """Lines without their newline, each with the id that must be answered exactly once, or False.

    Ids are distinct. The text of a prompt is never a deed of the fixture agent but `echo`.
    """
    for number in range(length):
        message_id: Any = random.choice((number, f"id {number}", -number - 1))
        kind = random.randrange(12)
        if kind == 0:
            yield random.randbytes(random.randrange(60)).replace(b"\n", b" "), False
        elif kind == 1:
            yield json.dumps(value(random)).encode(), False
        elif kind == 2:
            line = _request(message_id, random.choice(METHODS), value(random))
            cut = random.randrange(len(line))
            yield line[:cut], False
        elif kind == 3:
            message = {"jsonrpc": "2.0", "method": random.choice(METHODS), "params": value(random)}
            yield json.dumps(message, allow_nan=True).encode(), False
        elif kind == 4:
            yield json.dumps({"jsonrpc": "2.0", "id": value(random), "result": value(random)}).encode(), False
        elif kind == 5:
            params = {"a": nested(random.choice((10, 60, 61, 62, 63, 64, 150)))}
            yield _request(message_id, random.choice(METHODS), params), message_id
        elif kind < 9:
            params = {random.choice(NAMES): _plain(value(random)) for _ in range(4)}
            yield _request(message_id, random.choice(METHODS), params), message_id
        elif kind == 9:
            prompt = [{"type": "text", "text": "echo " + random.choice(SCRAPS)}]
            yield _request(message_id, "session/prompt", {"sessionId": "s1", "prompt": prompt}), message_id
        else:
            yield _request(message_id, "session/list", {"_meta": {"cwd": 7}}), message_id


def cut(random: Random, stream: bytes) -> Iterator[bytes]:
    """The stream in pieces of any size."""
    start = 0
    while start < len(stream):
        size = random.choice((1, 3, 100, 5_000, 100_000))
        yield stream[start : start + size]
        start += size


def _request(message_id: Any, method: str, params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": message_id, "method": method, "params": params}).encode()


def _plain(found: Any) -> Any:
    """`found` without what is no JSON, because such a line has no id."""
    return json.loads(json.dumps(found), parse_constant=lambda name: None)
