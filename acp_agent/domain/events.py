"""Facts: everything that can happen to a stream, and the envelope they are recorded in.

Kinds grow with care and are never renamed (docs/architecture.md, section 4). A fact holds what the fold needs to stand
where the run stood, and what a person needs to understand it; words that stream are not facts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import Field, ValidationError

from acp_agent.domain.always import AllowanceRevoked, AllowedAlways
from acp_agent.domain.base import Frozen
from acp_agent.domain.blast import Excess
from acp_agent.domain.budget import LimitReason
from acp_agent.domain.confinement import Confinement
from acp_agent.domain.errors import ModelFault
from acp_agent.domain.events_batch import BatchFact
from acp_agent.domain.events_budget import BudgetSet
from acp_agent.domain.events_effects import CompensationFinished, CompensationStarted
from acp_agent.domain.events_erased import PayloadErased
from acp_agent.domain.events_files import FilesSnapshot, Undone
from acp_agent.domain.events_handover import HandOver
from acp_agent.domain.events_hold import HoldFact
from acp_agent.domain.events_hooks import HookRan
from acp_agent.domain.events_loop import LoopFact
from acp_agent.domain.events_person import PersonFact
from acp_agent.domain.events_review import CallReviewed, ReviewStarted
from acp_agent.domain.events_session import SessionFact
from acp_agent.domain.events_skills import SkillActivated
from acp_agent.domain.message import Reply
from acp_agent.domain.notify import Escalation, NotifyFact
from acp_agent.domain.request import RunRequest
from acp_agent.domain.tool import Intent, Risk, ToolResult
from acp_agent.domain.weight import Trait

WaitingFor = Literal["approval", "answer", "timer", "budget", "breach", "outcome_unknown", "crash_loop"]
EndReason = Literal[
    "end_turn",
    "cancelled",
    "refusal",
    "max_steps",
    "max_tool_calls",
    "max_tokens",
    "max_cost",
    "max_time",
    "stalled",
    "error",
]
Decision = Literal["allow", "deny", "done", "retry", "skip"]


class RunStarted(Frozen):
    """The run exists; its request never changes."""

    type: Literal["run_started"] = "run_started"
    request: RunRequest


class WorkspacePrepared(Frozen):
    """The workplace of the run exists on disk; `path` is where tools work."""

    type: Literal["workspace_prepared"] = "workspace_prepared"
    path: str
    base: str | None = None


class ModelCalled(Frozen):
    """Intent: a model is about to be asked. `reserved` US dollars are set aside in `scopes` (None: no price known)."""

    type: Literal["model_called"] = "model_called"
    call_id: str
    model: str
    final: bool = False
    reserved: float | None = None
    messages: int = 0
    scopes: tuple[str, ...] = ()


class ModelReplied(Frozen):
    """The reply of the call in flight; `cost` is None where no price is known.

    `seconds` include the first word's wait.
    """

    type: Literal["model_replied"] = "model_replied"
    call_id: str
    reply: Reply
    cost: float | None = None
    seconds: float | None = None


class ModelFailed(Frozen):
    """The call in flight gave no reply. `cost` is what it is booked at: for a lost call, its whole reservation.

    `partial` are the words it had said when the run was cancelled: they stay in the conversation.
    """

    type: Literal["model_failed"] = "model_failed"
    call_id: str
    model: str
    fault: ModelFault
    message: str
    retry_after: float | None = None
    cost: float | None = 0.0
    partial: str = ""


class ToolStarted(Frozen):
    """Intent: a tool's effect is about to begin. `risk`, `binding` and `traits` are what the call weighs."""

    type: Literal["tool_started"] = "tool_started"
    call_id: str
    tool: str
    risk: Risk
    intent: Intent = Field(default_factory=Intent)
    binding: str = ""
    traits: tuple[Trait, ...] = ()


class ToolFinished(Frozen):
    """The result of a call that had begun."""

    type: Literal["tool_finished"] = "tool_finished"
    call_id: str
    tool: str
    result: ToolResult


class ToolRefused(Frozen):
    """A call that never began: unknown, invalid, denied, or past a limit. The model reads the result."""

    type: Literal["tool_refused"] = "tool_refused"
    call_id: str
    tool: str
    result: ToolResult


class ApprovalAsked(Frozen):
    """A person must decide about one call; the run waits. `preview` is the unified diff it would make, where known.

    `name` is what a person allows who allows such calls always: the tool, or commands by their `patterns`; it is empty
    where that cannot be. `known_as` is its name in sessions of earlier versions. The answer holds for `binding` alone:
    the same tool, arguments, paths, directory and level of the sandbox. `reasons` say why it is asked, and `dry_run`
    what the tool's own dry run said of the effect, at risk 3 and up. `needed` different approvers must allow it, and
    `approved` have already.
    """

    type: Literal["approval_asked"] = "approval_asked"
    call_id: str
    tool: str
    risk: Risk
    title: str
    preview: str | None = None
    name: str = ""
    binding: str = ""
    reasons: tuple[str, ...] = ()
    dry_run: str | None = None
    patterns: tuple[str, ...] = ()
    known_as: str = ""
    approved: tuple[str, ...] = ()
    needed: int = 1


