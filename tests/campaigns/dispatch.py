"""How fast workers on PostgreSQL take runs that have nothing to do, and whether their memory stays what it was."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from acp_agent.domain.events import CancelAsked
from acp_agent.domain.ports import NewStream
from acp_agent.domain.request import RunRequest, Workplace
from acp_agent.runs.runner import new_run
from acp_agent.store.journal import StoredJournal
from acp_agent.testing.killer import Victim
from acp_agent.testing.postgres import PostgresServer
from tests.crash.world import PATIENCE, World

RUNS = 10_000
WORKERS = 2
JOBS = 32
FASTEST = 300.0
"""Runs a second that a machine with two cores to itself is to dispatch."""
GROWTH = 1.15
"""Times the memory at a tenth of the runs that a worker may have at their end."""


@dataclass(frozen=True)
class Dispatched:
    """What was seen: `timed` of the runs ended in `seconds`; MiB of a worker at a tenth and at the end of the runs."""

    ended: int
    timed: int
    seconds: float
    early: float
    late: float


def queued(number: int) -> NewStream:
    """A run that ends as soon as somebody drives it: its cancellation is on record already."""
    place = Workplace(kind="inplace", root="/")
    request = RunRequest(prompt="nothing", workplace=place, models=("openai/none",), queue="any", commit=False)
    return new_run(request, [CancelAsked()], f"r_{number:06}")


async def dispatch(root: Path, url: str, runs: int) -> Dispatched:
    """Let workers drive `runs` that wait already."""
    with World(root, ("alpha",), (), {"README.md": "alpha\n"}, url=url) as world:
        async with StoredJournal(world.database) as journal:
            for first in range(0, runs, 1_000):
                some = [queued(number) for number in range(first, min(first + 1_000, runs))]
                await journal.create(some, "campaign")
            crew = [world.start("worker", "--queues", "any", "-j", str(JOBS)) for _ in range(WORKERS)]
            before = await _ended(journal, crew, 1)
            began = time.monotonic()
            await _ended(journal, crew, runs // 10)
            early = _memory(crew)
            ended = await _ended(journal, crew, runs)
            seconds = time.monotonic() - began
        late = _memory(crew)
        for worker in crew:
            worker.wait_for_line("takes any", stream="stderr")
            worker.signal(signal.SIGTERM)
        for worker in crew:
            ending = worker.wait(PATIENCE)
            worker.close()
            if ending.exit_code != 0:
                raise RuntimeError(f"a worker exits {ending.exit_code}: {ending.errors[-1000:]}")
    return Dispatched(ended, ended - before, seconds, early, late)


def main(n: int | None, seed: int) -> int:
    """Dispatch `n` runs (default 10,000); 1 where that was slower than wanted, or memory grew."""
    root = Path(tempfile.mkdtemp(prefix="acp-dispatch-"))
    with PostgresServer() as server:
        seen = anyio.run(dispatch, root, server.new_url(), n or RUNS)
    shutil.rmtree(root)
    rate = seen.timed / seen.seconds
    print(f"{seen.timed} runs by {WORKERS} workers in {seen.seconds:.1f} s: {rate:.0f} a second (wanted: {FASTEST:g})")
    print(f"memory of a worker: {seen.early:.0f} MiB at a tenth of them, {seen.late:.0f} MiB at their end")
    return 0 if rate >= FASTEST and seen.late <= GROWTH * seen.early else 1


async def _ended(journal: StoredJournal, crew: Sequence[Victim], least: int) -> int:
    """How many runs have ended, once it is so many."""
    while (found := (await journal.run_counts()).get("ended", 0)) < least:
        for worker in crew:
            if not worker.alive:
                raise RuntimeError(f"a worker ended: {worker.wait(PATIENCE).errors[-1000:]}")
        await anyio.sleep(0.1)
    return found


def _memory(crew: Sequence[Victim]) -> float:
    """Resident MiB of the largest worker."""
    found = [Path(f"/proc/{worker.pid}/status").read_text("ascii") for worker in crew]
    return max(int(text.partition("VmRSS:")[2].split()[0]) for text in found) / 1024
