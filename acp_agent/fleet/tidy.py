"""Takes away the worktree and branch of a run that left nothing there, so that they do not pile up.

Safe after a kill at any instant: it is decided by what stands on disk, and a removal that was begun is found and ended.
"""

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from acp_agent.domain.errors import AcpAgentError
from acp_agent.domain.request import Workplace
from acp_agent.fleet.checkout import Checkout, Place
from acp_agent.fleet.removal import discard_if, is_half_removed
from acp_agent.store.reads import EventRow, RunRow

AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Leftover:
    """Where an ended run without a commit worked; `written` are the files its own tools wrote, from the project."""

    run_id: str
    place: Workplace
    written: frozenset[str]

    @staticmethod
    def of(run: RunRow, events: Sequence[EventRow]) -> "Leftover | None":
        """The place of `run` if it may be in nobody's way any more; None for one that is alive, or has a result.

        A run whose set-up failed keeps its place: that is where a person finds out why.
        """
        if run.status != "ended" or run.commit_sha or run.landed or run.path is None or not run.worktree:
            return None
        place = Workplace.model_validate(events[0].data["request"]["workplace"])
        written = {path for event in events if event.type == "tool_started" for path in event.data["intent"]["after"]}
        return Leftover(run.id, place, frozenset(written))


async def tidy(leftovers: Collection[Leftover]) -> None:
    """Remove each of `leftovers` in which there is nothing."""
    slots = anyio.CapacityLimiter(AT_ONCE)

    async def one(leftover: Leftover) -> None:
        async with slots:
            try:
                await discard_if(leftover.place, lambda place: _is_empty(place, leftover.written))
            except (AcpAgentError, OSError):
                # The run's result is on record whatever becomes of its place; `acp reject` tries again and says why.
                return

    async with anyio.create_task_group() as group:
        for leftover in leftovers:
            group.start_soon(one, leftover)


async def drop_if_empty(folder: Path) -> None:
    """Remove the folder that held a batch's worktrees once nothing is left in it."""
    with contextlib.suppress(OSError):  # not empty, or never made
        await anyio.Path(folder).rmdir()


async def _is_empty(place: Place, written: Collection[str]) -> bool:
    """Whether nothing would be lost: no commit, no change, and no ignored file that the agent wrote by name."""
    checkout = Checkout.of(place)
    if checkout is None:
        return not await anyio.Path(place.worktree).exists()
    if is_half_removed(checkout.private):
        return True
    status = await checkout.status()
    if status.changes or (status.head, status.branch) != (place.base, place.branch) or checkout.in_progress:
        return False
    return not await _untracked(checkout, [path for path in written if await anyio.Path(place.path, path).exists()])


async def _untracked(checkout: Checkout, paths: Collection[str]) -> set[str]:
    """Those of `paths` (from the project's directory) that are in no commit."""
    if not paths:
        return set()
    prefix = f"{checkout.place.subdir}/" if checkout.place.subdir else ""
    named = {f"{prefix}{path}" for path in paths}
    return named - set((await checkout.git("ls-files", "-z", "--", *named)).fields)
