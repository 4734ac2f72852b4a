"""Lines become messages or the error they deserve."""

import json
import math
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_agent.surfaces.acp.encode import encoded, error_line, one_line
from acp_agent.surfaces.acp.framing import LineSplitter, Oversized
from acp_agent.surfaces.acp.rpc import (
    DEEPEST,
    MOST_VALUES,
    Code,
    Malformed,
    Notification,
    Request,
    Response,
    message_of,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"jsonrpc":"2.0","id":1,"method":"m"}', Request(1, "m", {})),
        (b'{"jsonrpc":"2.0","id":"1","method":"m","params":null}\r', Request("1", "m", {})),
        (b'{"jsonrpc":"2.0","id":null,"method":"m","params":{"a":1}}', Request(None, "m", {"a": 1})),
        (b'{"jsonrpc":"2.0","method":"m","params":{}}', Notification("m", {})),
        (b'{"jsonrpc":"2.0","method":"m","params":[]}', None),
        (b'{"jsonrpc":"2.0","id":3,"result":{"a":1}}', Response(3, result={"a": 1})),
        (b'{"id":3,"error":{"code":1,"message":"no"}}', Response(3, error={"code": 1, "message": "no"})),
        (b'{"id":3,"error":7}', Response(3, error={"message": "an error of no form"})),
        (b"", None),
        (b" \t\r", None),
    ],
)
def test_a_line_is_one_message(line: bytes, message: Any) -> None:
    assert message_of(line) == message


@pytest.mark.parametrize(
    ("line", "code", "message_id"),
    [
        (b"nonsense", Code.PARSE_ERROR, None),
        (b'{"jsonrpc":"2.0","id":1,"method":"m"', Code.PARSE_ERROR, None),
        (b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":NaN}}', Code.PARSE_ERROR, None),
        (b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":-Infinity}}', Code.PARSE_ERROR, None),
        (b'{"jsonrpc":"2.0","id":1,"method":"m\xff"}', Code.PARSE_ERROR, None),
        (b"[]", Code.INVALID_REQUEST, None),
        (b'[{"jsonrpc":"2.0","id":1,"method":"m"}]', Code.INVALID_REQUEST, None),
        (b"7", Code.INVALID_REQUEST, None),
        (b'"[[[[' + b"[" * 100 + b'"', Code.INVALID_REQUEST, None),
        (b"{}", Code.INVALID_REQUEST, None),
        (b'{"jsonrpc":"1.0","id":5,"method":"m"}', Code.INVALID_REQUEST, 5),
        (b'{"id":"x","method":"m"}', Code.INVALID_REQUEST, "x"),
        (b'{"jsonrpc":"2.0","id":5}', Code.INVALID_REQUEST, 5),
        (b'{"jsonrpc":"2.0","id":5,"method":7}', Code.INVALID_REQUEST, 5),
        (b'{"jsonrpc":"2.0","id":true,"method":"m"}', Code.INVALID_REQUEST, None),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"m"}', Code.INVALID_REQUEST, None),
        (b'{"jsonrpc":"2.0","id":[1],"method":"m"}', Code.INVALID_REQUEST, None),
        (b'{"jsonrpc":"2.0","id":5,"method":"m","params":[1]}', Code.INVALID_PARAMS, 5),
        (b'{"jsonrpc":"2.0","id":5,"method":"m","params":7}', Code.INVALID_PARAMS, 5),
    ],
)
def test_what_is_no_message_is_answered_with_its_error(line: bytes, code: Code, message_id: Any) -> None:
    message = message_of(line)
    assert isinstance(message, Malformed)
    assert (message.code, message.id) == (code, message_id)
    assert message.message


def nested(levels: int) -> bytes:
    inner = b"[" * (levels - 2) + b"]" * (levels - 2)
    return b'{"jsonrpc":"2.0","id":9,"method":"m","params":{"a":' + inner + b"}}"


def test_nesting_is_taken_up_to_its_limit_and_refused_beyond() -> None:
    assert isinstance(message_of(nested(DEEPEST)), Request)
    assert message_of(nested(DEEPEST + 1)) == Malformed(Code.INVALID_REQUEST, f"nested deeper than {DEEPEST} levels", 9)
    # Beyond what the parser takes, the id cannot be known.
    for levels in (500, 100_000):
        assert message_of(nested(levels)) == Malformed(Code.INVALID_REQUEST, f"nested deeper than {DEEPEST} levels")


def test_a_line_of_too_many_values_is_refused_before_it_fills_the_memory() -> None:
    line = b'{"jsonrpc":"2.0","id":9,"method":"m","params":{"a":[' + b"[]," * MOST_VALUES + b"[]]}}"
    assert message_of(line) == Malformed(Code.INVALID_REQUEST, f"more than {MOST_VALUES} values")


def test_a_text_full_of_brackets_is_no_nesting() -> None:
    text = '{[,"\\' * MOST_VALUES
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "m", "params": {"a": text}}).encode()
    assert message_of(line) == Request(1, "m", {"a": text})


