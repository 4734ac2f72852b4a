"""The state of a run: the fold of its events, and nothing else."""

from collections.abc import Iterable
from typing import Literal, assert_never

from pydantic import Field

from acp_agent.domain.base import Frozen
from acp_agent.domain.blast import Blast
from acp_agent.domain.budget import LimitReason, Spent
from acp_agent.domain.egress import NOT_LOOKED_UP
from acp_agent.domain.errors import TRANSIENT_FAULTS
from acp_agent.domain.events import (
    Accepted,
    AnswerChecked,
    ApprovalAsked,
    ApprovalGiven,
    CancelAsked,
    Committed,
    Decision,
    EndReason,
    Event,
    Fact,
    GateFinished,
    LateResult,
    LimitReached,
    ModelCalled,
    ModelFailed,
    ModelReplied,
    Parked,
    Rejected,
    Resumed,
    RunEnded,
    RunStarted,
    ToolFinished,
    ToolRefused,
    ToolStarted,
    WaitingFor,
    WorkspacePrepared,
)
from acp_agent.domain.events_effects import CompensationFinished, CompensationStarted
from acp_agent.domain.events_files import FilesSnapshot, Undone
from acp_agent.domain.events_handover import GivenBack, PassedOver, Taken
from acp_agent.domain.events_hooks import HookRan
from acp_agent.domain.events_person import PersonFact, PicturesGiven, PlanProposed, QuestionAnswered, QuestionAsked
from acp_agent.domain.events_review import CallReviewed, Review, ReviewStarted
from acp_agent.domain.events_skills import SkillActivated
from acp_agent.domain.hook import BEFORE, HookEvent
from acp_agent.domain.hook_notes import with_note
from acp_agent.domain.message import AssistantMessage, Message, ToolCall, UserMessage
from acp_agent.domain.policy import Mode
from acp_agent.domain.request import RunRequest
from acp_agent.domain.run_changes import call_changed, call_closed, handed, person_said, told
from acp_agent.domain.skill import ActiveSkill
from acp_agent.domain.taint import taint_of_words
from acp_agent.domain.tool import Intent, NetworkUse, PlanStep
from acp_agent.domain.undo_notes import taken_back_text, undone_text
from acp_agent.domain.weight import Trait
from acp_agent.domain.work_plan import WorkPlan

_AFTER_A_WAIT = frozenset(
    {
        RunStarted,
        WorkspacePrepared,
        Resumed,
        ApprovalGiven,
        QuestionAnswered,
        PicturesGiven,
        CancelAsked,
        LateResult,
        Accepted,
        Rejected,
        Undone,
        CompensationStarted,
        CompensationFinished,
        Taken,
        GivenBack,
        PassedOver,
    }
)

Phase = Literal["proposed", "asked", "allowed", "denied", "started", "unknown"]


class OpenCall(Frozen):
    """A tool call of the last reply that has no result yet.

    `unknown`: it had begun when its driver died and nobody can tell whether it took effect. `decision` is a person's
    answer about it, `note` their words; `binding` is what the call weighed when it was asked about or began, `approved`
    who has approved that.
    """

    call: ToolCall
    phase: Phase = "proposed"
    intent: Intent | None = None
    decision: Decision | None = None
    note: str = ""
    binding: str = ""
    approved: tuple[str, ...] = ()
    review: Review | None = None


class GateResult(Frozen):
    """The last outcome of one gate."""

    gate: str
    passed: bool
    output: str = ""


