"""What a dead worker leaves is taken over at once, however busy those are that live."""

from pathlib import Path

import anyio
import pytest

from acp_agent.domain.events import RunEnded
from acp_agent.domain.ports import Claim, Owner
from acp_agent.domain.request import RunRequest, Workplace
from acp_agent.domain.run import RunState, fold
from acp_agent.engines.local import LocalEngine
from acp_agent.runs.runner import new_run
from acp_agent.store.journal import StoredJournal
from acp_agent.store.owner import owner_of_this_process

pytestmark = pytest.mark.anyio
ELSEWHERE = Owner(host="elsewhere", boot_id="b", pid=7, started="1")
"""Nobody here can tell whether it lives: its lease must run out."""


class Patient:
    """Drives a run until it is told to end it."""

    def __init__(self, journal: StoredJournal) -> None:
        self._journal = journal
        self._more = anyio.Event()
        self.begun: list[str] = []
        self.end = anyio.Event()

    async def drive(self, claim: Claim) -> RunState:
        """Wait, then end it."""
        self.begun.append(claim.stream_id)
        self._more.set()
        await self.end.wait()
        await self._journal.append(claim, [RunEnded(reason="end_turn", message="")])
        return fold(await self._journal.events(claim.stream_id))

    async def poke(self, run_id: str, seq: int) -> None:
        """It reads nothing."""

    def abandon(self, run_id: str) -> None:
        """It has no effects."""

    def halt(self, run_id: str) -> None:
        """It has no effects."""

    async def has_begun(self, runs: int) -> list[str]:
        """Those it drives, once they are so many."""
        while len(self.begun) < runs:
            await self._more.wait()
            self._more = anyio.Event()
        return self.begun


async def test_a_worker_without_a_free_slot_takes_over_what_a_dead_one_left(tmp_path: Path) -> None:
    now = [1_000.0]

    def clock() -> float:
        return now[0]

    place = Workplace(kind="inplace", root="/project")
    request = RunRequest(prompt="mend it", workplace=place, models=("openai/small",), queue="any")
    database = tmp_path / "acp.db"
    async with (
        StoredJournal(database, lease=100.0, clock=clock) as journal,
        StoredJournal(database, lease=10.0, clock=clock) as elsewhere,
    ):
        ids = [f"r_{number}" for number in range(6)]
        await journal.create([new_run(request, run_id=run_id) for run_id in ids], "ann")
        left = await elsewhere.claim_first(ids[:3], ELSEWHERE, 3)
        assert [claim.stream_id for claim in left] == ids[:3]
        worker, stop = Patient(journal), anyio.Event()
        engine = LocalEngine(journal, worker, owner_of_this_process(), heartbeat=0.01)
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(engine.serve, frozenset({"any"}), 2, stop)
                assert await worker.has_begun(2) == ids[3:5]
                now[0] += 10.5
                # Both slots are taken still; as many again are there for what was left, and no more.
                assert await worker.has_begun(4) == [*ids[3:5], *ids[:2]]
                worker.end.set()
                assert sorted(await worker.has_begun(6)) == ids
                stop.set()
        assert await journal.run_counts() == {"ended": 6}