@pytest.mark.parametrize(
    ("text", "understood"),
    [
        (r"\ud83d\ude00", "\U0001f600"),
        (r"a\ud83d", "a�"),
        (r"\ude00b", "�b"),
        (r"\ud83d\ud83d\ude00", "�\U0001f600"),
        (r"\ud83d\ude00\uDE00", "\U0001f600�"),
        (r"\\ud83d \ud83d", r"\ud83d �"),
        (r"\\\ud83d", "\\�"),
        (r"\ud83d\n\ude00", "�\n�"),
    ],
)
def test_half_a_surrogate_pair_becomes_the_replacement_character(text: str, understood: str) -> None:
    line = f'{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"a":"{text}"}}}}'.encode()
    assert message_of(line) == Request(1, "m", {"a": understood})


def test_meta_is_taken_apart() -> None:
    line = b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":1,"_meta":{"a":2}}}'
    assert message_of(line) == Request(1, "m", {"a": 1}, {"a": 2})
    line = b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":1,"_meta":[2]}}'
    assert message_of(line) == Request(1, "m", {"a": 1}, {})


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_an_error(line: bytes) -> None:
    message_of(line)


@given(JSON)
def test_any_value_is_a_message_or_an_error(value: Any) -> None:
    message = message_of(json.dumps(value).encode())
    assert message is not None


@given(JSON)
def test_whatever_we_say_is_one_line_of_json_in_utf8(value: Any) -> None:
    line = encoded({"value": value})
    assert b"\n" not in line
    read = json.loads(line.decode("utf-8"), parse_constant=lambda name: pytest.fail(name))
    assert read.keys() == {"value"}


def test_what_json_lacks_is_replaced() -> None:
    loop: list[Any] = []
    loop.append(loop)
    value = {
        "half \ud83d": "\ud83d",
        "pair": "\ud83d\ude00",
        "nan": math.nan,
        "infinite": -math.inf,
        3: b"bytes",
        "set": {1},
        "tuple": (1, None, True),
        "path": PurePosixPath("/x"),
        "huge": 1 << 20_000,
    }
    assert json.loads(encoded(value)) == {
        "half �": "�",
        "pair": "\U0001f600",
        "nan": None,
        "infinite": None,
        "3": "[5 bytes]",
        "set": [1],
        "tuple": [1, None, True],
        "path": "/x",
        "huge": "[integer of 20001 bits]",
    }
    assert b"nested too deep" in encoded(loop)


def test_text_is_not_escaped_beyond_need() -> None:
    assert encoded({"a": "Grüße 👋"}) == '{"a":"Grüße 👋"}'.encode()


def test_an_error_is_one_short_line() -> None:
    assert json.loads(error_line(1, Code.INTERNAL_ERROR, "what\n  now", "do\nthis")) == {
        "jsonrpc": "2.0",
        "id": 1,
        "error": {"code": -32603, "message": "what now", "data": {"details": "do this"}},
    }
    assert one_line(" \n") == "unknown error"
    assert len(one_line("x" * 10_000)) == 500


@given(st.lists(st.binary(max_size=12).filter(lambda line: b"\n" not in line)), st.data())
def test_lines_come_out_as_they_went_in_however_they_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    splitter = LineSplitter(limit=8)
    found: list[bytes | Oversized] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += splitter.feed(stream[start:end])
    assert found == [line if len(line) <= 8 else Oversized(8) for line in lines]
    assert splitter.finish() == []


def test_a_last_line_needs_no_newline() -> None:
    splitter = LineSplitter(limit=4)
    assert splitter.feed(b"a\nb") == [b"a"]
    assert splitter.finish() == [b"b"]
    assert splitter.feed(b"12345") == []
    assert splitter.finish() == [Oversized(4)]
