"""The state of a loop over several projects, the fold of its own events; and whose turn is next. Pure."""

import math
from collections.abc import Iterable

from pydantic import Field

from acp_agent.domain.base import Frozen
from acp_agent.domain.events import Event
from acp_agent.domain.events_loop import (
    FleetStarted,
    LoopChanged,
    LoopEnded,
    LoopPaused,
    LoopResumed,
    LoopStopAsked,
    TurnGiven,
    TurnTaken,
)
from acp_agent.domain.loop_spec import LoopSpec

CURIOSITY = 0.7
"""How much a project counts for that has had few turns, against one whose turns were accepted."""


class Member(Frozen):
    """What a project's loop stands at, as of its last turn; `over` says why it takes no more of them."""

    loop_id: str
    iterations: int = 0
    accepted: int = 0
    cost: float = 0.0
    tokens: int = 0
    over: str | None = None


class FleetState(Frozen):
    """Where a fleet loop stands. `turn` is the project whose iteration is under way."""

    loop_id: str = ""
    seq: int = 0
    last_ts: float = 0.0
    active: float = 0.0
    name: str = ""
    place: str = ""
    spec: LoopSpec | None = None
    members: dict[str, Member] = Field(default_factory=dict)
    turn: str | None = None
    paused: bool = False
    stop_asked: LoopStopAsked | None = None
    ended: LoopEnded | None = None

    @property
    def iterations(self) -> int:
        """Those of all projects that were decided."""
        return sum(member.iterations for member in self.members.values())

    @property
    def cost(self) -> float:
        """US dollars of all projects."""
        return sum(member.cost for member in self.members.values())

    @property
    def tokens(self) -> int:
        """Tokens of all projects."""
        return sum(member.tokens for member in self.members.values())


def fold_fleet(events: Iterable[Event], state: FleetState | None = None) -> FleetState:
    """The state after `events`; an event already folded changes nothing."""
    current = state or FleetState()
    for event in events:
        if event.seq > current.seq:
            waited = isinstance(event.data, LoopResumed | LoopPaused | LoopStopAsked)
            active = current.active if waited or not current.last_ts else current.active + event.ts - current.last_ts
            changes = {**_changes(current, event), "seq": event.seq, "last_ts": event.ts, "active": active}
            current = current.model_copy(update=changes)
    return current


def _changes(state: FleetState, event: Event) -> dict[str, object]:
    match event.data:
        case FleetStarted() as fact:
            members = {project: Member(loop_id=loop_id) for project, loop_id in fact.loops.items()}
            about = {"name": fact.name, "place": fact.place, "spec": fact.spec, "members": members}
            return {**about, "loop_id": event.stream_id}
        case TurnGiven(project=project):
            return {"turn": project}
        case TurnTaken() as fact:
            counters = fact.model_dump(include={"iterations", "accepted", "cost", "tokens", "over"})
            member = state.members[fact.project].model_copy(update=counters)
            return {"turn": None, "members": {**state.members, fact.project: member}}
        case LoopChanged(spec=spec):
            return {"spec": spec}
        case LoopPaused():
            return {"paused": True}
        case LoopResumed(reopened=reopened):
            opened = {"ended": None, "stop_asked": None, "members": _reopened(state)} if reopened else {}
            return {**opened, "paused": False}
        case LoopStopAsked() as fact:
            return {"stop_asked": fact}
        case LoopEnded() as fact:
            return {"ended": fact}
        case _:
            return {}


def _reopened(state: FleetState) -> dict[str, Member]:
    return {project: member.model_copy(update={"over": None}) for project, member in state.members.items()}


def next_project(state: FleetState) -> str | None:
    """Whose turn it is: where turns were accepted, and now and then where few were taken; None when all are over.

    An upper confidence bound on the share of accepted turns, so the budget goes where gates pass and metrics move.
    """
    total = state.iterations + 1
    best: tuple[float, str] | None = None
    for project, member in state.members.items():
        if member.over is not None:
            continue
        share = (member.accepted + 1) / (member.iterations + 1)
        score = share + CURIOSITY * math.sqrt(math.log(total + 1) / (member.iterations + 1))
        if best is None or score > best[0]:
            best = (score, project)
    return best[1] if best else None
