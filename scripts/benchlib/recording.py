"""What the record costs: `python -m benchlib.recording WHAT RUNS DIRECTORY` prints one number.

`calls` and `plain-calls` print seconds per tool call, whose intent and result are two writes, each under its fence: by
the journal, and as one transaction for each write on the same kind of file. `resume` and `plain-resume` print the
seconds in which so many open runs are found, claimed and folded, and in which their rows are merely read and parsed.
`size` and `plain-size` print the bytes that a call takes in the database, and those of its two facts alone.
"""

import asyncio
import json
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import anyio

from acp_agent.domain.events import Fact, RunStarted, ToolFinished, ToolStarted
from acp_agent.domain.ports import Claim, NewStream, Owner
from acp_agent.domain.request import RunRequest, Workplace
from acp_agent.domain.run import fold
from acp_agent.domain.tool import Intent, Risk, ToolResult
from acp_agent.observe.memory import imports_are_done
from acp_agent.store.journal import StoredJournal
from acp_agent.store.owner import owner_of_this_process
from benchlib.case import Case, Side
from benchlib.figures import Limit
from benchlib.world import World

CALLS = 2_000
"""Calls in all that one sample of `calls` records."""
STEPS = 20
"""Calls that each of the open runs has on record."""
SLOTS = 4
"""Runs that are taken up at once: what `acp run` and `acp worker` do without `-j`."""
OUTPUT = "x" * 400
PLAIN = """
CREATE TABLE stream (id TEXT PRIMARY KEY, seq INTEGER NOT NULL, fence INTEGER NOT NULL);
CREATE TABLE event (stream_id TEXT, seq INTEGER, ts REAL, type TEXT, data TEXT, PRIMARY KEY (stream_id, seq))"""


def _facts(number: int) -> tuple[Fact, Fact]:
    call_id = f"c_{number}"
    started = ToolStarted(call_id=call_id, tool="read_file", risk=Risk.READ, intent=Intent(title="Read src/app.py"))
    return started, ToolFinished(call_id=call_id, tool="read_file", result=ToolResult(status="ok", output=OUTPUT))


def _opened(run_id: str) -> NewStream:
    request = RunRequest(
        prompt="mend it", workplace=Workplace(kind="inplace", root="/project"), models=("openai/small",)
    )
    return NewStream(stream_id=run_id, kind="run", facts=(RunStarted(request=request),))


async def _claimed(journal: StoredJournal, runs: int, owner: Owner) -> list[Claim]:
    ids = [f"r_{number:05}" for number in range(runs)]
    await journal.create([_opened(run_id) for run_id in ids], "bench")
    claims = [await journal.claim(run_id, owner) for run_id in ids]
    return [claim for claim in claims if claim is not None]


async def _calls_of(journal: StoredJournal, claim: Claim, numbers: Sequence[int]) -> None:
    for number in numbers:
        for fact in _facts(number):
            await journal.append(claim, [fact])


