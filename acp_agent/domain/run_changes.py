"""What a fact changes in the open calls of a run and in what its model is told: the small steps of the fold."""

from typing import TYPE_CHECKING, assert_never

from acp_agent.domain.events_handover import GivenBack, Taken, given_back_text
from acp_agent.domain.events_person import (
    PersonFact,
    PicturesGiven,
    PlanApproved,
    PlanEdited,
    PlanProposed,
    QuestionAnswered,
    QuestionAsked,
)
from acp_agent.domain.message import Image, ToolMessage, UserMessage
from acp_agent.domain.question import result_of
from acp_agent.domain.taint import taint_of
from acp_agent.domain.tool import PlanStep, ToolResult, result_text
from acp_agent.domain.work_plan import plan_text

if TYPE_CHECKING:
    from acp_agent.domain.run import RunState

Changes = dict[str, object]
PICTURES = "The person sent these pictures with their words."


def call_changed(state: "RunState", call_id: str, **changes: object) -> Changes:
    """One open call with other fields."""
    return {
        "calls": tuple(
            open_call.model_copy(update=changes) if open_call.call.call_id == call_id else open_call
            for open_call in state.calls
        )
    }


def call_closed(state: "RunState", call_id: str, result: ToolResult) -> Changes:
    """A call has its result: the model reads it, and what it showed or touched is known from now on."""
    closed = next((open_call.call for open_call in state.calls if open_call.call.call_id == call_id), None)
    if closed is None:
        return {}
    answer = ToolMessage(call_id=call_id, name=closed.name, text=result_text(result))
    calls = tuple(open_call for open_call in state.calls if open_call.call.call_id != call_id)
    later = () if calls else state.told_later
    return {
        "calls": calls,
        "messages": (*state.messages, answer, *later),
        "told_later": state.told_later if calls else (),
        "seen": {**state.seen, **result.seen},
        "taint": state.taint | taint_of(result),
        "plan": state.plan if result.plan is None else result.plan,
        "loaded": (*(name for name in state.loaded if name not in result.loads), *result.loads),
        "network": state.network.with_use(result.network),
    }


def person_said(state: "RunState", fact: PersonFact) -> Changes:
    """What a question, a plan, or a person's word about them changes."""
    match fact:
        case QuestionAsked():
            return {**call_changed(state, fact.call_id, phase="asked"), "question": fact}
        case QuestionAnswered():
            return {**call_closed(state, fact.call_id, result_of(fact)), "question": None, "waiting": None}
        case PicturesGiven():
            return told(state, PICTURES, fact.images)
        case PlanProposed():
            return {"proposed": fact}
        case PlanEdited():
            return {"proposed": PlanProposed(call_id=fact.call_id, plan=fact.plan)}
        case PlanApproved():
            steps = tuple(PlanStep(text=step.text) for step in fact.plan.steps)
            words = f"A person approved this plan; work on it now, in mode {fact.mode}:\n{plan_text(fact.plan)}"
            closed = call_closed(state, fact.call_id, ToolResult(status="ok", output=words, plan=steps))
            return {**closed, "approved": fact.plan, "proposed": None, "mode": fact.mode}
        case _:
            assert_never(fact)


def told(state: "RunState", text: str, images: tuple[Image, ...] = ()) -> Changes:
    """What the model is told besides; between a call and its result no provider takes another message."""
    name = "told_later" if state.calls else "messages"
    return {name: (*(state.told_later if state.calls else state.messages), UserMessage(text=text, images=images))}


def handed(state: "RunState", fact: Taken | GivenBack) -> Changes:
    """A person has the workplace, or the run has it again, and other files than the model saw."""
    if isinstance(fact, Taken):
        return {"taken": fact}
    seen = {path: digest for path, digest in state.seen.items() if path not in fact.paths}
    return {"taken": None, "seen": seen, **told(state, given_back_text(fact))}
