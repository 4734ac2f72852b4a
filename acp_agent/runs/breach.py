"""Keeps a run within its blast limits: what a call says it will change is counted before, what a command did after."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from acp_agent.domain.blast import Blast, Excess, batch_scope, beyond, growth, report
from acp_agent.domain.budget import Reservation
from acp_agent.domain.errors import OverBudget
from acp_agent.domain.events import Fact, Parked
from acp_agent.domain.events_files import FilesSnapshot
from acp_agent.domain.ports import Prepared
from acp_agent.domain.run import OpenCall

if TYPE_CHECKING:
    from acp_agent.runs.driver import Driver


async def begin(driver: "Driver", ready: Sequence[tuple[OpenCall, Prepared]], facts: Sequence[Fact]) -> bool:
    """Record `facts`, the intents of `ready`, if all limits hold with them; else park, and nothing begins."""
    blast = driver.state.blast
    for open_call, prepared in ready:
        blast = blast.with_intent(prepared.intent, prepared.weight.risk)
        since_start = driver.state.last_ts - driver.state.started_at
        if exceeds := beyond(blast, driver.request.blast, driver.elapsed, since_start):
            await driver.record(parked(exceeds, prepared.intent.title, open_call.call.call_id))
            return False
    first_call, first = ready[0]
    return await _booked(driver, facts, blast, (first.intent.title, first_call.call.call_id), begun=False)


async def finish(driver: "Driver", snapshots: Sequence[FilesSnapshot], facts: Sequence[Fact]) -> None:
    """Record what was done. A limit of the batch that it goes beyond parks the run; its own are looked at next."""
    blast = driver.state.blast
    for snapshot in snapshots:
        blast = blast.with_snapshot(snapshot)
    await _booked(driver, [*snapshots, *facts], blast, ("a command", None), begun=True)


def parked(exceeds: Sequence[Excess], doing: str, call_id: str | None = None) -> Parked:
    """The fact that a person must look, and why."""
    return Parked(waiting="breach", detail=report(exceeds, doing), call_id=call_id, exceeds=tuple(exceeds))


async def _booked(
    driver: "Driver", facts: Sequence[Fact], blast: Blast, doing: tuple[str, str | None], *, begun: bool
) -> bool:
    """Record `facts`, and in the same transaction what they add to the counts of the batch."""
    shared = driver.request.blast.shared
    grown = growth(driver.state.blast, blast, shared)
    batch_id = driver.request.batch_id
    reserve = [Reservation(scope=batch_scope(batch_id, name), amount=amount) for name, amount in grown.items()]
    try:
        await driver.record(*facts, reserve=reserve)
    except OverBudget as error:
        name = error.scope.rpartition(":")[2]
        would_be = error.outstanding + grown[name]
        excess = Excess(what=f"batch {name}", would_be=would_be, limit=shared[name])
        await driver.record(*(facts if begun else ()), parked([excess], *doing))
        return False
    return True
