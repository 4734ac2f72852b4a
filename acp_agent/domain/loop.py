"""The state of a loop: the fold of its events. Bounded: lists keep their newest entries, counters count them all."""

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from acp_agent.domain.base import Frozen
from acp_agent.domain.events import Event, Fact, GateFinished
from acp_agent.domain.events_hooks import HookRan
from acp_agent.domain.events_loop import (
    DoneChecked,
    IterationAccepted,
    IterationCaptured,
    IterationPlanned,
    IterationPrepared,
    IterationRan,
    IterationRejected,
    IterationSalvaged,
    IterationStarted,
    LoopAgent,
    LoopChanged,
    LoopChangeRefused,
    LoopEnded,
    LoopParked,
    LoopPaused,
    LoopResumed,
    LoopStarted,
    LoopSteered,
    LoopStopAsked,
    MetricMeasured,
    RejectReason,
    Rotated,
    StagnationMet,
)
from acp_agent.domain.loop_spec import LoopSpec, Metric
from acp_agent.domain.request import Workplace

KEPT = 40
"""Accepted and rejected changes that the state remembers, each; the record has them all."""
Phase = Literal["idle", "planned", "prepared", "started", "ran", "captured"]


class Kept(Frozen):
    """An accepted change."""

    iteration: int
    commit: str
    subject: str
    metrics: dict[str, float] = Field(default_factory=dict)


class Refused(Frozen):
    """A rejected change; `tree` is what it would have made of the project."""

    iteration: int
    why: RejectReason
    detail: str
    tree: str | None = None


class Measured(Frozen):
    """A metric's value with its noise."""

    value: float
    noise: float = 0.0


class LoopState(Frozen):
    """Where a loop stands. `iterations` counts those that were decided, `iteration` is the one under way.

    `base` is the head of its branch: all that was accepted. `best` has the best value of each metric so far, `current`
    those of `base`, `measured` those of the change under judgement (None: could not be measured). `dry`, `same` and
    `flat` count iterations in a row, since the last rung of the ladder, without an accepted change, with the same
    failure, without a better metric. `hooks` have run around the iteration under way, `notes` are what they tell the
    next agent. `active` is the time in seconds that drivers spent.
    """

    loop_id: str = ""
    seq: int = 0
    started_at: float = 0.0
    last_ts: float = 0.0
    active: float = 0.0
    name: str = ""
    project: str = ""
    place: str = ""
    spec: LoopSpec | None = None
    agent: LoopAgent | None = None
    own_agent: LoopAgent | None = None
    work: Workplace | None = None
    judge: Workplace | None = None
    setup: str | None = None
    scopes: tuple[str, ...] = ()
    flags: dict[str, str | int | float] = Field(default_factory=dict)
    base: str = ""
    phase: Phase = "idle"
    iteration: int = 0
    attempt: int = 0
    run_id: str | None = None
    ran: IterationRan | None = None
    captured: IterationCaptured | None = None
    gates: tuple[GateFinished, ...] = ()
    measured: dict[str, Measured | None] = Field(default_factory=dict)
    current: dict[str, Measured | None] = Field(default_factory=dict)
    best: dict[str, Measured] = Field(default_factory=dict)
    iterations: int = 0
    accepted: int = 0
    rejected: int = 0
    attempts: int = 0
    salvaged: int = 0
    errors: int = 0
    kept: tuple[Kept, ...] = ()
    refused: tuple[Refused, ...] = ()
    cost: float = 0.0
    cost_known: bool = True
    tokens_in: int = 0
    tokens_out: int = 0
    dry: int = 0
    same: int = 0
    flat: int = 0
    fingerprint: str = ""
    rung: int = 0
    session_id: str = ""
    rotation: int = 0
    handover: str = ""
    rotated_at: tuple[int, int] = (0, 0)
    last_failure: str = ""
    last_note: str = ""
    context_tokens: int = 0
    done: DoneChecked | None = None
    steered: tuple[str, ...] = ()
    told: int = 0
    change_refused: str = ""
    salvage: IterationSalvaged | None = None
    hooks: tuple[HookRan, ...] = ()
    notes: tuple[str, ...] = ()
    limited: int = 0
    limited_since: float | None = None
    paused: bool = False
    stop_asked: LoopStopAsked | None = None
    parked: LoopParked | None = None
    ended: LoopEnded | None = None

    @property
    def tokens(self) -> int:
        """Tokens of all runs, input and output."""
        return self.tokens_in + self.tokens_out

    @property
    def since_rotation(self) -> tuple[int, int]:
        """Iterations and tokens since the session began."""
        return self.iterations - self.rotated_at[0], self.tokens - self.rotated_at[1]


def fold_loop(events: Iterable[Event], state: LoopState | None = None) -> LoopState:
    """The state after `events`, starting from `state` (default: before the first)."""
    current = state or LoopState()
    for event in events:
        current = apply_loop(current, event)
    return current


