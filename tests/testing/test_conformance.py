"""The judge of the protocol is itself judged: a good exchange passes, each planted fault is found."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from acp_agent.testing.conformance import complaints
from acp_agent.testing.protocol_schema import ProtocolSchema
from acp_agent.testing.tap import Line

SCHEMA = ProtocolSchema(Path(__file__).resolve().parents[1] / "data" / "acp-schema-v1.json")
Message = Mapping[str, Any]
NEW = {"cwd": "/w", "mcpServers": []}
PROMPT = {"sessionId": "s1", "prompt": [{"type": "text", "text": "hi"}]}
DONE = {"stopReason": "end_turn"}


def ask(message_id: object, method: str, params: Message) -> tuple[bool, Message]:
    return True, {"jsonrpc": "2.0", "id": message_id, "method": method, "params": params}


def answer(message_id: object, **outcome: Any) -> tuple[bool, Message]:
    return False, {"jsonrpc": "2.0", "id": message_id, **outcome}


def tell(kind: str, session: str = "s1", **fields: Any) -> tuple[bool, Message]:
    params = {"sessionId": session, "update": {"sessionUpdate": kind, **fields}}
    return False, {"jsonrpc": "2.0", "method": "session/update", "params": params}


def call(method: str, params: Message) -> tuple[bool, Message]:
    return False, {"jsonrpc": "2.0", "id": 9, "method": method, "params": params}


def words(session: str = "s1", **fields: Any) -> tuple[bool, Message]:
    return tell("agent_message_chunk", session, **{"content": {"type": "text", "text": "hi"}, **fields})


def card(status: str | None = None, call_id: str = "t1") -> tuple[bool, Message]:
    return tell("tool_call_update", toolCallId=call_id, **({"status": status} if status else {}))


def permission(*kinds: str, call_id: str = "t1") -> tuple[bool, Message]:
    options = [{"optionId": kind, "name": kind, "kind": kind} for kind in kinds]
    return call(
        "session/request_permission", {"sessionId": "s1", "toolCall": {"toolCallId": call_id}, "options": options}
    )


BEGIN = [
    ask(0, "initialize", {"protocolVersion": 1}),
    answer(0, result={"protocolVersion": 1}),
    ask(1, "session/new", NEW),
    answer(1, result={"sessionId": "s1"}),
]
TURN = ask(2, "session/prompt", PROMPT)
END = answer(2, result=DONE)
CARD = tell("tool_call", toolCallId="t1", title="Edit")
ONCE = permission("allow_once", "reject_once")
YES = (True, {"jsonrpc": "2.0", "id": 9, "result": {"outcome": {"outcome": "selected", "optionId": "allow_once"}}})
LOAD = ask(3, "session/load", {"sessionId": "s1", **NEW})
LOADED = answer(3, result={})
MODE = tell("current_mode_update", currentModeId="ask")


def found(*exchange: tuple[bool, Message]) -> list[str]:
    return complaints(
        [
            Line(number, 0.0, sent, json.dumps(message).encode() + b"\n", message)
            for number, (sent, message) in enumerate(exchange)
        ],
        SCHEMA,
    )


def test_a_good_exchange_has_no_complaints() -> None:
    turn = [TURN, words(), CARD, ONCE, YES, card("in_progress"), card(), card("completed"), words(), END]
    again = [MODE, LOAD, words(), CARD, card("completed"), LOADED, MODE]
    assert found(*BEGIN, *turn, *again, ask(2, "session/prompt", PROMPT), words(), END) == []


@pytest.mark.parametrize(
    ("exchange", "complaint"),
    [
        ([words()], "outside a turn"),
        ([TURN, END, words()], "outside a turn"),
        ([LOAD, LOADED, words()], "outside a turn"),
        ([tell("current_mode_update", "s2", currentModeId="ask")], "not announced: s2"),
        ([TURN, answer(2, result={"stopReason": "tired"})], "PromptResponse"),
        ([TURN, answer(2, result={**DONE, "extra": 1})], "unknown keys ['extra']"),
        ([TURN, answer(2, result=DONE, error={"code": 1, "message": "x"})], "exactly one of"),
        ([TURN, answer(2, error={"code": -1, "message": "two\nlines"})], "the message of an error"),
        ([TURN, END, END], "not open: 2"),
        ([TURN, answer("2", result=DONE)], "not open: '2'"),
        ([TURN, words(content={"type": "words"}), END], "SessionNotification"),
        (
            [TURN, words(mood=1), END],
            "unknown keys ['mood']",
        ),
        ([TURN, tell("brand_new"), END], "SessionNotification"),
        ([TURN, card("completed"), END], "not announced before"),
        ([TURN, CARD, CARD, card("failed"), END], "announced before"),
        ([TURN, CARD, card("completed"), card("in_progress"), END], "after its end"),
        ([TURN, CARD, card("in_progress"), card("pending"), card("failed"), END], "back to pending"),
        ([TURN, CARD, END], "tool calls are open: ['t1']"),
        ([LOAD, CARD, LOADED], "tool calls are open: ['t1']"),
        ([TURN, CARD, permission("allow_once"), YES, card("failed"), END], "without a way to reject"),
        ([TURN, permission("allow_once", "reject_once"), YES, END], "was not announced"),
        ([ONCE, YES], "outside a turn"),
        ([TURN, CARD, ONCE, ONCE, YES, card("failed"), END], "twice at the same time"),
        ([TURN, call("terminal/create", {"sessionId": "s1", "command": "ls"}), END], "not offered"),
        ([call("fs/read_text_file", {"sessionId": "s1", "path": "/w/a"})], "not offered"),
        ([call("session/dance", {})], "no request of the protocol"),
        ([(False, {"jsonrpc": "1.0", "method": "session/update"})], "no JSON-RPC message"),
        ([(False, {"jsonrpc": "2.0", "id": 5, "result": {}, "mood": 1})], "unknown keys ['mood'] in a message"),
    ],
)
def test_each_broken_promise_is_found(exchange: list[tuple[bool, Message]], complaint: str) -> None:
    assert any(complaint in one for one in found(*BEGIN, *exchange)), found(*BEGIN, *exchange)


def test_what_is_no_message_is_found() -> None:
    lines = [Line(0, 0.0, False, data, None) for data in (b"Loading...\n", b"[]")]
    assert complaints(lines, SCHEMA) == [
        "line 0: no JSON-RPC message: b'Loading...\\n'",
        "line 0: the last line has no end",
        "line 0: no JSON-RPC message: b'[]'",
    ]
