"""Who may drive a run: one at a time, until its lease or its process is gone."""

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from acp_agent.domain.errors import Fenced
from acp_agent.domain.events import ApprovalGiven, ModelCalled, Parked, Resumed, RunEnded
from acp_agent.domain.location import ServerLocation
from acp_agent.domain.ports import Claim, NewStream, Owner, Pulse
from acp_agent.store.journal import StoredJournal
from acp_agent.store.owner import owner_of_this_process
from acp_agent.store.reads import Reads

pytestmark = pytest.mark.anyio
NewRun = Callable[..., NewStream]
Drive = Callable[..., Awaitable[Claim]]
CALLED = ModelCalled(call_id="m1", model="openai/small")
ELSEWHERE = Owner(host="elsewhere", boot_id="b", pid=1, started="1")

CLAIM_AND_DIE = """
import os, signal, sys
from pathlib import Path
import anyio
from acp_agent.domain.location import ServerLocation
from acp_agent.store.journal import StoredJournal
from acp_agent.store.owner import owner_of_this_process

async def main():
    first, *state = sys.argv[1:]
    location = ServerLocation(first, Path(*state)) if state else Path(first)
    async with StoredJournal(location, lease=3600) as journal:
        claim = await journal.claim("r_one", owner_of_this_process())
        print(claim.model_dump_json(), flush=True)
        sys.stdin.readline()

anyio.run(main)
"""