def apply_loop(state: LoopState, event: Event) -> LoopState:
    """The state after one more event; an event already folded changes nothing."""
    if event.seq <= state.seq:
        return state
    changes = _changes(state, event.data)
    match event.data:
        case LoopStarted():
            changes |= {"loop_id": event.stream_id, "started_at": event.ts}
        case IterationSalvaged() as salvaged if salvaged.until is not None:
            changes |= {"limited_since": state.limited_since or event.ts}
        case LoopResumed() | LoopSteered() | LoopPaused() | LoopStopAsked() | LoopChanged():
            # Nobody drove it right before these; what came after a pause is no work.
            return state.model_copy(update={**changes, "seq": event.seq, "last_ts": event.ts})
        case _:
            pass
    active = state.active + max(0.0, event.ts - state.last_ts) if state.last_ts else 0.0
    return state.model_copy(update={**changes, "active": active, "seq": event.seq, "last_ts": event.ts})


def _changes(state: LoopState, fact: Fact) -> dict[str, object]:
    match fact:
        case IterationAccepted():
            return _accepted(state, fact)
        case IterationRejected():
            return _rejected(state, fact)
        case IterationPlanned() | IterationPrepared() | IterationStarted() | IterationRan() | IterationSalvaged():
            return _worked(state, fact)
        case IterationCaptured() | GateFinished() | MetricMeasured() | DoneChecked():
            return _judged(state, fact)
        case LoopStarted() | LoopChanged() | Rotated() | StagnationMet():
            return _ruled(state, fact)
        case _:
            return _told(state, fact)


def _worked(
    state: LoopState,
    fact: IterationPlanned | IterationPrepared | IterationStarted | IterationRan | IterationSalvaged,
) -> dict[str, object]:
    match fact:
        case IterationPlanned():
            fresh: dict[str, object] = {"run_id": None, "ran": None, "captured": None, "gates": ()}
            numbers = {"iteration": fact.iteration, "attempt": fact.attempt, "attempts": state.attempts + 1}
            return {**fresh, **numbers, "measured": {}, "salvage": None, "hooks": (), "phase": "planned"}
        case IterationPrepared():
            return {"phase": "prepared", "base": fact.base}
        case IterationStarted():
            return {"phase": "started", "run_id": fact.run_id, "told": len(state.steered)}
        case IterationRan():
            heard = 0 if fact.reason == "interrupted" or fact.fault else state.told
            return {
                "phase": "ran",
                "parked": None,
                "ran": fact,
                "cost": state.cost + fact.cost,
                "cost_known": state.cost_known and fact.cost_known,
                "tokens_in": state.tokens_in + fact.tokens_in,
                "tokens_out": state.tokens_out + fact.tokens_out,
                "context_tokens": fact.context_tokens,
                "last_note": fact.text or state.last_note,
                "steered": state.steered[heard:],
                "notes": state.notes if fact.reason == "interrupted" or fact.fault else (),
            }
        case IterationSalvaged():
            limited = state.limited + 1 if fact.until is not None else state.limited
            return {"phase": "idle", "salvage": fact, "salvaged": state.salvaged + 1, "limited": limited}


def _judged(
    state: LoopState, fact: IterationCaptured | GateFinished | MetricMeasured | DoneChecked
) -> dict[str, object]:
    match fact:
        case IterationCaptured():
            return {"phase": "captured", "captured": fact}
        case GateFinished():
            return {"gates": (*(gate for gate in state.gates if gate.gate != fact.gate), fact)}
        case MetricMeasured():
            value = None if fact.value is None else Measured(value=fact.value, noise=fact.noise)
            if fact.iteration == 0:
                best = state.best if value is None else {**state.best, fact.metric: value}
                return {"current": {**state.current, fact.metric: value}, "best": best}
            return {"measured": {**state.measured, fact.metric: value}}
        case DoneChecked():
            return {"done": fact}


CLEAR: dict[str, object] = {"phase": "idle", "errors": 0, "limited": 0, "limited_since": None, "salvage": None}


def _accepted(state: LoopState, fact: IterationAccepted) -> dict[str, object]:
    kept = Kept(iteration=fact.iteration, commit=fact.commit, subject=fact.subject, metrics=fact.metrics)
    improved = any(
        metric.name not in state.best or is_better(metric, value, state.best[metric.name])
        for metric in (state.spec.metrics if state.spec else ())
        if (value := state.measured.get(metric.name)) is not None
    )
    return {
        **CLEAR,
        "base": fact.commit,
        "iterations": state.iterations + 1,
        "accepted": state.accepted + 1,
        "kept": (*state.kept, kept)[-KEPT:],
        "current": {**state.current, **state.measured},
        "best": _best(state),
        "dry": 0,
        "same": 0,
        "rung": 0,
        "flat": 0 if improved else state.flat + 1,
        "fingerprint": "",
        "last_failure": "",
        "agent": state.own_agent,
    }


