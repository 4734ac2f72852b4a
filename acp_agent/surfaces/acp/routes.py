"""Which stream of the HTTP transport a message belongs to: that of a session, or that of the connection. Pure.

What the protocol's proposal says: answers to calls within a session, updates and questions go to the session's stream;
answers to what opens a session, and all that names none, go to the connection's.
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


@dataclass(frozen=True, slots=True)
class Route:
    """The session whose stream a message goes to, None for the connection's.

    `makes` is a session that the message announces, `after` one whose updates must precede it.
    """

    session_id: str | None
    makes: str | None = None
    after: str | None = None


@dataclass(slots=True)
class Routes:
    """Follows one connection; `known` are the sessions it has opened, or is opening."""

    known: set[str] = field(default_factory=set)
    _calls: dict[tuple[str, Identifier], tuple[str, str | None]] = field(default_factory=dict)
    _questions: dict[int, str] = field(default_factory=dict)

    def heard(self, message: Request | Notification | Response) -> None:
        """The client says `message`."""
        match message:
            case Request():
                session_id = session_of(message)
                if message.method in OPENING and session_id is not None:
                    self.known.add(session_id)
                self._calls.setdefault(_key(message.id), (message.method, session_id))
            case Response(id=int(number)):
                self._questions.pop(number, None)
            case Response() | Notification():
                pass

    def of(self, line: bytes) -> Route:
        """Where a message of ours goes; each is asked about once, in the order of sending."""
        message: dict[str, Any] = from_json(line)
        method = message.get("method")
        if method is None:
            return self._of_answer(message)
        parameters = message["params"]
        if method == "$/cancel_request":
            return Route(self._questions.get(parameters["requestId"]))
        session_id: str | None = parameters.get("sessionId")
        if "id" in message and session_id is not None:
            self._questions[message["id"]] = session_id
        return Route(session_id)

    def _of_answer(self, message: dict[str, Any]) -> Route:
        method, session_id = self._calls.pop(_key(message["id"]), ("", None))
        if method in WITHIN:
            return Route(session_id)
        result = message.get("result")
        if method in _MAKING and result is not None:
            self.known.add(result["sessionId"])
            return Route(None, makes=result["sessionId"])
        if method in OPENING and session_id is not None:
            if result is None:
                self.known.discard(session_id)
            return Route(None, after=session_id)
        return Route(None)


def session_of(message: Request | Notification) -> str | None:
    """The session that a message of the client names."""
    named = message.parameters.get("sessionId")
    return named if isinstance(named, str) else None


def _key(message_id: Identifier) -> tuple[str, Identifier]:
    return type(message_id).__name__, message_id