class RunState(Frozen):
    """Where a run stands after an event. `calls` are open ones in the order given; `failures` since the last reply.

    `active` is the time in seconds that drivers spent on it, without the waits between them; `answer` is the last check
    of the final words, `answer_tries` how many of them failed. `skills` are in force, and in every context from now on;
    `loaded` are the tools that the model asked to see, the last one last.
    `snapshots` are those from before something that has not ended yet, `told_later` messages that wait until no call is
    open. `taint` is what its calls have touched.
    """

    run_id: str = ""
    seq: int = 0
    started_at: float = 0.0
    last_ts: float = 0.0
    active: float = 0.0
    request: RunRequest | None = None
    path: str | None = None
    messages: tuple[Message, ...] = ()
    calls: tuple[OpenCall, ...] = ()
    model_call: ModelCalled | None = None
    failures: tuple[ModelFailed, ...] = ()
    spent: Spent = Field(default_factory=Spent)
    seen: dict[str, str | None] = Field(default_factory=dict)
    plan: tuple[PlanStep, ...] = ()
    network: NetworkUse = Field(default_factory=NetworkUse)
    skills: tuple[ActiveSkill, ...] = ()
    hooks: tuple[HookRan, ...] = ()
    finished: tuple[ToolFinished, ...] = ()
    loaded: tuple[str, ...] = ()
    taint: frozenset[Trait] = frozenset()
    asked: ApprovalAsked | None = None
    question: QuestionAsked | None = None
    proposed: PlanProposed | None = None
    approved: WorkPlan | None = None
    mode: Mode | None = None
    limit: LimitReason | None = None
    limit_detail: str = ""
    last_stop: str | None = None
    final_done: bool = False
    answer: AnswerChecked | None = None
    answer_tries: int = 0
    gates: tuple[GateResult, ...] = ()
    committed: Committed | None = None
    cancel_asked: bool = False
    waiting: Parked | None = None
    taken: Taken | None = None
    ended: RunEnded | None = None
    landed: Accepted | Rejected | None = None
    snapshots: dict[str, FilesSnapshot] = Field(default_factory=dict)
    undone: Undone | None = None
    blast: Blast = Field(default_factory=Blast)
    told_later: tuple[UserMessage, ...] = ()

    @property
    def started_calls(self) -> tuple[OpenCall, ...]:
        """Calls whose effect may be under way."""
        return tuple(open_call for open_call in self.calls if open_call.phase == "started")

    def hooked(self, event: HookEvent, call_id: str | None = None) -> frozenset[str]:
        """Hooks that need not run again at `event`, for the call if there is one; before a thing only a yes counts."""
        ran = (one for one in self.hooks if (one.event, one.call_id) == (event, call_id))
        return frozenset(one.hook for one in ran if event not in BEFORE or one.outcome == "passed")

    @property
    def text(self) -> str:
        """The last words of the model."""
        return next((message.text for message in reversed(self.messages) if message.role == "assistant"), "")

    @property
    def waiting_for(self) -> WaitingFor | None:
        """What the run waits for."""
        return self.waiting.waiting if self.waiting else None

    @property
    def reason(self) -> EndReason | None:
        """Why the run ended."""
        return self.ended.reason if self.ended else None


def fold(events: Iterable[Event], state: RunState | None = None) -> RunState:
    """The state after `events`, starting from `state` (default: before the first)."""
    current = state or RunState()
    for event in events:
        current = apply(current, event)
    return current


def apply(state: RunState, event: Event) -> RunState:
    """The state after one more event; an event already folded changes nothing."""
    if event.seq <= state.seq:
        return state
    changes = _changes(state, event.data)
    if isinstance(event.data, ApprovalGiven) and event.data.decision == "allow" and state.asked is not None:
        # Who it was stands in the envelope alone.
        approved = {"approved": (*state.asked.approved, event.actor)}
        changes |= call_changed(state.model_copy(update=changes), event.data.call_id, **approved)
    if isinstance(event.data, RunStarted):
        changes |= {"run_id": event.stream_id, "started_at": event.ts}
    if not _follows_a_wait(event.data):
        changes["active"] = state.active + max(0.0, event.ts - state.last_ts)
    return state.model_copy(update={**changes, "seq": event.seq, "last_ts": event.ts})


def _follows_a_wait(fact: Fact) -> bool:
    """Whether nobody drove the run right before `fact`; a crash loop is found by whoever comes next."""
    parked = isinstance(fact, Parked) and (fact.waiting == "crash_loop" or fact.step > 0)
    return parked or type(fact) in _AFTER_A_WAIT or fact.type.startswith("notify_")