class Clock:
    """A time that only a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.crash
async def test_the_run_of_a_killed_process_can_be_claimed_at_once(
    journal: StoredJournal, new_run: NewRun, me: Owner, database: Path
) -> None:
    await journal.create([new_run()], "ann")
    where = map(str, database) if isinstance(database, ServerLocation) else [str(database)]
    command = [sys.executable, "-c", CLAIM_AND_DIE, *where]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        held = Claim.model_validate_json(driver.stdout.readline())
        assert held == Claim(stream_id="r_one", fence=1)
        assert (await journal.claim("r_one", me), await journal.claimable(None, 5)) == (None, [])
        with Reads(database) as reads:
            assert [(row.status, row.driven) for row in reads.runs()] == [("running", True)]

        driver.kill()
        # Dead, but a zombie for as long as nobody collects it: that counts as gone.
        os.waitid(os.P_PID, driver.pid, os.WEXITED | os.WNOWAIT)

        with Reads(database) as reads:
            assert [(row.status, row.driven) for row in reads.runs()] == [("running", False)]
        assert await journal.claimable(None, 5) == ["r_one"]
        assert await journal.claim("r_one", me) == Claim(stream_id="r_one", fence=2, takeovers=1)
    with pytest.raises(Fenced):
        await journal.append(held, [CALLED])


async def test_a_lease_that_ran_out_can_be_claimed_and_every_write_renews_it(database: Path, new_run: NewRun) -> None:
    clock = Clock()
    me = owner_of_this_process()
    async with StoredJournal(database, lease=10.0, clock=clock) as journal:
        await journal.create([new_run()], "ann")
        held = await journal.claim("r_one", ELSEWHERE)
        assert held is not None
        clock.now += 9
        await journal.append(held, [CALLED])
        clock.now += 9
        assert await journal.claim("r_one", me) is None
        assert await journal.renew([held]) == [Pulse(stream_id="r_one", seq=2)]
        clock.now += 10
        assert (await journal.claim("r_one", me), await journal.claimable(None, 5)) == (None, [])
        clock.now += 0.001
        assert await journal.claimable(None, 5) == ["r_one"]
        # Late, but nobody else came: it holds again.
        assert await journal.renew([held]) == [Pulse(stream_id="r_one", seq=2)]
        clock.now += 11
        taken = await journal.claim("r_one", me)
        assert taken == Claim(stream_id="r_one", fence=2)
        unknown = Claim(stream_id="r_x", fence=1)
        assert await journal.renew([held, taken, unknown]) == [
            Pulse(stream_id="r_one", seq=2, lost=True),
            Pulse(stream_id="r_one", seq=2),
            Pulse(stream_id="r_x", seq=0, lost=True),
        ]


async def test_what_another_boot_of_this_host_held_is_free(journal: StoredJournal, new_run: NewRun, me: Owner) -> None:
    await journal.create([new_run("r_1"), new_run("r_2"), new_run("r_3")], "ann")
    await journal.claim("r_1", me.model_copy(update={"boot_id": "an earlier one"}))
    await journal.claim("r_2", me.model_copy(update={"started": "1"}))
    await journal.claim("r_3", ELSEWHERE)
    assert await journal.claimable(None, 5) == ["r_1", "r_2"]
    assert [await journal.claim(run_id, me) for run_id in ("r_1", "r_2", "r_3")] == [
        Claim(stream_id="r_1", fence=2, takeovers=1),
        Claim(stream_id="r_2", fence=2, takeovers=1),
        None,
    ]


async def test_claimable_runs_are_the_oldest_that_nobody_drives(database: Path, new_run: NewRun, me: Owner) -> None:
    clock = Clock()
    async with StoredJournal(database, clock=clock) as journal:
        await journal.create([new_run("r_9", batch_id="b"), new_run("r_8"), new_run("r_7", batch_id="b")], "ann")
        clock.now += 1
        await journal.create([new_run(f"r_{number}") for number in (6, 1, 2)], "ann")
        ended = await journal.claim("r_8", me)
        assert ended is not None
        await journal.append(ended, [RunEnded(reason="end_turn")])
        await journal.release(ended)
        await journal.claim("r_6", me)
        assert await journal.claimable(None, 3) == ["r_9", "r_7", "r_1"]
        assert await journal.claimable("b", 9) == ["r_9", "r_7"]
        assert await journal.claimable(None, 0) == []


async def test_a_run_that_kills_its_drivers_is_parked(database: Path, new_run: NewRun, me: Owner) -> None:
    clock = Clock()
    async with StoredJournal(database, clock=clock) as journal:
        await journal.create([new_run()], "ann")
        claims: list[Claim | None] = []
        for _ in range(5):
            claim = await journal.claim("r_one", me)
            claims.append(claim)
            if claim is not None:
                await journal.append(claim, [Resumed(fence=claim.fence)])
            clock.now += 11
        assert claims == [
            Claim(stream_id="r_one", fence=1),
            Claim(stream_id="r_one", fence=2, takeovers=1),
            Claim(stream_id="r_one", fence=3, takeovers=2),
            None,
            None,
        ]
        parked = (await journal.events("r_one"))[-1]
        detail = "taken over 3 times without a new event"
        assert (parked.seq, parked.actor, parked.data) == (5, "journal", Parked(waiting="crash_loop", detail=detail))
        zombie = claims[2]
        assert zombie is not None
        with pytest.raises(Fenced):
            await journal.append(zombie, [CALLED])

        await journal.note("r_one", [ApprovalGiven(call_id="", decision="retry")], "ann")
        assert await journal.claim("r_one", me) == Claim(stream_id="r_one", fence=5)


async def test_progress_and_a_clean_return_forget_earlier_takeovers(database: Path, new_run: NewRun, me: Owner) -> None:
    clock = Clock()
    async with StoredJournal(database, clock=clock) as journal:
        await journal.create([new_run()], "ann")
        counts: list[int] = []
        for step in ("lost", "lost", "progress", "lost", "lost", "release", "lost", "lost"):
            claim = await journal.claim("r_one", me)
            assert claim is not None
            counts.append(claim.takeovers)
            if step == "progress":
                await journal.append(claim, [CALLED])
            if step == "release":
                await journal.release(claim)
            clock.now += 11
        assert counts == [0, 1, 2, 0, 1, 2, 0, 1]


async def test_the_release_of_a_lost_claim_changes_nothing(database: Path, new_run: NewRun, me: Owner) -> None:
    clock = Clock()
    async with StoredJournal(database, clock=clock) as journal:
        await journal.create([new_run()], "ann")
        old = await journal.claim("r_one", ELSEWHERE)
        clock.now += 11
        new = await journal.claim("r_one", me)
        assert old is not None and new is not None
        await journal.release(old)
        assert await journal.renew([new]) == [Pulse(stream_id="r_one", seq=1)]
