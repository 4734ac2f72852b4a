"""The state of a session: the fold of its own events; its conversation is in the events of its runs."""

from collections.abc import Iterable

from acp_agent.domain.base import Frozen
from acp_agent.domain.events import Event
from acp_agent.domain.events_session import SessionChanged, SessionDeleted, SessionStarted
from acp_agent.domain.policy import Mode

DEFAULT = "default"
"""The value of a change that takes a choice back: model or effort are again what they are without one."""


class SessionState(Frozen):
    """What the next run of a session is asked with. `allowed` names what a person allows always.

    `inherited` are the runs of the session it was forked from, which come before its own. `also` are further
    directories that whoever opened the session named for this time: they are not on record.
    """

    session_id: str = ""
    seq: int = 0
    cwd: str = ""
    mode: Mode = Mode.ASK
    role: str = "coder"
    model: str | None = None
    effort: str | None = None
    title: str = ""
    allowed: tuple[str, ...] = ()
    inherited: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    deleted: bool = False


class SessionSummary(Frozen):
    """A session as lists show it; `updated_at` is Unix time in seconds."""

    session_id: str
    cwd: str
    title: str
    updated_at: float


def fold_session(events: Iterable[Event], state: SessionState | None = None) -> SessionState:
    """The state after `events`; facts of other kinds change nothing."""
    current = state or SessionState()
    for event in events:
        current = current.model_copy(update={**_changes(event), "seq": event.seq})
    return current


def _changes(event: Event) -> dict[str, object]:
    match event.data:
        case SessionStarted() as fact:
            return {**fact.model_dump(exclude={"type"}), "session_id": event.stream_id}
        case SessionChanged() as fact:
            changes = fact.model_dump(exclude={"type"}, exclude_none=True)
            return {name: None if value == DEFAULT else value for name, value in changes.items()}
        case SessionDeleted():
            return {"deleted": True}
        case _:
            return {}
