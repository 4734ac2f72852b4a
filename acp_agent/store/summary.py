"""What a fact changes in the columns of `acp_run`: pure, and in step with `domain.run.fold`."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from acp_agent.domain.events import (
    Accepted,
    AnswerChecked,
    ApprovalAsked,
    ApprovalGiven,
    Committed,
    Fact,
    GateFinished,
    GateStarted,
    LateResult,
    LimitReached,
    ModelCalled,
    ModelFailed,
    ModelReplied,
    Parked,
    Rejected,
    RunEnded,
    ToolFinished,
    ToolRefused,
    ToolStarted,
    WorkspacePrepared,
)
from acp_agent.domain.events_files import Undone
from acp_agent.domain.events_handover import GivenBack, HandOver, PassedOver, Taken
from acp_agent.domain.events_hooks import HookRan
from acp_agent.domain.events_person import QuestionAnswered, QuestionAsked
from acp_agent.domain.events_skills import SkillActivated

Value = str | int | float | bool | None
Columns = dict[str, Value]

# Long texts would be rewritten with the row at every fact; the whole of them is in the events.
MAX_TEXT = 2_000
MAX_PHRASE = 160

UNCHANGED: Mapping[str, Value] = MappingProxyType(
    {
        "status": None,
        "waiting_for": None,
        "reason": None,
        "message": None,
        "model": None,
        "steps": 0,
        "tool_calls": 0,
        "tokens_in": 0,
        "tokens_out": 0,
        "cost": 0.0,
        "cost_known": True,
        "path": None,
        "commit_sha": None,
        "files": None,
        "added": None,
        "removed": None,
        "landed": None,
        "last_type": None,
        "last_text": None,
        "ended_at": None,
    }
)
"""The parameters of `sql.CHANGE_RUN` that change nothing: None keeps a column, "" clears `waiting_for`, numbers add."""
GOING_ON: Mapping[str, Value] = MappingProxyType(
    {
        name: UNCHANGED[name]
        for name in ("model", "steps", "tool_calls", "tokens_in", "tokens_out", "cost", "last_type", "last_text")
    }
)
"""Those of `sql.RUN_GOES_ON`."""


def run_columns(facts: Iterable[Fact], now: float) -> Columns:
    """What `facts` together, recorded at `now`, change of the parameters of `sql.CHANGE_RUN`."""
    columns: Columns = {}
    for fact in facts:
        if isinstance(fact, LateResult):
            continue
        columns["last_type"] = fact.type
        if text := phrase(fact):
            columns["last_text"] = text
        columns |= (
            _spent(columns, fact) if isinstance(fact, ModelReplied | ModelFailed | ToolStarted) else _lived(fact, now)
        )
    return columns


def queued_again() -> Columns:
    """What an answer or a cancellation changes in a run that waits."""
    return {"status": "queued", "waiting_for": "", "message": ""}


def money(fact: Fact) -> tuple[int | None, int | None, float | None]:
    """Input tokens, output tokens and cost of a fact by which money moved, else None each."""
    match fact:
        case ModelReplied(reply=reply):
            usage = reply.usage
            return (usage.input_tokens, usage.output_tokens, fact.cost) if usage else (None, None, fact.cost)
        case ModelFailed():
            return None, None, fact.cost
        case _:
            return None, None, None


def _spent(columns: Columns, fact: ModelReplied | ModelFailed | ToolStarted) -> Columns:
    if isinstance(fact, ToolStarted):
        return _added(columns, tool_calls=1)
    tokens_in, tokens_out, cost = money(fact)
    steps = 1 if isinstance(fact, ModelReplied) else 0
    changes = _added(columns, steps=steps, tokens_in=tokens_in or 0, tokens_out=tokens_out or 0, cost=cost or 0.0)
    return changes if cost is not None else {**changes, "cost_known": False}


def _added(columns: Columns, **amounts: float) -> Columns:
    return {
        name: amount + float(columns.get(name) or 0) if name == "cost" else int(amount) + int(columns.get(name) or 0)
        for name, amount in amounts.items()
    }


def _lived(fact: Fact, now: float) -> Columns:
    match fact:
        case ModelCalled():
            return {"model": fact.model}
        case WorkspacePrepared():
            return {"path": fact.path}
        case Committed():
            return {"commit_sha": fact.commit, "files": fact.files, "added": fact.added, "removed": fact.removed}
        case Taken():
            return {"status": "paused"}
        case Parked():
            return {"status": "waiting", "waiting_for": fact.waiting, "message": fact.detail[:MAX_TEXT]}
        case RunEnded():
            message = fact.message[:MAX_TEXT]
            return {"status": "ended", "waiting_for": "", "reason": fact.reason, "message": message, "ended_at": now}
        case Accepted() | Rejected():
            return {"landed": fact.type}
        case _:
            return {}


def phrase(fact: Fact) -> str | None:
    """A fact in a few words of one line, for lists; None where the fact before says more."""
    match fact:
        case ToolStarted() | ToolFinished() | ToolRefused() | ApprovalAsked() | ApprovalGiven():
            text = _acted(fact)
        case ModelCalled() | ModelReplied() | ModelFailed() | AnswerChecked() | LimitReached():
            text = _thought(fact)
        case SkillActivated() | HookRan() | QuestionAsked() | QuestionAnswered():
            text = _extended(fact)
        case _:
            text = _happened(fact)
    return " ".join(text[: 2 * MAX_PHRASE].split())[:MAX_PHRASE] if text else None


def _acted(fact: ToolStarted | ToolFinished | ToolRefused | ApprovalAsked | ApprovalGiven) -> str | None:
    match fact:
        case ToolStarted(intent=intent):
            return f"{fact.tool} {next(iter(intent.after or intent.before), intent.title)}"
        case ToolFinished(result=result):
            return None if result.status == "ok" else f"{fact.tool} {result.status}: {result.kind or result.output}"
        case ToolRefused(result=result):
            return f"{fact.tool} refused: {result.kind or result.output}"
        case ApprovalAsked():
            return f"approval_asked {fact.title}"
        case ApprovalGiven():
            return f"approval_given {fact.decision}"


def _thought(fact: ModelCalled | ModelReplied | ModelFailed | AnswerChecked | LimitReached) -> str:
    match fact:
        case ModelCalled():
            return f"model_called {fact.model}"
        case ModelReplied():
            return f"model_replied {fact.reply.message.text or fact.reply.model}"
        case ModelFailed():
            return f"model_failed {fact.model}: {fact.fault}: {fact.message}"
        case AnswerChecked():
            return "answer_checked" if fact.problem is None else f"answer refused: {fact.problem}"
        case LimitReached():
            return f"limit_reached {fact.limit}"


def _extended(fact: SkillActivated | HookRan | QuestionAsked | QuestionAnswered) -> str | None:
    match fact:
        case QuestionAsked():
            return f"question_asked {fact.question}"
        case QuestionAnswered():
            return f"question_answered {fact.by}: {fact.text}"
        case SkillActivated():
            return f"skill {fact.name}"
        case HookRan():
            return None if fact.outcome == "passed" else f"hook {fact.outcome}: {fact.hook}: {fact.reason}"


def _handed(fact: HandOver) -> str:
    match fact:
        case Taken():
            return "taken by a person"
        case GivenBack():
            return f"given back: {fact.files} files changed"
        case PassedOver():
            return f"queued; {fact.host} leaves it: {fact.why}"


def _happened(fact: Fact) -> str | None:
    match fact:
        case GateStarted():
            return f"gate {fact.gate}"
        case GateFinished():
            return f"gate {fact.gate} {'passed' if fact.passed else 'failed'}"
        case Committed():
            return f"committed {fact.commit[:10]}" if fact.commit else "nothing to commit"
        case Taken() | GivenBack() | PassedOver():
            return _handed(fact)
        case Parked():
            return f"waiting for {fact.waiting}: {fact.detail}"
        case RunEnded():
            return f"ended {fact.reason}"
        case Accepted():
            return f"accepted into {fact.target}"
        case Undone():
            return f"{'brought back' if fact.redone else 'undone'}: {fact.files} files"
        case WorkspacePrepared() | Rejected():
            return fact.type
        case _:
            return "cancel_asked" if fact.type == "cancel_asked" else None