def _changes(state: RunState, fact: Fact) -> dict[str, object]:
    match fact:
        case ModelCalled() | ModelReplied() | ModelFailed() | AnswerChecked():
            return _thought(state, fact)
        case ToolStarted() | ToolFinished() | ToolRefused() | ApprovalAsked() | ApprovalGiven():
            return _acted(state, fact)
        case WorkspacePrepared() | GateFinished() | Committed():
            return _worked(state, fact)
        case Taken() | GivenBack():
            return handed(state, fact)
        case FilesSnapshot() | Undone():
            return _filed(state, fact)
        case CompensationFinished():
            return told(state, taken_back_text(fact))
        case ReviewStarted() | CallReviewed():
            return _reviewed(state, fact)
        case _ if isinstance(fact, PersonFact):
            return person_said(state, fact)
        case _:
            return _lived(state, fact)


def _thought(state: RunState, fact: ModelCalled | ModelReplied | ModelFailed | AnswerChecked) -> dict[str, object]:
    match fact:
        case ModelCalled():
            return {"model_call": fact}
        case ModelReplied():
            return _replied(state, fact)
        case ModelFailed():
            spent = _charged(state.spent, fact.cost)
            said = (AssistantMessage(text=fact.partial),) if fact.partial else ()
            messages = (*state.messages, *said)
            return {"model_call": None, "failures": (*state.failures, fact), "spent": spent, "messages": messages}
        case AnswerChecked(problem=None):
            return {"answer": fact}
        case AnswerChecked():
            remark = f"That answer does not fit the schema: {fact.problem}\nReply with the JSON only."
            if fact.problem == NOT_LOOKED_UP:
                remark = f"That answer does not count: {NOT_LOOKED_UP}. Look it up, then reply."
            messages = (*state.messages, UserMessage(text=remark))
            return {"answer": fact, "answer_tries": state.answer_tries + 1, "messages": messages}
        case _:
            assert_never(fact)


def _replied(state: RunState, fact: ModelReplied) -> dict[str, object]:
    final = state.model_call is not None and state.model_call.final
    message = fact.reply.message
    if final and message.calls:
        message = message.model_copy(update={"calls": ()})
    usage = fact.reply.usage
    spent = _charged(state.spent, fact.cost)
    return {
        "model_call": None,
        "failures": tuple(failure for failure in state.failures if failure.fault not in TRANSIENT_FAULTS),
        "messages": (*state.messages, message),
        "calls": tuple(OpenCall(call=call) for call in message.calls),
        "hooks": tuple(ran for ran in state.hooks if ran.call_id is None),
        "finished": (),
        "last_stop": fact.reply.stop,
        "final_done": state.final_done or final,
        "spent": spent.model_copy(
            update={
                "steps": spent.steps + 1,
                "input_tokens": spent.input_tokens + (usage.input_tokens if usage else 0),
                "output_tokens": spent.output_tokens + (usage.output_tokens if usage else 0),
            }
        ),
    }


def _charged(spent: Spent, cost: float | None) -> Spent:
    if cost is None:
        return spent.model_copy(update={"cost_known": False})
    return spent.model_copy(update={"cost": spent.cost + cost}) if cost else spent


def _acted(
    state: RunState, fact: ToolStarted | ToolFinished | ToolRefused | ApprovalAsked | ApprovalGiven
) -> dict[str, object]:
    match fact:
        case ToolStarted():
            spent = state.spent.model_copy(update={"tool_calls": state.spent.tool_calls + 1})
            return {
                **call_changed(state, fact.call_id, phase="started", intent=fact.intent, binding=fact.binding),
                "spent": spent,
                "blast": state.blast.with_intent(fact.intent, fact.risk),
                "taint": state.taint | frozenset(fact.traits),
            }
        case ToolFinished():
            return {**call_closed(state, fact.call_id, fact.result), "finished": (*state.finished, fact)}
        case ToolRefused():
            return call_closed(state, fact.call_id, fact.result)
        case ApprovalAsked():
            asked = call_changed(state, fact.call_id, phase="asked", binding=fact.binding, approved=fact.approved)
            return {**asked, "asked": fact}
        case ApprovalGiven() if state.waiting is not None and state.waiting.waiting == "breach":
            if fact.decision == "deny":
                return {"waiting": None, "cancel_asked": True}
            return {"waiting": None, "blast": state.blast.raised_by(state.waiting.exceeds)}
        case ApprovalGiven():
            phase: Phase = "denied" if fact.decision == "deny" else "allowed"
            if fact.decision in ("done", "retry", "skip"):
                phase = "unknown"
            return {
                **call_changed(state, fact.call_id, phase=phase, decision=fact.decision, note=fact.note),
                "waiting": None,
                "asked": None,
            }
        case _:
            assert_never(fact)


