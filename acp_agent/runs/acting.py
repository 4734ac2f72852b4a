"""Running tool calls: intent on record, effect, result on record; and what became of those a crash cut off."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import anyio

from acp_agent.domain.events import Fact, Parked, ToolFinished, ToolRefused, ToolStarted
from acp_agent.domain.ports import Prepared, Tools
from acp_agent.domain.run import OpenCall
from acp_agent.domain.tool import Intent, ToolResult, call_key
from acp_agent.domain.weight import Weight
from acp_agent.runs.breach import begin, finish
from acp_agent.runs.hooking import any_hooks, screened
from acp_agent.runs.idling import ended_when_idle, stalled
from acp_agent.runs.keeping import keep_before, snapshot_after
from acp_agent.runs.skills import activated

if TYPE_CHECKING:
    from acp_agent.runs.driver import Driver


async def act(driver: "Driver", calls: tuple[OpenCall, ...]) -> None:
    """Run `calls`: invalid ones are refused, the others begin together after their intents are on record."""
    ready = await _valid(driver, calls)
    if any_hooks(driver):
        # While the hooks ran time has gone by: what they let pass is looked at once more.
        ready = await _valid(driver, [open_call for open_call, _ in await screened(driver, ready)])
    if not ready:
        return
    facts: list[Fact] = [
        *await keep_before(driver, ready),
        *(
            ToolStarted(
                call_id=open_call.call.call_id,
                tool=open_call.call.name,
                risk=prepared.weight.risk,
                intent=prepared.intent,
                binding=prepared.weight.binding,
                traits=tuple(sorted(prepared.weight.traits)),
            )
            for open_call, prepared in ready
        ),
    ]
    if await begin(driver, ready, facts):
        await _finish(driver, ready)


async def _valid(driver: "Driver", calls: Sequence[OpenCall]) -> list[tuple[OpenCall, Prepared]]:
    """Those of `calls` that can begin, as they were decided about; the others are refused."""
    ready: list[tuple[OpenCall, Prepared]] = []
    for open_call in calls:
        call = open_call.call
        key = call_key(driver.claim.stream_id, call.call_id)
        prepared = await _tools(driver).prepare(call, driver.state.seen, key)
        if not isinstance(prepared, ToolResult) and prepared.weight != driver.weights[call.call_id]:
            prepared = _other(prepared.weight)
        if isinstance(prepared, ToolResult):
            await driver.record(ToolRefused(call_id=call.call_id, tool=call.name, result=prepared))
        else:
            ready.append((open_call, prepared))
    return ready


def _other(weight: Weight) -> ToolResult:
    """The call is no longer what was decided about: a link was changed under it, or only preparing it showed more."""
    why = f": {'; '.join(weight.reasons)}" if weight.reasons else ""
    return ToolResult(
        status="refused",
        kind="changed",
        output=f"What this call would do is not what was allowed{why}.",
        hint="Look at the path again; nothing was changed.",
    )


async def recover(driver: "Driver", open_call: OpenCall) -> None:
    """A call whose driver died: take over its result, do it again, or park because nobody can tell."""
    tools = _tools(driver)
    intent = open_call.intent or Intent()
    outcome = await tools.recover(open_call.call, intent, driver.state.seen)
    call = open_call.call
    if outcome is None:
        after = await snapshot_after(driver, call.call_id)
        detail = f"{intent.title or call.name}: it had begun when the process died; whether it took effect is unknown."
        await driver.record(*after, Parked(waiting="outcome_unknown", call_id=call.call_id, detail=detail))
    elif isinstance(outcome, ToolResult):
        await driver.record(
            *await snapshot_after(driver, call.call_id),
            ToolFinished(call_id=call.call_id, tool=call.name, result=outcome),
        )
    else:
        await _finish(driver, [(open_call, outcome)])


async def _finish(driver: "Driver", ready: list[tuple[OpenCall, Prepared]]) -> None:
    """Run what is on record as begun and record the results, in the order of the calls."""
    results: dict[str, ToolResult] = {}

    async def run(open_call: OpenCall, prepared: Prepared) -> None:
        results[open_call.call.call_id] = await prepared.run()

    quiet = anyio.CancelScope()

    async def record(calls: Sequence[OpenCall]) -> None:
        finished: list[Fact] = []
        for call in (open_call.call for open_call in calls):
            result, taken_up = activated(
                driver.state.skills, call, results.get(call.call_id) or _cut_off(driver, quiet)
            )
            finished += [ToolFinished(call_id=call.call_id, tool=call.name, result=result), *taken_up]
        after = [fact for one in calls for fact in await snapshot_after(driver, one.call.call_id)]
        if quiet.cancelled_caught:
            silent = ", ".join(one.call.name for one in calls if one.call.call_id not in results)
            finished.append(stalled(silent, driver.request.limits.idle))
        if finished:
            await finish(driver, after, finished)

    try:
        with (
            anyio.move_on_after(driver.budget_left()) as scope,
            ended_when_idle(driver.request.limits.idle) as quiet,
        ):
            driver.begin(scope)
            if len(ready) == 1:
                await run(*ready[0])
            else:
                async with anyio.create_task_group() as group:
                    for open_call, prepared in ready:
                        group.start_soon(run, open_call, prepared)
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True):
            # What may run again stays open: whoever resumes does it again, as after a kill.
            specs = _tools(driver).specs()
            await record(
                [call for call, _ in ready if call.call.call_id in results or not specs[call.call.name].repeatable]
            )
        raise
    finally:
        driver.effect = None
    await record([open_call for open_call, _ in ready])


def _cut_off(driver: "Driver", quiet: anyio.CancelScope) -> ToolResult:
    """The result of a call that was stopped: by a cancellation, its time, its silence, or with its process."""
    why = "the run was cancelled" if driver.state.cancel_asked else "it was interrupted"
    if driver.halted:
        why = "everything was stopped"
    if driver.budget_left() == 0.0:
        why = "the time of the run was up"
    if quiet.cancelled_caught:
        why = f"it yielded nothing for {driver.request.limits.idle:g} s"
    return ToolResult(
        status="cancelled",
        kind="stalled" if quiet.cancelled_caught else "interrupted",
        output=f"Stopped: {why}. What it did until then stays.",
        hint="Check the state of the files before you go on.",
    )


def _tools(driver: "Driver") -> Tools:
    if driver.tools is None:
        raise ValueError("a call before the workplace was prepared")
    return driver.tools