class ApprovalGiven(Frozen):
    """A person's answer: to an approval `allow` or `deny`; to an outcome unknown `done`, `retry` or `skip`.

    `binding` is that of the call they were asked about.
    """

    type: Literal["approval_given"] = "approval_given"
    call_id: str
    decision: Decision
    note: str = ""
    binding: str = ""


class AnswerChecked(Frozen):
    """The final answer held against the request's schema: `value` where it fits, else `problem`."""

    type: Literal["answer_checked"] = "answer_checked"
    value: Any = None
    problem: str | None = None


class LimitReached(Frozen):
    """A limit of the run is used up, or a model or tool yielded nothing for too long (`stalled`).

    What follows is one last call without tools, where one can be paid, then the end.
    """

    type: Literal["limit_reached"] = "limit_reached"
    limit: LimitReason
    detail: str = ""
    last_call: bool = True


class GateStarted(Frozen):
    """A gate's command is about to run; a gate is repeatable."""

    type: Literal["gate_started"] = "gate_started"
    gate: str
    command: str


class GateFinished(Frozen):
    """A gate passed or not; `output` is head and tail of what it printed, `confinement` the sandbox it ran in."""

    type: Literal["gate_finished"] = "gate_finished"
    gate: str
    passed: bool
    exit_status: int | None
    seconds: float
    output: str = ""
    confinement: Confinement | None = None


class Committed(Frozen):
    """The result is a commit on the branch (None: nothing changed), as git counts it; `bundle`: see fleet/clones.py."""

    type: Literal["committed"] = "committed"
    commit: str | None
    files: int = 0
    added: int = 0
    removed: int = 0
    bundle: str | None = None


class CancelAsked(Frozen):
    """Somebody wants the run to end."""

    type: Literal["cancel_asked"] = "cancel_asked"
    note: str = ""


class Parked(Frozen):
    """The run waits and has freed its slot; `call_id` names the call it waits for, `detail` is for a person.

    For an approval that nobody gives `within` so many seconds (None waits for ever) the first step of `then` is taken,
    and the run waits anew, for the next `step`; without one it is refused, or waits on where `last` says so.
    """

    type: Literal["parked"] = "parked"
    waiting: WaitingFor
    detail: str
    call_id: str | None = None
    exceeds: tuple[Excess, ...] = ()
    within: float | None = None
    then: tuple[Escalation, ...] = ()
    last: Literal["deny", "park"] = "deny"
    step: int = 0


class Resumed(Frozen):
    """A driver took the run up again; `fence` is the new one."""

    type: Literal["resumed"] = "resumed"
    fence: int


class LateResult(Frozen):
    """A write of a driver that had lost the stream, kept aside; it changes nothing."""

    type: Literal["late_result"] = "late_result"
    fence: int
    fact: dict[str, Any]


class RunEnded(Frozen):
    """The run is over. `message` is for a person: the error, or why it stopped; `trace` only for a bug of ours."""

    type: Literal["run_ended"] = "run_ended"
    reason: EndReason
    message: str = ""
    trace: str | None = None


class Accepted(Frozen):
    """A person merged the result; `commit` is the target branch's new head."""

    type: Literal["accepted"] = "accepted"
    commit: str
    target: str


class Rejected(Frozen):
    """A person refused the result: branch and worktree are gone, the commit stays under `ref`."""

    type: Literal["rejected"] = "rejected"
    ref: str | None = None
    note: str = ""


Fact = (
    RunStarted
    | WorkspacePrepared
    | ModelCalled
    | ModelReplied
    | ModelFailed
    | ToolStarted
    | ToolFinished
    | ToolRefused
    | ApprovalAsked
    | ApprovalGiven
    | AnswerChecked
    | LimitReached
    | GateStarted
    | GateFinished
    | Committed
    | SkillActivated
    | HookRan
    | CancelAsked
    | Parked
    | Resumed
    | LateResult
    | FilesSnapshot
    | Undone
    | CompensationStarted
    | CompensationFinished
    | RunEnded
    | Accepted
    | Rejected
    | SessionFact
    | BatchFact
    | LoopFact
    | HandOver
    | HoldFact
    | BudgetSet
    | PersonFact
    | ReviewStarted
    | CallReviewed
    | AllowedAlways
    | AllowanceRevoked
    | PayloadErased
    | NotifyFact
)

_KINDS: Mapping[str, type[Fact]] = {kind.model_fields["type"].default: kind for kind in get_args(Fact)}


def fact_of(told: Any) -> Fact:
    """The fact that JSON (an object, already read) tells. Raises ValueError with one line that says what is wrong.

    Only the kind at hand is made ready, not the union of all.
    """
    kind = told.get("type") if isinstance(told, dict) else None
    try:
        return _kind(kind).model_validate(told)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"]) from error


def fact_in(text: str, kind: str) -> Fact:
    """The fact of a known kind that JSON text tells, in one pass over the text. Raises ValueError as `fact_of` does."""
    try:
        return _kind(kind).model_validate_json(text)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"]) from error


def _kind(name: object) -> type[Fact]:
    if not isinstance(name, str) or name not in _KINDS:
        raise ValueError(f"no kind of fact is called {name!r}")
    return _KINDS[name]


@dataclass(frozen=True, slots=True)
class Event:
    """A recorded fact. `ts` is Unix time in seconds, `seq` counts from 1 without gaps within its stream."""

    stream_id: str
    seq: int
    ts: float
    data: Fact
    v: int = 1
    tenant: str = "local"
    actor: str = ""
