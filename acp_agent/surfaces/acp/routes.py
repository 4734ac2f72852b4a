"""Which stream of the HTTP transport a message belongs to: that of a session, or that of the connection. Pure.

What the protocol's proposal says: answers to calls within a session, updates and questions go to the session's stream;
answers that announce a session, and all that names none, go to the connection's. It leaves open in which order two
streams are read, so what belongs together may not be split: a session that is loaded before its stream is read stays
with the connection's stream, and moves to its own when the client cannot have anything left to read of it there.
"""

from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json

from acp_agent.surfaces.acp.rpc import Identifier, Notification, Request, Response

WITHIN = frozenset(
    {"session/prompt", "session/cancel", "session/set_mode", "session/set_config_option", "session/close"}
)
"""Methods that need the header Acp-Session-Id, and whose answers go to the session's stream."""
OPENING = frozenset({"session/load", "session/resume"})
_MAKING = frozenset({"session/new", "session/fork"})
_BESIDE = frozenset({"available_commands_update", "session_info_update"})


@dataclass(frozen=True, slots=True)
class Route:
    """The session whose stream a message goes to, None for the connection's; `makes` is a session that it announces."""

    session_id: str | None
    makes: str | None = None


@dataclass(slots=True)
class Routes:
    """Follows one connection. `known` are the sessions that it has opened, or is opening."""

    known: set[str] = field(default_factory=set)
    _calls: dict[tuple[str, Identifier], tuple[str, str | None]] = field(default_factory=dict)
    _questions: dict[int, str] = field(default_factory=dict)
    _stays: dict[str, bool] = field(default_factory=dict)
    """Sessions that stay with the connection's stream: whether something was said since the last answer about them."""

    def heard(self, message: Request | Notification | Response, is_read: bool) -> None:
        """The client says `message`; `is_read` whether the stream of the session that it names is read."""
        if isinstance(message, Response):
            if isinstance(message.id, int):
                self._questions.pop(message.id, None)
            return
        session_id = session_of(message)
        if session_id is not None:
            if message.method in OPENING:
                self.known.add(session_id)
            if message.method in OPENING and not is_read:
                self._stays[session_id] = True
            elif message.method in WITHIN and is_read and not self._stays.get(session_id, True):
                # Whoever asks within a session has read the answer that opened it.
                del self._stays[session_id]
        if isinstance(message, Request):
            self._calls.setdefault(_key(message.id), (message.method, session_id))

    def of(self, line: bytes) -> Route:
        """Where a message of ours goes; each is asked about once, in the order of sending."""
        message: dict[str, Any] = from_json(line)
        method = message.get("method")
        if method is None:
            return self._of_answer(message)
        parameters = message["params"]
        if method == "$/cancel_request":
            return self._to(self._questions.get(parameters["requestId"]))
        session_id: str | None = parameters.get("sessionId")
        if "id" in message and session_id is not None:
            self._questions[message["id"]] = session_id
        if session_id in self._stays and not _may_come_late(parameters):
            self._stays[session_id] = True
        return self._to(session_id)

    def _of_answer(self, message: dict[str, Any]) -> Route:
        method, session_id = self._calls.pop(_key(message["id"]), ("", None))
        result = message.get("result")
        if method in _MAKING and result is not None:
            self.known.add(result["sessionId"])
            return Route(None, makes=result["sessionId"])
        if session_id is None or method not in WITHIN | OPENING:
            return Route(None)
        route = self._to(session_id)
        if method in OPENING and result is None:
            self.known.discard(session_id)
        if session_id in self._stays:
            self._stays[session_id] = False
        return route

    def _to(self, session_id: str | None) -> Route:
        return Route(None if session_id in self._stays else session_id)


def _may_come_late(parameters: dict[str, Any]) -> bool:
    """Whether it does no harm after what is said later: it tells the whole of something beside the conversation."""
    update = parameters.get("update")
    return isinstance(update, dict) and update.get("sessionUpdate") in _BESIDE


def session_of(message: Request | Notification) -> str | None:
    """The session that a message of the client names."""
    named = message.parameters.get("sessionId")
    return named if isinstance(named, str) else None


def _key(message_id: Identifier) -> tuple[str, Identifier]:
    return type(message_id).__name__, message_id
