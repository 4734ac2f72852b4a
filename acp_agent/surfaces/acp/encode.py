"""Messages into lines: compact UTF-8 JSON that every client can parse, whatever our side puts in."""

import json
import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from acp_agent.surfaces.acp.rpc import DEEPEST, Code, Identifier

LONGEST_LINE_OUT = 8 * 1024 * 1024
"""Bytes; some clients lose the session at 10 MiB."""

_plain = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_LARGEST_INTEGER_BITS = 1024


def encoded(value: Any) -> bytes:
    """`value` as JSON in UTF-8.

    What JSON or UTF-8 lacks is replaced and never an error: half a surrogate pair by U+FFFD, NaN and infinity by null,
    any other object by its text.
    """
    try:
        return _plain(value).encode()
    except (ValueError, TypeError, RecursionError):
        return _plain(_cleaned(value, DEEPEST)).encode()


def request_line(message_id: int, method: str, parameters: Mapping[str, Any]) -> bytes:
    """A request of ours."""
    return encoded({"jsonrpc": "2.0", "id": message_id, "method": method, "params": parameters})


def notification_line(method: str, parameters: Mapping[str, Any]) -> bytes:
    """A notification of ours."""
    return encoded({"jsonrpc": "2.0", "method": method, "params": parameters})


def result_line(message_id: Identifier, result: Mapping[str, Any]) -> bytes:
    """The answer to a request."""
    return encoded({"jsonrpc": "2.0", "id": message_id, "result": result})


def error_line(message_id: Identifier, code: Code | int, message: str, details: str | None = None) -> bytes:
    """The answer to a request that failed; `details` stand in `data.details`, where clients look for them."""
    error: dict[str, Any] = {"code": int(code), "message": one_line(message)}
    if details:
        error["data"] = {"details": one_line(details)}
    return encoded({"jsonrpc": "2.0", "id": message_id, "error": error})


def one_line(text: str, longest: int = 500) -> str:
    """`text` without line breaks, never empty, at most `longest` characters."""
    line = " ".join(text.split()) or "unknown error"
    return line if len(line) <= longest else line[: longest - 1] + "…"


def plain_object(value: BaseModel | Mapping[str, Any] | None) -> dict[str, Any]:
    """A result as a JSON object: a model by its wire names and without what is unset, None as `{}`."""
    if value is None:
        return {}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dict(value)


def _cleaned(value: Any, levels: int) -> Any:
    match value:
        case None | bool():
            return value
        case str():
            return _without_lone_surrogates(value)
        case int():
            bits = value.bit_length()
            return int(value) if bits <= _LARGEST_INTEGER_BITS else f"[integer of {bits} bits]"
        case float():
            return value if math.isfinite(value) else None
        case BaseModel():
            return _cleaned(plain_object(value), levels)
        case Mapping() | list() | tuple() | set() | frozenset() if levels == 0:
            return "[nested too deep]"
        case Mapping():
            return {_without_lone_surrogates(str(key)): _cleaned(inner, levels - 1) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_cleaned(inner, levels - 1) for inner in value]
        case bytes() | bytearray():
            return f"[{len(value)} bytes]"
        case _:
            return _without_lone_surrogates(str(value))


def _without_lone_surrogates(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
