"""The state of a loop's schedule: the fold of its events."""

from collections.abc import Iterable

from acp_agent.domain.base import Frozen
from acp_agent.domain.events import Event
from acp_agent.domain.events_loop import ScheduleGiven, ScheduleStarted, ScheduleWithdrawn, SlotEnded, SlotTaken


class ScheduleState(Frozen):
    """Where a schedule stands. Times are Unix seconds.

    `given` is what workers were told, since `since` (None: they do not run it); `last` is the latest slot that anybody
    took, `open` one that a worker took and that nobody has ended.
    """

    stream_id: str = ""
    seq: int = 0
    name: str = ""
    place: str = ""
    given: ScheduleGiven | None = None
    since: float = 0.0
    last: float = 0.0
    open: float | None = None
    ended: SlotEnded | None = None


def fold_schedule(events: Iterable[Event], state: ScheduleState | None = None) -> ScheduleState:
    """The state after `events`; an event already folded changes nothing."""
    current = state or ScheduleState()
    for event in events:
        if event.seq > current.seq:
            current = current.model_copy(update={**_changes(current, event), "seq": event.seq})
    return current


def _changes(state: ScheduleState, event: Event) -> dict[str, object]:
    match event.data:
        case ScheduleStarted() as fact:
            return {"stream_id": event.stream_id, "name": fact.name, "place": fact.place}
        case ScheduleGiven() as fact:
            return {"given": fact, "since": event.ts}
        case ScheduleWithdrawn():
            return {"given": None}
        case SlotTaken() as fact:
            return {"last": max(state.last, fact.slot), "open": fact.slot if fact.worker else state.open}
        case SlotEnded() as fact:
            return {"open": None, "ended": fact}
        case _:
            return {}
