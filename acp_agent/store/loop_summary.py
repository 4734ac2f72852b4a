"""What a fact changes in the columns of `acp_loop`: pure, and in step with `domain.loop.fold_loop`."""

from acp_agent.domain.events_loop import (
    FleetStarted,
    IterationAccepted,
    IterationPlanned,
    IterationRejected,
    IterationSalvaged,
    LoopChanged,
    LoopEnded,
    LoopFact,
    LoopParked,
    LoopPaused,
    LoopResumed,
    LoopStarted,
    LoopSteered,
    LoopStopAsked,
    MetricMeasured,
    Rotated,
    StagnationMet,
    TurnGiven,
)
from acp_agent.store.summary import MAX_PHRASE, MAX_TEXT, Columns

UNCHANGED: Columns = {
    "status": None,
    "waiting_for": None,
    "reason": None,
    "message": None,
    "max_iter": None,
    "accepted": 0,
    "rejected": 0,
    "rotation": None,
    "score": None,
    "landed": None,
    "last_text": None,
}
"""The parameters of `sql.CHANGE_LOOP` that change nothing: None keeps a column, "" clears one, numbers add."""


def first_columns(started: LoopStarted | FleetStarted) -> Columns:
    """The row of a new loop."""
    about: Columns = {
        "name": started.name,
        "place": started.place,
        "goal": started.spec.goal[:MAX_TEXT],
        "max_iter": started.spec.max_iter,
    }
    match started:
        case LoopStarted():
            place = {"branch": started.work.branch, "root": started.work.root}
            return {**about, **place, "project": started.project, "parent": started.parent}
        case FleetStarted():
            return {**about, "branch": None, "root": "", "project": ", ".join(started.loops), "parent": None}


def loop_columns(fact: LoopFact) -> Columns:
    """The parameters of `sql.CHANGE_LOOP` for a fact."""
    return {**UNCHANGED, **_decided(fact), **_lived(fact)}


def _decided(fact: LoopFact) -> Columns:
    match fact:
        case IterationPlanned():
            return {"status": "running", "last_text": _phrase(f"iteration {fact.iteration}")}
        case IterationAccepted():
            return {"accepted": 1, "last_text": _phrase(f"accepted {fact.iteration}: {fact.subject}")}
        case IterationRejected():
            return {"rejected": 1, "last_text": _phrase(f"rejected {fact.iteration} ({fact.why}): {fact.detail}")}
        case IterationSalvaged():
            return {"last_text": _phrase(f"again {fact.iteration}: {fact.why}")}
        case MetricMeasured(value=value) if value is not None:
            return {"score": value}
        case Rotated():
            return {"rotation": fact.rotation}
        case StagnationMet():
            return {"last_text": _phrase(f"{fact.step}: {fact.why}")}
        case TurnGiven():
            return {"status": "running", "last_text": _phrase(f"turn of {fact.project}")}
        case _:
            return {}


def _lived(fact: LoopFact) -> Columns:
    match fact:
        case LoopChanged():
            return {"max_iter": fact.spec.max_iter, "last_text": _phrase(f"changed by {fact.source}")}
        case LoopPaused():
            return {"status": "paused", "last_text": _phrase(f"paused {fact.note}")}
        case LoopResumed():
            return {"status": "running", "waiting_for": "", "reason": "", "message": "", "last_text": "resumed"}
        case LoopSteered():
            return {"last_text": _phrase(f"steered: {fact.text}")}
        case LoopStopAsked():
            return {"last_text": "stop asked"}
        case LoopParked():
            detail = fact.detail[:MAX_TEXT]
            return {"status": "waiting", "waiting_for": fact.waiting, "message": detail, "last_text": _phrase(detail)}
        case LoopEnded():
            ended = {"status": "ended", "reason": fact.reason, "message": fact.message[:MAX_TEXT]}
            return {**ended, "waiting_for": "", "last_text": _phrase(f"ended: {fact.reason}")}
        case _:
            return {}


def _phrase(text: str) -> str:
    return " ".join(text[: 2 * MAX_PHRASE].split())[:MAX_PHRASE]