async def calls(runs: int, folder: Path) -> float:
    """Seconds per call of the journal, with so many runs at once."""
    async with StoredJournal(folder / "acp.db") as journal:
        claims = await _claimed(journal, runs, owner_of_this_process())
        began = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for claim in claims:
                tasks.start_soon(_calls_of, journal, claim, range(CALLS // runs))
        return (time.perf_counter() - began) / (CALLS // runs * runs)


async def plain_calls(runs: int, folder: Path) -> float:
    """The same writes, a transaction each, by one connection to a file with the same settings."""
    connection = _plain(folder)
    connection.executemany("INSERT INTO stream VALUES (?, 0, 1)", [(str(number),) for number in range(runs)])
    began = time.perf_counter()
    for number in range(CALLS // runs):
        for run in range(runs):
            for fact in _facts(number):
                connection.execute("BEGIN IMMEDIATE")
                fenced = "UPDATE stream SET seq = seq + 1 WHERE id = ? AND fence = 1 RETURNING seq"
                (seq,) = connection.execute(fenced, (str(run),)).fetchall()[0]
                row = (str(run), seq, time.time(), fact.type, fact.model_dump_json())
                connection.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?)", row)
                connection.execute("COMMIT")
        # As the journal does, others have their turn.
        await anyio.lowlevel.checkpoint()
    return (time.perf_counter() - began) / (CALLS // runs * runs)


def _plain(folder: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(folder / "plain.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.executescript(PLAIN)
    return connection


async def _open_runs(runs: int, folder: Path) -> Path:
    """A database with runs whose process is gone, each with calls on record."""
    database = folder / "acp.db"
    gone = owner_of_this_process().model_copy(update={"pid": 1, "started": "0"})
    async with StoredJournal(database) as journal:
        claims = await _claimed(journal, runs, gone)
        story = [fact for number in range(STEPS) for fact in _facts(number)]
        async with anyio.create_task_group() as tasks:
            for claim in claims:
                tasks.start_soon(journal.append, claim, story)
    return database


async def resume(runs: int, folder: Path) -> float:
    """Seconds until a new process has found, claimed and folded every open run, as many at once as `acp run` drives."""
    database = await _open_runs(runs, folder)
    slots = anyio.CapacityLimiter(SLOTS)
    began = time.perf_counter()
    async with StoredJournal(database) as journal:
        found = await journal.claimable(None, runs)

        async def one(run_id: str) -> None:
            async with slots:
                state = fold(await journal.events(run_id))
            if len(state.finished) != STEPS:
                raise RuntimeError(f"{run_id} is not what was recorded")

        claims = await journal.claim_first(found, owner_of_this_process(), runs)
        async with anyio.create_task_group() as tasks:
            for claim in claims:
                tasks.start_soon(one, claim.stream_id)
        took = time.perf_counter() - began
    if len(claims) != runs:
        raise RuntimeError(f"{len(claims)} of {runs} open runs were claimed")
    return took


async def plain_resume(runs: int, folder: Path) -> float:
    """Seconds in which the same rows are read and parsed as JSON."""
    database = await _open_runs(runs, folder)
    began = time.perf_counter()
    connection = sqlite3.connect(database)
    for (data,) in connection.execute("SELECT data FROM acp_event ORDER BY stream_id, seq"):
        json.loads(data)
    return time.perf_counter() - began


async def size(runs: int, folder: Path) -> float:
    """Bytes of the database per call."""
    database = await _open_runs(runs, folder)
    with sqlite3.connect(database, isolation_level=None) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return database.stat().st_size / (runs * STEPS)


async def plain_size(runs: int, folder: Path) -> float:
    """Bytes of the two facts of a call as JSON."""
    return float(sum(len(fact.model_dump_json()) for fact in _facts(0)))


WHAT = {
    "calls": calls,
    "plain-calls": plain_calls,
    "resume": resume,
    "plain-resume": plain_resume,
    "size": size,
    "plain-size": plain_size,
}


def _sample(what: str, runs: int, factor: float, world: World) -> float:
    with world.fresh() as place:
        command = [sys.executable, "-m", "benchlib.recording", what, str(runs), str(place.folder)]
        return float(place.run(command).stdout) * factor


def recording_cases() -> Iterator[Case]:
    """The cases of the record."""
    for runs, limit in ((1, None), (100, Limit(0.1, of="ratio"))):
        yield Case(
            f"journal-{runs}",
            f"a tool call on record (intent and result, each fenced) with {runs} run{'s' * (runs > 1)} at once",
            "us",
            Side("a transaction for each write", partial(_sample, "plain-calls", runs, 1e6)),
            (Side("the journal", partial(_sample, "calls", runs, 1e6), limit),),
        )
    yield Case(
        "resume-1000",
        f"1,000 open runs of {STEPS} calls each are found, claimed and folded after their process died",
        "s",
        Side("their rows read and parsed", partial(_sample, "plain-resume", 1000, 1.0)),
        (Side("claimed and folded", partial(_sample, "resume", 1000, 1.0), Limit(2.0)),),
    )
    yield Case(
        "step-bytes",
        "what a call with 400 bytes of output takes in the database, with its digest and index",
        "B",
        Side("its two facts as JSON", partial(_sample, "plain-size", 100, 1.0)),
        (Side("on record", partial(_sample, "size", 100, 1.0)),),
    )


if __name__ == "__main__":
    # As every process of ours with an application does, and for either side.
    imports_are_done()
    print(asyncio.run(WHAT[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))))
