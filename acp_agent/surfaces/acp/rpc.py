"""Lines into messages: what a line is, or which JSON-RPC error it deserves. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from pydantic_core import from_json

from acp_agent.surfaces.acp.framing import Oversized

DEEPEST = 64
"""Levels of nesting a message may have."""

MOST_VALUES = 200_000
"""Values a message may consist of: a line of brackets would otherwise cost 25 times its size in memory."""

_TOO_DEEP = f"nested deeper than {DEEPEST} levels"

Identifier = int | str | None


class Code(IntEnum):
    """Error codes of JSON-RPC and of the protocol."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603
    REQUEST_CANCELLED = -32800
    AUTH_REQUIRED = -32000
    NOT_FOUND = -32002


@dataclass(frozen=True, slots=True)
class Request:
    """A call that must be answered exactly once. `meta` is its `_meta`, taken out of `parameters`."""

    id: Identifier
    method: str
    parameters: Mapping[str, Any]
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notification:
    """A message that is never answered."""

    method: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Response:
    """The client's answer to a request of ours. `error` is None where it has a result."""

    id: object
    result: Any = None
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line that is none of them, and the error it is answered with."""

    code: Code
    message: str
    id: Identifier = None


Incoming = Request | Notification | Response | Malformed


def message_of(line: bytes | Oversized) -> Incoming | None:
    """What `line` is; None for a blank line and for what must not be answered (a notification without an object)."""
    if isinstance(line, Oversized):
        return Malformed(Code.INVALID_REQUEST, f"line longer than {line.limit} bytes")
    if not line.strip():
        return None
    try:
        value = _decoded(line)
    except ValueError as error:
        return Malformed(Code.PARSE_ERROR, f"not JSON: {error}")
    except _Unacceptable as error:
        return Malformed(Code.INVALID_REQUEST, str(error))
    if not isinstance(value, dict):
        return Malformed(Code.INVALID_REQUEST, "a message must be an object; batches are not part of the protocol")
    # A line cannot be deeper than it has brackets; most need no closer look.
    if line.count(b"[") + line.count(b"{") > DEEPEST and _is_deeper(value, DEEPEST):
        message_id = value.get("id")
        return Malformed(Code.INVALID_REQUEST, _TOO_DEEP, message_id if _is_identifier(message_id) else None)
    return _classified(value)


class _Unacceptable(Exception):
    """JSON, but more of it than we take."""


def _classified(value: dict[str, Any]) -> Incoming | None:
    if "method" not in value and ("result" in value or "error" in value):
        return _response(value)
    message_id = value.get("id")
    if not _is_identifier(message_id):
        return Malformed(Code.INVALID_REQUEST, "id: must be a string, an integer or null")
    if value.get("jsonrpc") != "2.0":
        return Malformed(Code.INVALID_REQUEST, 'jsonrpc: must be "2.0"', message_id)
    method = value.get("method")
    if not isinstance(method, str):
        return Malformed(Code.INVALID_REQUEST, "method: must be a string", message_id)
    parameters = value.get("params")
    if parameters is None:
        parameters = {}
    is_request = "id" in value
    if not isinstance(parameters, dict):
        return Malformed(Code.INVALID_PARAMS, "params: must be an object", message_id) if is_request else None
    # Taken apart before anything reads a parameter, so that nothing in it can pass for one.
    meta = parameters.pop("_meta", None)
    if is_request:
        return Request(message_id, method, parameters, meta if isinstance(meta, dict) else {})
    return Notification(method, parameters)


def _response(value: dict[str, Any]) -> Response:
    if "error" not in value:
        return Response(value.get("id"), result=value["result"])
    error = value["error"]
    return Response(value.get("id"), error=error if isinstance(error, dict) else {"message": "an error of no form"})


def _is_identifier(value: object) -> bool:
    return value is None or isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))


def _decoded(line: bytes) -> Any:
    if _separators(line) > MOST_VALUES and _separators(_STRING.sub(b"", line)) > MOST_VALUES:
        raise _Unacceptable(f"more than {MOST_VALUES} values")
    try:
        return _parsed(line)
    except ValueError:
        if b"\\u" not in line:
            raise
        return _parsed(_without_lone_surrogates(line))


def _parsed(line: bytes) -> Any:
    try:
        return from_json(line, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        if "recursion limit" in str(error):
            raise _Unacceptable(_TOO_DEEP) from error
        raise


_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_LONE_LOW = re.compile(rb"(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_LONE_HIGH = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})")


def _separators(line: bytes) -> int:
    return line.count(b",") + line.count(b"[") + line.count(b"{")


def _without_lone_surrogates(line: bytes) -> bytes:
    """`line` with each escaped half of a surrogate pair replaced by U+FFFD.

    Editors written in JavaScript cut text in the middle of a pair and send the half; refusing the prompt helps nobody.
    """
    # An escaped backslash before `ud800` makes it plain text, so those are stepped over.
    parts = line.split(b"\\\\")
    return b"\\\\".join(_LONE_HIGH.sub(rb"\\ufffd", _LONE_LOW.sub(rb"\\ufffd", part)) for part in parts)


def _is_deeper(value: Any, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        layer = [
            inner
            for outer in layer
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not layer:
            return False
    return True