def _best(state: LoopState) -> dict[str, Measured]:
    """The best of each metric ever: not that of the last, or many small losses within the noise would add up."""
    best = dict(state.best)
    for metric in state.spec.metrics if state.spec else ():
        value = state.measured.get(metric.name)
        known = best.get(metric.name)
        if value is not None and (known is None or _gain(metric, value, known) > 0):
            best[metric.name] = value
    return best


def _rejected(state: LoopState, fact: IterationRejected) -> dict[str, object]:
    tree = state.captured.tree if state.captured else None
    refused = Refused(iteration=fact.iteration, why=fact.why, detail=fact.detail, tree=tree)
    same = state.same + 1 if fact.fingerprint and fact.fingerprint == state.fingerprint else 1
    return {
        **CLEAR,
        "errors": state.errors + 1 if fact.why == "run_failed" else 0,
        "iterations": state.iterations + 1,
        "rejected": state.rejected + 1,
        "refused": (*state.refused, refused)[-KEPT:],
        "dry": state.dry + 1,
        "same": same if fact.fingerprint else 0,
        "flat": state.flat + 1,
        "fingerprint": fact.fingerprint,
        "last_failure": fact.detail if fact.why in ("gate", "metric") else state.last_failure,
    }


def _ruled(state: LoopState, fact: LoopStarted | LoopChanged | Rotated | StagnationMet) -> dict[str, object]:
    match fact:
        case LoopStarted():
            taken = ("name", "project", "place", "spec", "agent", "work", "judge", "setup", "scopes", "flags")
            about = {name: getattr(fact, name) for name in taken}
            return {**about, "own_agent": fact.agent, "base": fact.work.base or ""}
        case LoopChanged():
            return {"spec": fact.spec, "flags": fact.flags, "dry": 0, "same": 0, "flat": 0, "rung": 0, "done": None}
        case Rotated():
            place = (state.iterations, state.tokens)
            session = {"rotation": fact.rotation, "session_id": fact.session_id, "handover": fact.handover}
            return {**session, "rotated_at": place, "context_tokens": 0}
        case StagnationMet():
            counters = {"dry": 0, "same": 0, "flat": 0, "rung": state.rung + 1}
            return {**counters, "agent": fact.agent or state.agent}


def _told(state: LoopState, fact: Fact) -> dict[str, object]:
    match fact:
        case LoopSteered():
            fresh = {"dry": 0, "same": 0, "flat": 0, "rung": 0}
            return {**fresh, "steered": (*state.steered, fact.text), "parked": _unless_a_run(state.parked)}
        case HookRan():
            notes = (*state.notes, f"{fact.hook}: {fact.note}") if fact.note else state.notes
            return {"hooks": (*state.hooks, fact), "notes": notes}
        case LoopChangeRefused():
            return {"change_refused": fact.why}
        case LoopPaused():
            return {"paused": True}
        case LoopResumed():
            return _resumed(state, fact)
        case LoopStopAsked():
            return {"stop_asked": fact}
        case LoopParked():
            return {"parked": fact}
        case LoopEnded():
            return {"ended": fact, "parked": None}
        case _:
            return {}


def _resumed(state: LoopState, fact: LoopResumed) -> dict[str, object]:
    """After a wait for a provider, or in a new process: what a run or a person is asked stays asked."""
    opened = {"ended": None, "stop_asked": None, "errors": 0} if fact.reopened else {}
    waited = {"limited": 0, "limited_since": None} if state.parked and state.parked.waiting == "timer" else {}
    parked = None if state.parked and state.parked.waiting == "timer" else state.parked
    return {**opened, **waited, "paused": False, "parked": parked}


def _unless_a_run(parked: LoopParked | None) -> LoopParked | None:
    """Words do not answer what a run asks."""
    return parked if parked is not None and parked.run_id is not None else None


def _gain(metric: Metric, value: Measured, than: Measured) -> float:
    return value.value - than.value if metric.direction == "up" else than.value - value.value


def is_better(metric: Metric, value: Measured, than: Measured) -> bool:
    """Whether a value is better by at least the metric's least effect, and by more than the noise of both."""
    gain = _gain(metric, value, than)
    return gain > 0 and gain >= metric.min_effect and gain > max(value.noise, than.noise)


def is_not_worse(metric: Metric, value: Measured, than: Measured) -> bool:
    """Whether a value is at most worse by less than the least effect, or by no more than the noise of both."""
    loss = -_gain(metric, value, than)
    return loss <= 0 or loss < metric.min_effect or loss <= max(value.noise, than.noise)
