"""The seam of hooks around a run: what is due is read off the record, so a driver that died forgets none.

`screened` stands between a valid call and its intent; `settle` runs before each decision whatever the record lacks
(`before_run` once the workplace exists, `after_tool` for results of the last reply); `before_end` runs `after_run`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import anyio

from acp_agent.domain.events import RunEnded, ToolFinished, ToolRefused
from acp_agent.domain.hook import HookEvent
from acp_agent.domain.ports import Prepared
from acp_agent.domain.run import OpenCall
from acp_agent.domain.tool import ToolResult
from acp_agent.runs.hooks import LONGEST_RESULT, Heard

if TYPE_CHECKING:
    from acp_agent.runs.driver import Driver

Ready = tuple[OpenCall, Prepared]


async def screened(driver: "Driver", ready: Sequence[Ready]) -> list[Ready]:
    """Those of `ready` that the hooks let pass. A blocked one is refused; at one to be asked about, the others stop.

    The question is put when nothing stands before it: what passed runs first, and then the hook is heard again.
    """
    if not any_hooks(driver):
        return list(ready)
    passed: list[Ready] = []
    for open_call, prepared in ready:
        call = open_call.call
        heard = await _hear(
            driver, "before_tool", _call_said(call.call_id, call.name, prepared), call.name, call.call_id
        )
        if heard is None:
            return []
        if heard.refusal:
            refused = ToolResult(status="refused", kind="hook", output=heard.refusal, hint="Find another way.")
            await driver.record(*heard.facts, ToolRefused(call_id=call.call_id, tool=call.name, result=refused))
        elif heard.asks and not _is_allowed(open_call, prepared):
            if not passed:
                await driver.record(*heard.facts)
                await driver.put_question(open_call, prepared, heard.asks)
            return passed
        else:
            if heard.facts:
                await driver.record(*heard.facts)
            passed.append((open_call, prepared))
    return passed


async def settle(driver: "Driver") -> None:
    """Run the hooks that the record lacks; afterwards it may say that the run has ended."""
    state = driver.state
    if not any_hooks(driver) or state.path is None or state.ended or state.waiting or state.cancel_asked:
        return
    heard = await _hear(driver, "before_run", {"prompt": driver.request.prompt})
    if heard is None:
        return
    # One transaction: a refusal on record whose end a crash cut off would have been heard already.
    ended = (RunEnded(reason="error", message=heard.refusal),) if heard.refusal else ()
    if heard.facts:
        await driver.record(*heard.facts, *ended)
    if ended:
        return
    for finished in state.finished:
        said = _result_said(finished)
        heard = await _hear(driver, "after_tool", said, finished.tool, finished.call_id)
        if heard is None:
            return
        if heard.facts:
            await driver.record(*heard.facts)


async def before_end(driver: "Driver", ended: RunEnded) -> None:
    """Run the `after_run` hooks of a run that had a workplace; nothing they say changes how it ends."""
    if not any_hooks(driver) or driver.state.path is None or driver.state.ended:
        return
    said = {"reason": ended.reason, "message": ended.message, "answer": driver.state.text[:LONGEST_RESULT]}
    # No effect that a cancellation stops: the work of a cancelled run is over, and this much is still due.
    heard = await _heard_of(driver, "after_run", said, None, None)
    if heard.facts:
        await driver.record(*heard.facts)


def any_hooks(driver: "Driver") -> bool:
    """Whether a hook is in force; without one nothing here costs anything."""
    return bool(driver.parts.hooks.own or driver.request.hooks)


async def _hear(
    driver: "Driver", event: HookEvent, said: dict[str, Any], tool: str | None = None, call_id: str | None = None
) -> Heard | None:
    """What the hooks say; None where the run was cancelled, or its time was up, before they had said it.

    The time of the run does not cut `before_run` short: a last call is made at a limit, and none before its yes.
    """
    with anyio.move_on_after(None if event == "before_run" else driver.budget_left()) as scope:
        driver.begin(scope)
        heard = await _heard_of(driver, event, said, tool, call_id)
        driver.effect = None
        return heard
    driver.effect = None
    return None


async def _heard_of(
    driver: "Driver", event: HookEvent, said: dict[str, Any], tool: str | None, call_id: str | None
) -> Heard:
    state, request = driver.state, driver.request
    done = frozenset() if event == "before_tool" else state.hooked(event, call_id)
    about = {"run": driver.claim.stream_id, "session": request.session_id, "project": request.project}
    return await driver.parts.hooks.hear(
        event,
        {**about, **said},
        state.path or "",
        of_project=request.hooks,
        tool=tool,
        call_id=call_id,
        done=done,
    )


def _is_allowed(open_call: OpenCall, prepared: Prepared) -> bool:
    return open_call.phase == "allowed" and open_call.binding == prepared.weight.binding


def _call_said(call_id: str, tool: str, prepared: Prepared) -> dict[str, Any]:
    weight = prepared.weight
    return {
        "call": call_id,
        "tool": tool,
        "arguments": dict(prepared.arguments),
        "risk": int(weight.risk),
        "commands": list(weight.commands),
        "opaque": weight.opaque,
        "reads": list(weight.reads),
        "writes": list(weight.writes),
    }


def _result_said(finished: ToolFinished) -> dict[str, Any]:
    result = finished.result
    return {
        "call": finished.call_id,
        "tool": finished.tool,
        "status": result.status,
        "kind": result.kind,
        "exit_status": result.exit_status,
        "output": result.output[:LONGEST_RESULT],
        "changed": sorted(result.seen),
    }