def _reviewed(state: RunState, fact: ReviewStarted | CallReviewed) -> dict[str, object]:
    if isinstance(fact, ReviewStarted):
        begun = Review(binding=fact.binding, model=fact.model, reserved=fact.reserved, scopes=fact.scopes)
        return call_changed(state, fact.call_id, review=begun)
    review = Review(binding=fact.binding, model=fact.model, verdict=fact.verdict, reason=fact.reason)
    return {**call_changed(state, fact.call_id, review=review), "spent": _charged(state.spent, fact.cost)}


def _with_skill(state: RunState, fact: SkillActivated) -> tuple[ActiveSkill, ...]:
    """The skills with one more; its instructions are on record once, in the result of its call or in the fact."""
    carried = (message.text for message in state.messages if message.role == "tool" and message.call_id == fact.call_id)
    skill = ActiveSkill(name=fact.name, digest=fact.digest, text=fact.text or next(carried, ""))
    return (*(other for other in state.skills if other.name != fact.name), skill)


def _worked(state: RunState, fact: WorkspacePrepared | GateFinished | Committed) -> dict[str, object]:
    match fact:
        case WorkspacePrepared():
            return {"path": fact.path}
        case GateFinished():
            others = tuple(gate for gate in state.gates if gate.gate != fact.gate)
            return {"gates": (*others, GateResult(gate=fact.gate, passed=fact.passed, output=fact.output))}
        case Committed():
            return {"committed": fact}
        case _:
            assert_never(fact)


def _filed(state: RunState, fact: FilesSnapshot | Undone) -> dict[str, object]:
    if isinstance(fact, FilesSnapshot):
        others = {of: snapshot for of, snapshot in state.snapshots.items() if of != fact.of}
        open_still = fact.moment == "before" and fact.tree is not None
        blast = state.blast.with_snapshot(fact)
        return {"snapshots": {**others, fact.of: fact} if open_still else others, "blast": blast}
    known = {} if fact.files > len(fact.paths) or fact.commit else state.seen
    changes: dict[str, object] = {
        "undone": fact,
        "seen": {path: seen for path, seen in known.items() if path not in fact.paths},
    }
    return {**changes, **told(state, undone_text(fact))}


def _lived(state: RunState, fact: Fact) -> dict[str, object]:
    match fact:
        case RunStarted():
            taint = state.taint | taint_of_words(fact.request.instructions, *fact.request.skills)
            first = UserMessage(text=fact.request.prompt, images=fact.request.images)
            return {"request": fact.request, "messages": (first,), "taint": taint}
        case SkillActivated():
            return {"skills": _with_skill(state, fact)}
        case HookRan():
            return {"hooks": (*state.hooks, fact), "messages": with_note(state.messages, fact)}
        case LimitReached():
            done = state.final_done or not fact.last_call
            return {"limit": fact.limit, "limit_detail": fact.detail, "final_done": done}
        case CancelAsked():
            return {"cancel_asked": True}
        case Parked():
            unknown = fact.waiting == "outcome_unknown" and fact.call_id is not None
            changes = call_changed(state, fact.call_id or "", phase="unknown") if unknown else {}
            return {**changes, "waiting": fact}
        case RunEnded():
            return {"ended": fact, "waiting": None}
        case Accepted() | Rejected():
            return {"landed": fact}
        case _:
            # Facts of other streams, and those that change nothing.
            return {}
