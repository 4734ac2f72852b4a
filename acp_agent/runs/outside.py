"""What a run did outside its workplace, read from its record: what can be taken back of it, and what cannot."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from acp_agent.domain.events import ApprovalGiven, Event, ModelReplied, ToolFinished, ToolStarted
from acp_agent.domain.events_effects import CompensationFinished, CompensationStarted
from acp_agent.domain.message import ToolCall
from acp_agent.domain.tool import Intent, Risk, ToolResult

_NEVER_BEGAN = frozenset({"not_started", "no_sandbox", "sandbox_failed"})
"""Failures after which there is nothing to take back."""


@dataclass(frozen=True, slots=True)
class Effect:
    """A call in step `step` (the number of the model's reply) with an effect that is no file.

    `happened` is None where nobody can tell. `taken_back`: `begun` is one whose process died before it was told.
    """

    step: int
    call: ToolCall
    intent: Intent
    happened: bool | None = None
    taken_back: Literal["no", "begun", "yes"] = "no"

    @property
    def title(self) -> str:
        """What a person reads."""
        return self.intent.title or self.call.name

    def is_due(self, *, unsure: bool) -> bool:
        """Whether an undo takes it back; `unsure`: also what nobody can tell of, with the same idempotency key."""
        if not self.intent.compensates:
            return False
        return unsure or (self.happened is True and self.taken_back == "no")


def outside(events: Iterable[Event], after_step: int = 0) -> list[Effect]:
    """The effects after a step, oldest first, but for those that never were and those that were taken back."""
    step = 0
    calls: dict[str, ToolCall] = {}
    found: dict[tuple[int, str], Effect] = {}
    for fact in (event.data for event in events):
        match fact:
            case ModelReplied():
                step += 1
                calls = {call.call_id: call for call in fact.reply.message.calls}
            case ToolStarted(call_id=call_id, intent=intent) if call_id in calls and _is_outside(fact):
                found[step, call_id] = Effect(step, calls[call_id], intent)
            case ToolFinished(call_id=call_id, result=result) if (step, call_id) in found:
                one = found[step, call_id]
                # Where a person chose to skip it, the result is no word of the tool.
                happened = one.happened if one.happened is False else _happened(result)
                found[step, call_id] = replace(one, happened=happened)
            case ApprovalGiven(decision="skip", call_id=call_id) if (step, call_id) in found:
                found[step, call_id] = replace(found[step, call_id], happened=False)
            case CompensationStarted() if (fact.step, fact.call_id) in found:
                found[fact.step, fact.call_id] = replace(found[fact.step, fact.call_id], taken_back="begun")
            case CompensationFinished() if (fact.step, fact.call_id) in found:
                state: Literal["yes", "no"] = "yes" if fact.result.status == "ok" else "no"
                found[fact.step, fact.call_id] = replace(found[fact.step, fact.call_id], taken_back=state)
            case _:
                pass
    left = (one for one in found.values() if one.happened is not False and one.taken_back != "yes")
    return [one for one in left if one.step > after_step]


def _is_outside(fact: ToolStarted) -> bool:
    """Files that a tool names are brought back as files; what commands in the sandbox change, too."""
    return fact.intent.compensates or (fact.risk >= Risk.DRAFT and not fact.intent.after)


def _happened(result: ToolResult) -> bool | None:
    if result.status == "ok":
        return True
    return False if result.status == "refused" or result.kind in _NEVER_BEGAN else None
