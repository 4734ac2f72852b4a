"""Processes that die around a commit, and processes that share one file: nothing is ever half written."""

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from acp_agent.domain.ports import NewStream, Owner
from acp_agent.domain.run import fold
from acp_agent.store.journal import StoredJournal
from acp_agent.store.reads import BudgetRow, Reads

NewRun = Callable[..., NewStream]

# Four runs beside each other; every write of one has several rows: events, a summary, money.
WORK = """
import os, sys
import anyio
from acp_agent.domain.budget import Cap, Reservation, Settlement
from acp_agent.domain.events import ModelCalled, ModelReplied, RunEnded, RunStarted
from acp_agent.domain.message import AssistantMessage, Reply, Usage
from acp_agent.domain.ports import NewStream
from acp_agent.domain.request import RunRequest, Workplace
from acp_agent.store.journal import StoredJournal
from acp_agent.store.owner import owner_of_this_process
from acp_agent.testing.crash import CrashPoints

CALLED = ModelCalled(call_id="m1", model="openai/small", reserved=0.5)
WORDS = AssistantMessage(text="x" * 5000)
REPLY = Reply(message=WORDS, stop="end_turn", model="openai/small", usage=Usage(input_tokens=3))
REPLIED = ModelReplied(call_id="m1", reply=REPLY, cost=0.25)

def new(run_id):
    place = Workplace(kind="inplace", root="/project")
    request = RunRequest(prompt="mend it", workplace=place, models=("openai/small",), session_id=run_id, batch_id="b")
    started = (RunStarted(request=request),)
    return NewStream(stream_id=run_id, kind="run", facts=started, caps=(Cap(scope=run_id, cap=9.0),))

async def drive(journal, run_id):
    claim = await journal.claim(run_id, owner_of_this_process())
    for _ in range(2):
        await journal.append(claim, [CALLED], reserve=[Reservation(scope=run_id, amount=0.5)])
        booked = Settlement(scope=run_id, reserved=0.5, spent=0.5)
        await journal.append(claim, [REPLIED, CALLED, REPLIED], settle=[booked])
    await journal.append(claim, [RunEnded(reason="end_turn")])
    await journal.release(claim)

async def main(path, names):
    async with StoredJournal(path, crash=CrashPoints.from_env(os.environ).hit) as journal:
        await journal.create([new(name) for name in names], "ann")
        async with anyio.create_task_group() as group:
            for name in names:
                group.start_soon(drive, journal, name)

anyio.run(main, sys.argv[1], sys.argv[2:])
"""
NAMES = ["r_a", "r_b", "r_c", "r_d"]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A file: these tests open it themselves."""
    return tmp_path / "state" / "acp 100%.db"


def work(database: Path, names: list[str], environment: dict[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", WORK, str(database), *names], env=environment, text=True)


def assert_whole(database: Path, names: list[str]) -> list[int]:
    """Every row agrees with every other; the number of events of each run."""
    with Reads(database) as reads:
        rows = reads.runs(batch_id="b")
        assert [row.id for row in rows] in ([], names)
        budgets = {budget.scope: budget for budget in reads.budgets()}
        lengths: list[int] = []
        for row in rows:
            events = reads.events(row.id)
            kinds = [event.type for event in events]
            replies, calls = kinds.count("model_replied"), kinds.count("model_called")
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            # In threes with the call between them, or not at all.
            assert replies % 2 == 0
            assert (row.steps, row.cost, row.tokens_in) == (replies, replies * 0.25, replies * 3)
            in_flight = calls - replies
            assert in_flight in (0, 1)
            assert budgets[row.id] == BudgetRow(row.id, 9.0, in_flight * 0.5, replies / 2 * 0.5)
            assert row.status == ("ended" if "run_ended" in kinds else row.status)
            assert row.last_type == kinds[-1]
            lengths.append(len(events))
    connection = sqlite3.connect(database)
    counters = connection.execute("SELECT seq FROM acp_stream ORDER BY id").fetchall()
    assert [seq for (seq,) in counters] == lengths
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    return lengths


@pytest.mark.crash
@pytest.mark.parametrize(
    ("point", "count"),
    [
        *(("journal.before_commit", count) for count in (1, 2, 5)),
        *(("journal.after_commit", count) for count in (1, 3, 7)),
    ],
)
def test_a_kill_at_a_commit_leaves_everything_or_nothing_of_it(
    tmp_path: Path, clean_environ: dict[str, str], new_run: NewRun, me: Owner, point: str, count: int
) -> None:
    database = tmp_path / "acp.db"
    with work(database, NAMES, {**clean_environ, "ACP_CRASH_AT": f"{point}:{count}"}) as process:
        assert process.wait() == -signal.SIGKILL
    lengths = assert_whole(database, NAMES)
    # The first commit creates all four runs.
    assert len(lengths) == (0 if (point, count) == ("journal.before_commit", 1) else 4)

    async def next_process() -> None:
        async with StoredJournal(database) as journal:
            await journal.create([new_run("r_new")], "ann")
            going_on = [name for name, length in zip(NAMES, lengths, strict=False) if length < 10]
            assert await journal.claimable("b", 9) == going_on
            for run_id in going_on:
                assert await journal.claim(run_id, me) is not None
                assert fold(await journal.events(run_id)).ended is None

    anyio.run(next_process)


def test_processes_that_start_on_one_missing_file_all_succeed(tmp_path: Path, clean_environ: dict[str, str]) -> None:
    database = tmp_path / "new" / "acp.db"
    groups = [[f"r_{letter}{number}" for number in range(4)] for letter in "pqrs"]
    processes = [work(database, names, clean_environ) for names in groups]
    assert [process.wait() for process in processes] == [0, 0, 0, 0]
    names = sorted(name for group in groups for name in group)
    with Reads(database) as reads:
        assert {row.id: (row.status, len(reads.events(row.id))) for row in reads.runs()} == {
            name: ("ended", 10) for name in names
        }


RACE = """
import json, sys
import anyio
from acp_agent.store.journal import StoredJournal
from acp_agent.store.owner import owner_of_this_process

async def main(path):
    taken = []
    async with StoredJournal(path) as journal:
        while ids := await journal.claimable(None, 3):
            for run_id in ids:
                claim = await journal.claim(run_id, owner_of_this_process())
                taken += [run_id] if claim else []
    print(json.dumps(taken), flush=True)
    # Alive until all are done: what a finished process held would be free.
    sys.stdin.read()

anyio.run(main, sys.argv[1])
"""


def test_two_processes_never_hold_the_same_run(tmp_path: Path, clean_environ: dict[str, str], new_run: NewRun) -> None:
    database = tmp_path / "acp.db"
    names = [f"r_{number}" for number in range(40)]

    async def create() -> None:
        async with StoredJournal(database) as journal:
            await journal.create([new_run(name) for name in names], "ann")

    anyio.run(create)
    command = [sys.executable, "-c", RACE, str(database)]
    drivers = [
        subprocess.Popen(command, env=clean_environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    taken: list[str] = []
    for driver in drivers:
        assert driver.stdout is not None
        taken += json.loads(driver.stdout.readline())
    for driver in drivers:
        driver.communicate()
    assert sorted(taken) == sorted(names)
