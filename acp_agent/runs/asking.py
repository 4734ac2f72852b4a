"""Putting a question to a person on record: what would happen, why it is asked, and what "always" would mean."""

import hashlib
import json
from typing import TYPE_CHECKING

from acp_agent.agent.actions import Adopt, Ask, Inquire, Propose
from acp_agent.domain.always import name_of, patterns_of
from acp_agent.domain.approving import REVIEWER
from acp_agent.domain.events import ApprovalAsked, Parked, ToolRefused
from acp_agent.domain.events_person import PlanApproved, PlanProposed, QuestionAsked
from acp_agent.domain.message import ToolCall
from acp_agent.domain.ports import Prepared
from acp_agent.domain.question import unanswered
from acp_agent.domain.tool import Risk, ToolResult, call_key
from acp_agent.domain.work_plan import WorkPlan
from acp_agent.runs.hooking import screened

if TYPE_CHECKING:
    from acp_agent.runs.driver import Driver


async def ask(driver: "Driver", action: Ask | Inquire | Propose | Adopt) -> None:
    """Put the question on record and wait; an invalid call is refused instead of asked about."""
    call = action.call.call
    if isinstance(action, Adopt):
        await _adopt(driver, action)
        return
    if driver.tools is None:
        raise ValueError("a call before the workplace was prepared")
    prepared = await driver.tools.prepare(call, driver.state.seen, call_key(driver.claim.stream_id, call.call_id))
    if isinstance(prepared, ToolResult):
        await driver.record(ToolRefused(call_id=call.call_id, tool=call.name, result=prepared))
        return
    if not await screened(driver, [(action.call, prepared)]):
        return
    match action:
        case Inquire():
            await _inquire(driver, action, prepared)
        case Propose():
            await _propose(driver, action, prepared)
        case Ask():
            await put_question(driver, action, prepared)


async def _propose(driver: "Driver", action: Propose, prepared: Prepared) -> None:
    """Put a plan on record and wait for a person, as for any call that they must approve."""
    call_id, plan = action.call.call.call_id, WorkPlan.model_validate(prepared.arguments)
    asked = ApprovalAsked(
        call_id=call_id,
        tool=action.call.call.name,
        risk=action.weight.risk,
        title=prepared.intent.title,
        binding=action.weight.binding,
    )
    parked = Parked(waiting="approval", call_id=call_id, detail=asked.title)
    await driver.record(PlanProposed(call_id=call_id, plan=plan), asked, parked)


async def _adopt(driver: "Driver", action: Adopt) -> None:
    proposed = driver.state.proposed
    if proposed is None:
        raise ValueError("an approval without a plan")
    await driver.record(PlanApproved(call_id=action.call.call.call_id, plan=proposed.plan, mode=action.mode))


async def _inquire(driver: "Driver", action: Inquire, prepared: Prepared) -> None:
    """Put the agent's own question on record and wait; where nobody watches, a default is the answer at once."""
    given = {name: prepared.arguments[name] for name in ("question", "choices", "default", "deadline")}
    asked = QuestionAsked.model_validate({"call_id": action.call.call.call_id, **given})
    watched = driver.request.attended
    if not watched and (asked.default is not None or action.alone):
        await driver.record(asked, unanswered(asked, "nobody"))
    else:
        await driver.record(asked, Parked(waiting="answer", call_id=asked.call_id, detail=asked.question))


async def put_question(driver: "Driver", action: Ask, prepared: Prepared) -> None:
    """Ask a person about a valid call, and wait."""
    call = action.call.call
    if driver.tools is None:
        raise ValueError("a call before the workplace was prepared")
    dry_run = None
    if prepared.weight.risk >= Risk.EXTERNAL:
        with driver.stoppable():
            dry_run = await prepared.rehearse()
        if driver.state.cancel_asked:
            return
    asked = _question(action, prepared, dry_run, is_command=driver.tools.specs()[call.name].kind == "execute")
    parked = Parked(waiting="approval", call_id=call.call_id, detail=asked.title)
    if not driver.request.attended:
        policy = await driver.parts.policy(driver.request)
        if policy.then or policy.last == "deny":
            given = {"within": policy.answer_within, "then": policy.then, "last": policy.last}
            parked = parked.model_copy(update=given)
    await driver.record(asked, parked)


def _question(action: Ask, prepared: Prepared, dry_run: str | None, *, is_command: bool) -> ApprovalAsked:
    call, weight = action.call.call, prepared.weight
    approved, why = _approved_before(action, weight.binding)
    title = prepared.intent.title or call.name
    # What asks for it, unless that is what the call weighs.
    mode = (action.why,) if action.why and action.why != "; ".join(weight.reasons) else ()
    name, known_as = "", ""
    patterns: tuple[str, ...] = ()
    if action.always:
        known_as = always_name(call, title) if is_command else call.name
        # A command that hides what it does has no name that could be allowed.
        patterns = patterns_of(weight) if is_command and not weight.opaque else ()
        name = "" if is_command and not patterns else name_of(call.name, patterns)
    return ApprovalAsked(
        call_id=call.call_id,
        tool=call.name,
        risk=weight.risk,
        title=title,
        preview=prepared.preview,
        name=name,
        patterns=patterns,
        known_as=known_as,
        binding=weight.binding,
        dry_run=dry_run,
        approved=approved,
        needed=action.needed,
        reasons=tuple(dict.fromkeys((*mode, *weight.reasons, *why))),
    )


def _approved_before(action: Ask, binding: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Who has approved this very call, the reviewer included, and what a person should know of that."""
    open_call, told = action.call, []
    approved = open_call.approved if open_call.binding == binding else ()
    review = open_call.review
    if review is not None and review.binding == binding:
        told.append(f"the reviewer ({review.model}): {review.verdict}: {review.reason}")
        if review.verdict == "approve":
            approved = tuple(dict.fromkeys((*approved, REVIEWER)))
    if action.needed > 1:
        given = f", given by {', '.join(approved)}" if approved else ""
        told.append(f"it needs {action.needed} different approvers, one of them a person{given}")
    return approved, tuple(told)


def always_name(call: ToolCall, title: str) -> str:
    """By which name sessions of earlier versions allowed a command: itself, told apart from all that look like it."""
    try:
        arguments = json.loads(call.arguments)
    except (ValueError, RecursionError):
        arguments = call.arguments
    if isinstance(arguments, dict):
        arguments = {name: value for name, value in arguments.items() if name != "timeout"}
    whole = json.dumps(arguments, sort_keys=True).encode()
    return f"{call.name}: {title} #{hashlib.sha256(whole).hexdigest()[:16]}"
