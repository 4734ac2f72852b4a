"""What is kept around an effect so that it can be undone: contents before a write, snapshots around a command."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import anyio

from acp_agent.domain.events_files import FilesSnapshot
from acp_agent.domain.ports import Prepared
from acp_agent.domain.run import OpenCall
from acp_agent.domain.tool import Risk, ToolSpec

if TYPE_CHECKING:
    from acp_agent.runs.driver import Driver


async def keep_before(driver: "Driver", ready: Sequence[tuple[OpenCall, Prepared]]) -> list[FilesSnapshot]:
    """Keep what the calls in `ready` may change; returns the facts to record before they begin.

    A tool that says which files it changes needs their contents only; any other one that writes, a snapshot.
    """
    facts: list[FilesSnapshot] = []
    for open_call, prepared in ready:
        if prepared.intent.after:
            await driver.parts.snapshots.keep(driver.claim.stream_id, prepared.originals)
        elif may_write(driver, open_call.call.name):
            facts += await snapshot_before(driver, open_call.call.call_id)
    return facts


async def snapshot_before(driver: "Driver", of: str) -> list[FilesSnapshot]:
    """The snapshot to record before `of`; nothing where one is on record, of a try that a kill cut short."""
    if of in driver.state.snapshots or driver.state.path is None:
        return []
    driver.kept.add(of)
    return [await driver.parts.snapshots.before(driver.claim.stream_id, of, driver.state.path)]


async def snapshot_after(driver: "Driver", of: str) -> list[FilesSnapshot]:
    """What changed since the snapshot on record before `of`; nothing where there is none."""
    before = driver.state.snapshots.get(of)
    if before is None or driver.state.path is None:
        return []
    # Short, and without it what was done could not be undone: a cancellation waits.
    with anyio.CancelScope(shield=True):
        late = of not in driver.kept
        fact = await driver.parts.snapshots.after(driver.claim.stream_id, before, driver.state.path, late=late)
    return [fact]


def may_write(driver: "Driver", tool: str) -> bool:
    """Whether a tool may change files without saying which."""
    specs = driver.tools.specs() if driver.tools is not None else {}
    spec: ToolSpec | None = specs.get(tool)
    return spec is not None and spec.risk > Risk.READ
