"""What an agent promises about the order and the form of what it sends, checked over the record of a connection.

One pass over the lines, no knowledge of the agent: every answer fits its question and the schema, a session is told
nothing before it is announced and nothing of a turn after the turn's answer, a tool call is announced once, only moves
forward and is never left open, and a client is asked for nothing it did not offer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from acp_agent.testing.protocol_schema import JSON_RPC, ProtocolSchema
from acp_agent.testing.tap import Line

LONGEST_LINE_OUT = 8 * 1024 * 1024
OF_A_TURN = frozenset(
    {
        "user_message_chunk",
        "agent_message_chunk",
        "agent_thought_chunk",
        "tool_call",
        "tool_call_update",
        "plan",
        "usage_update",
    }
)
"""Updates that belong to a turn or to a replay; the others may come at any time."""
STATUSES = ("pending", "in_progress", "completed", "failed")
ANNOUNCE = ("session/new", "session/load", "session/resume", "session/fork")


@dataclass(slots=True)
class _Session:
    """What the editor knows of a session."""

    announced: bool = False
    loading: bool = False
    turn: Any = None
    statuses: dict[str, str] = field(default_factory=dict)


def complaints(lines: Iterable[Line], schema: ProtocolSchema) -> list[str]:
    """Every promise that the agent broke, with the number of the line; empty for a conforming agent."""
    return list(_Reader(schema).read(lines))


class _Reader:
    def __init__(self, schema: ProtocolSchema) -> None:
        self._schema = schema
        self._asked: dict[Any, Mapping[str, Any]] = {}
        self._asked_back: set[Any] = set()
        self._sessions: dict[str, _Session] = {}
        self._capabilities: Mapping[str, Any] = {}

    def read(self, lines: Iterable[Line]) -> Iterator[str]:
        for line in lines:
            found = self._sent(line.message) if line.sent else self._received(line)
            yield from (f"line {line.number}: {what}" for what in found)

    # --- what the editor said

    def _sent(self, message: Any) -> Iterator[str]:
        # Nothing of the editor's is judged, but the agent's promises depend on it.
        if not isinstance(message, dict):
            return
        if "method" not in message:
            self._asked_back.discard(_key(message.get("id")))
            return
        params = message.get("params")
        if "id" in message and isinstance(params, dict):
            self._asked[_key(message["id"])] = message
            self._begin(message, params)
        yield from ()

    def _begin(self, message: Mapping[str, Any], params: Mapping[str, Any]) -> None:
        method, session_id = message["method"], params.get("sessionId")
        if method == "initialize":
            self._capabilities = params.get("clientCapabilities") or {}
        elif isinstance(session_id, str) and method in ("session/load", "session/prompt"):
            session = self._sessions.setdefault(session_id, _Session())
            if method == "session/load":
                session.loading = True
                session.statuses = {}
            elif session.turn is None:
                session.turn = _key(message["id"])

    # --- what the agent said

    def _received(self, line: Line) -> Iterator[str]:
        if not line.data.endswith(b"\n"):
            yield "the last line has no end"
        if len(line.data) > LONGEST_LINE_OUT:
            yield f"a line of {len(line.data)} bytes"
        message = line.message
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            yield f"no JSON-RPC message: {line.data[:200]!r}"
            return
        if unknown := set(message) - JSON_RPC:
            yield f"unknown keys {sorted(unknown)} in a message"
        if "method" not in message:
            yield from self._answered(message)
        elif "id" in message:
            yield from self._asks(message)
        else:
            yield from self._tells(message)

    def _answered(self, message: Mapping[str, Any]) -> Iterator[str]:
        if ("result" in message) == ("error" in message):
            yield "an answer needs exactly one of result and error"
            return
        question = self._asked.pop(_key(message.get("id")), None)
        if "error" in message:
            if problem := self._schema.error_problem(message["error"]):
                yield problem
            # What is no request at all is refused by the id it carries, if any.
            if question is None and message.get("id") is not None and message["error"].get("code") != -32600:
                yield f"an error for a question that is not open: {message.get('id')!r}"
        elif question is None:
            yield f"an answer to a question that is not open: {message.get('id')!r}"
            return
        elif problem := self._schema.problem(question["method"], "Response", message["result"]):
            yield problem
        if question is not None:
            yield from self._ends(question, message)

    def _ends(self, question: Mapping[str, Any], message: Mapping[str, Any]) -> Iterator[str]:
        method, params = question["method"], question["params"]
        result = message.get("result") or {}
        session = self._sessions.setdefault(str(result.get("sessionId") or params.get("sessionId")), _Session())
        if method in ANNOUNCE:
            session.announced = session.announced or "result" in message
            session.loading = False
        if method == "session/prompt" and session.turn == _key(question["id"]):
            session.turn = None
        elif method != "session/load":
            return
        left = [call for call, status in session.statuses.items() if status in STATUSES[:2]]
        # With an error the client knows that nothing more will come.
        if left and "result" in message:
            yield f"{method} was answered while tool calls are open: {left}"

    def _asks(self, message: Mapping[str, Any]) -> Iterator[str]:
        method, params = message["method"], message.get("params")
        if _key(message["id"]) in self._asked_back:
            yield f"the id {message['id']!r} is used twice at the same time"
        self._asked_back.add(_key(message["id"]))
        if problem := self._schema.problem(method, "Request", params):
            yield problem
        if not self._offered(method):
            yield f"{method} was not offered by the client"
        if method == "session/request_permission" and isinstance(params, dict):
            yield from self._permission(params)

    def _permission(self, params: Mapping[str, Any]) -> Iterator[str]:
        session = self._sessions.setdefault(params["sessionId"], _Session())
        if session.turn is None:
            yield "permission is asked outside a turn"
        if params["toolCall"]["toolCallId"] not in session.statuses:
            yield "permission is asked for a tool call that was not announced"
        if not any(option["kind"].startswith("reject") for option in params["options"]):
            yield "permission is asked without a way to reject"

    def _offered(self, method: str) -> bool:
        files = self._capabilities.get("fs") or {}
        if method == "fs/read_text_file":
            return bool(files.get("readTextFile"))
        if method == "fs/write_text_file":
            return bool(files.get("writeTextFile"))
        if method.startswith("terminal/"):
            return bool(self._capabilities.get("terminal"))
        return not method.startswith("elicitation/") or bool(self._capabilities.get("elicitation"))

    def _tells(self, message: Mapping[str, Any]) -> Iterator[str]:
        method, params = message["method"], message.get("params")
        if method == "$/cancel_request":
            return
        if problem := self._schema.problem(method, "Notification", params):
            yield problem
        elif method == "session/update" and isinstance(params, dict):
            yield from self._updates(params["sessionId"], params["update"])

    def _updates(self, session_id: str, update: Mapping[str, Any]) -> Iterator[str]:
        kind = update["sessionUpdate"]
        session = self._sessions.setdefault(session_id, _Session())
        if not session.announced and not session.loading:
            yield f"{kind} for a session that was not announced: {session_id}"
        elif kind in OF_A_TURN and session.turn is None and not session.loading:
            yield f"{kind} outside a turn"
        if kind in ("tool_call", "tool_call_update"):
            yield from self._card(session, kind, update)

    def _card(self, session: _Session, kind: str, update: Mapping[str, Any]) -> Iterator[str]:
        call_id, before = update["toolCallId"], session.statuses.get(update["toolCallId"])
        status = update.get("status") or before or "pending"
        if (before is None) != (kind == "tool_call"):
            yield f"{kind} for the tool call {call_id}, which was {'' if before else 'not '}announced before"
        elif before in STATUSES[2:]:
            yield f"an update of the tool call {call_id} after its end"
        elif before is not None and STATUSES.index(status) < STATUSES.index(before):
            yield f"the tool call {call_id} went from {before} back to {status}"
        session.statuses[call_id] = status


def _key(message_id: Any) -> tuple[str, Any]:
    # 1, True and "1" are different ids.
    return type(message_id).__name__, message_id
