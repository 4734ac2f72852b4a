"""Which update may be written when: held before a session is announced, dropped after its turn is answered.

- A session is announced by the answer to `session/new`, `load`, `resume` or `fork`; its updates wait for that answer.
  A replay is the exception: the updates that the `session/load` itself gives are written at once and so precede it.
- What the prompt that has been answered, or the load that has been answered, still says is dropped and counted.
- Words, tool calls, plans and usage that belong to no call are dropped when no turn is under way: neither one that was
  asked for here nor one that was taken over from a client that is gone.
- After a cancelled turn nothing is written for that session until the client speaks of it again.
- After `close` or `delete` nothing is written at all.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from acp_agent.surfaces.acp.shrink import CHUNKS, TOOL_CALLS

TURN = "session/prompt"
FORK = "session/fork"
"""Names one session in its parameters, and another one, which it announces, in its result."""

_ANNOUNCING_LATER = frozenset({"session/load", "session/resume"})
ENDING = frozenset({"session/close", "session/delete"})
_LAST_WORD = frozenset({TURN, "session/load"})
_OF_A_TURN = CHUNKS | TOOL_CALLS | {"plan", "usage_update"}
_MOST_HELD = 1000

Emit = Callable[[str, Mapping[str, Any]], None]


class Asking(Protocol):
    """What the order needs to know of a call: its method and the session its parameters name, if any."""

    @property
    def method(self) -> str:
        """The method."""
        ...

    @property
    def session_id(self) -> str | None:
        """The session its parameters name."""
        ...


class _Session:
    """What the client knows of one session so far."""

    __slots__ = ("announced", "ended", "held", "opening", "quiet", "taken_over", "turns")

    def __init__(self) -> None:
        self.announced = False
        self.ended = False
        self.quiet = False
        self.opening = 0
        self.turns = 0
        self.taken_over = 0
        self.held: list[tuple[Asking | None, dict[str, Any]]] = []

    @property
    def is_in_turn(self) -> bool:
        """True while a turn is under way that is told here."""
        return self.turns + self.taken_over > 0

    @property
    def waits(self) -> bool:
        """True while updates from elsewhere are held."""
        return not self.announced or self.opening > 0 or self.quiet


class Order:
    """Lets updates through to `emit`, holds them or drops them; `dropped` counts the latter.

    `begin` and `end` are told of every call, `end` right after its answer was queued.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._sessions: dict[str, _Session] = {}
        self._open: set[Asking] = set()
        self.dropped = 0

    def begin(self, call: Asking) -> None:
        """The client asks `call`."""
        self._open.add(call)
        if call.session_id is None:
            return
        session = self._session(call.session_id)
        session.quiet = False
        if call.method in _ANNOUNCING_LATER:
            session.opening += 1
            session.ended = False
        if call.method == TURN:
            session.turns += 1
        self._release(call.session_id, session)

    def update(self, call: Asking | None, session_id: str, update: Mapping[str, Any]) -> None:
        """Something to say about a session, on behalf of `call` or of none."""
        session = self._session(session_id)
        owner = call if call in self._open else None
        too_late = call is not None and owner is None and call.method in _LAST_WORD
        belongs_to_none = owner is None and not session.is_in_turn and update.get("sessionUpdate") in _OF_A_TURN
        if session.ended or too_late or belongs_to_none:
            self.dropped += 1
        elif owner is not None and owner.session_id == session_id and owner.method != "session/resume":
            self._emit(session_id, update)
        elif session.waits:
            self._hold(session, owner, update)
        else:
            self._emit(session_id, update)

    def take_over(self, session_id: str) -> None:
        """A turn that another client asked for is under way in that session, and told here from now on."""
        session = self._session(session_id)
        session.taken_over += 1

    def let_go(self, session_id: str) -> None:
        """The turn that was taken over, if one was, is over."""
        session = self._sessions.get(session_id)
        if session is not None and session.taken_over:
            session.taken_over -= 1

    def end(self, call: Asking, result: Mapping[str, Any] | None) -> None:
        """The answer to `call` is queued; None for an error."""
        self._open.discard(call)
        session_id = call.session_id
        if result is not None and (session_id is None or call.method == FORK):
            named = result.get("sessionId")
            session_id = named if isinstance(named, str) else None
        if result is None:
            self._forget_held_by(call)
        if session_id is None:
            return
        session = self._session(session_id)
        if call.method in _ANNOUNCING_LATER:
            session.opening -= 1
        if call.method == TURN:
            session.turns -= 1
            session.quiet = result is not None and result.get("stopReason") == "cancelled"
        if result is not None and call.method in ENDING:
            session.ended = session.announced
        elif result is not None:
            session.announced = True
        self._release(session_id, session)
        if not session.announced and not session.held and session.opening == 0 and not session.is_in_turn:
            del self._sessions[session_id]

    def _session(self, session_id: str) -> _Session:
        if session_id not in self._sessions:
            self._sessions[session_id] = _Session()
        return self._sessions[session_id]

    def _hold(self, session: _Session, call: Asking | None, update: Mapping[str, Any]) -> None:
        if len(session.held) < _MOST_HELD:
            session.held.append((call, dict(update)))
        else:
            self.dropped += 1

    def _forget_held_by(self, call: Asking) -> None:
        for session in self._sessions.values():
            kept = [(owner, update) for owner, update in session.held if owner is not call]
            self.dropped += len(session.held) - len(kept)
            session.held = kept

    def _release(self, session_id: str, session: _Session) -> None:
        if session.ended:
            self.dropped += len(session.held)
            session.held = []
        elif not session.waits:
            held, session.held = session.held, []
            for _, update in held:
                self._emit(session_id, update)
