"""What a model is shown: the system message, the conversation, and nothing that is not in the record."""

from typing import Any

from acp_agent.agent.prompts import APPROVED, FINAL_REMARK, PLANNING, answer_rule, system_text
from acp_agent.domain.message import AssistantMessage, Message, SystemMessage, ToolMessage, UserMessage
from acp_agent.domain.policy import Mode
from acp_agent.domain.request import RunRequest
from acp_agent.domain.run import RunState
from acp_agent.domain.work_plan import plan_text


def assemble(
    state: RunState, *, final: bool = False, history: tuple[Message, ...] = (), notes: tuple[str, ...] = ()
) -> tuple[Message, ...]:
    """The messages of the next call: the system message, `history` of the session, then the run's own conversation.

    A skill in force stands in the system message unless the conversation still carries it: whatever is left out of the
    conversation, no skill ever is. `notes` are lines about tools, as they stand now; they end the system message, which
    changes only with them. Every tool call has its result: one that was cut off gets a line that says so. A `final`
    call ends with a remark that asks for the summary.
    """
    request = state.request
    if request is None:
        raise ValueError("a run without its first event has no context")
    rest = _closed((*history, *state.messages))
    kept = (*_planned(state, request), *_pinned(state, rest))
    parts = [system_text(request, state.path or request.workplace.root), *kept, "\n".join(notes)]
    system = SystemMessage(text="\n\n".join(filter(None, parts)))
    remark = (UserMessage(text=_final_text(request.answer_schema)),) if final else ()
    return (system, *rest, *remark)


def _planned(state: RunState, request: RunRequest) -> tuple[str, ...]:
    """The plan that was approved, in every context from then on; before it, that there is to be one."""
    if state.approved is not None:
        return (f"{APPROVED}\n{plan_text(state.approved)}",)
    return (PLANNING,) if request.mode is Mode.PLAN and not request.read_only else ()


def _pinned(state: RunState, messages: tuple[Message, ...]) -> tuple[str, ...]:
    """The instructions of skills in force that no message carries."""
    carried = [message.text for message in messages if isinstance(message, ToolMessage)]
    return tuple(skill.text for skill in state.skills if not any(skill.text in text for text in carried))


def _final_text(schema: dict[str, Any] | None) -> str:
    return FINAL_REMARK if schema is None else f"{FINAL_REMARK}\n{answer_rule(schema)}"


def _closed(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """`messages` with a result after every assistant message for each of its calls, as providers demand."""
    answered = {message.call_id for message in messages if isinstance(message, ToolMessage)}
    closed: list[Message] = []
    for message in messages:
        closed.append(message)
        if isinstance(message, AssistantMessage):
            closed.extend(
                ToolMessage(call_id=call.call_id, name=call.name, text="cancelled: the run ended before this call.")
                for call in message.calls
                if call.call_id not in answered
            )
    return tuple(closed)
