"""A driver that is stopped (SIGSTOP) for longer than its lease, overtaken, and woken: a zombie that wants to write.

`python -m tests.crash.pause_trial DATABASE` is the driver: it claims the run, records one numbered fact after another
and prints `try N`, then `kept N` or `late N`; one that is late claims the run anew. `trial` stops and overtakes it.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import anyio

from acp_agent.domain.errors import Fenced
from acp_agent.domain.events import LateResult, ModelCalled, RunStarted
from acp_agent.domain.ports import Claim, Journal, NewStream
from acp_agent.domain.request import RunRequest, Workplace
from acp_agent.store.journal import StoredJournal
from acp_agent.store.owner import owner_of_this_process
from acp_agent.testing.killer import Victim

RUN = "r_paused"
LEASE = 0.3
QUIET = 0.02
"""Seconds between two writes, so that it is stopped between them and not while it holds the lock of the file."""
ROOT = Path(__file__).parents[2]


@dataclass
class Paused:
    """What a trial did: pauses, takeovers, and late facts on record; `problems` are promises that were broken."""

    pauses: int = 0
    late: int = 0
    problems: list[str] = field(default_factory=list)


async def trial(root: Path, seed: int, pauses: int) -> Paused:
    """Stop the driver `pauses` times until somebody else has the run, and look at the record."""
    root.mkdir(parents=True, exist_ok=True)
    database = root / "acp.db"
    random, done = Random(seed), Paused()
    async with StoredJournal(database, lease=LEASE) as journal:
        place = Workplace(kind="inplace", root=str(root))
        started = RunStarted(request=RunRequest(prompt="go on", workplace=place, models=("openai/small",)))
        await journal.create([NewStream(stream_id=RUN, kind="run", facts=(started,))], "trial")
        command = [sys.executable, "-m", "tests.crash.pause_trial", str(database)]
        with Victim(command, cwd=root, environment={"PYTHONPATH": str(ROOT)}) as driver:
            for number in range(pauses):
                await _wait_for_writes(driver, 1 + random.randint(0, 5))
                before = len(_lines(driver, "late"))
                os.kill(driver.pid, signal.SIGSTOP)
                async with anyio.create_task_group() as group:
                    group.start_soon(_nudge, driver.pid)
                    claim = await _overtaken(journal)
                    group.cancel_scope.cancel()
                await journal.append(claim, [ModelCalled(call_id=f"b{number}", model="openai/small")])
                await journal.release(claim)
                os.kill(driver.pid, signal.SIGCONT)
                with anyio.fail_after(60):
                    while len(_lines(driver, "late")) == before:
                        await anyio.sleep(0.005)
                done.pauses += 1
            driver.close_input()
            ending = driver.wait(60.0)
        events = await journal.events(RUN)
        tried, kept, late = (_numbers(ending.output, word) for word in ("try", "kept", "late"))
        recorded = [event.data.call_id for event in events if isinstance(event.data, ModelCalled)]
        aside = [event.data.fact["call_id"] for event in events if isinstance(event.data, LateResult)]
        done.late = len(aside)
        done.problems += _wrong(done, tried, (kept, [name for name in recorded if name[0] == "a"]), (late, aside))
        if [event.seq for event in events] != list(range(1, len(events) + 1)):
            done.problems.append("the record has gaps")
        if ending.exit_code != 0 or ending.errors:
            done.problems.append(f"the driver ended with {ending.exit_code}: {ending.errors[-300:]}")
    return done


Lists = tuple[list[str], list[str]]
"""What the driver said, and what is on record."""


def _wrong(done: Paused, tried: list[str], kept: Lists, late: Lists) -> Iterator[str]:
    if kept[0] != kept[1]:
        yield f"what the driver was told stands: {kept[0][-5:]}, on record {kept[1][-5:]}"
    if late[0] != late[1]:
        yield f"what came late: {late[0]}, kept aside {late[1]}"
    if len(late[0]) != done.pauses:
        yield f"{done.pauses} pauses, {len(late[0])} late writes refused"
    if sorted([*kept[0], *late[0]]) != sorted(tried):
        yield "a write is neither on record nor kept aside"


async def _nudge(pid: int) -> None:
    """One that was stopped with the file locked lets nobody else in: let it finish that write, and stop it again."""
    while True:
        await anyio.sleep(10 * LEASE)
        os.kill(pid, signal.SIGCONT)
        await anyio.sleep(QUIET)
        os.kill(pid, signal.SIGSTOP)


async def _overtaken(journal: Journal) -> Claim:
    me = owner_of_this_process()
    with anyio.fail_after(60):
        while (claim := await journal.claim(RUN, me)) is None:
            await anyio.sleep(0.02)
    return claim


async def _wait_for_writes(driver: Victim, more: int) -> None:
    wanted = len(_lines(driver, "kept")) + more
    with anyio.fail_after(60):
        while len(_lines(driver, "kept")) < wanted:
            await anyio.sleep(0.005)


def _lines(driver: Victim, word: str) -> list[str]:
    return _numbers(driver.said, word)


def _numbers(output: str, word: str) -> list[str]:
    return re.findall(rf"^{word} (\w+)$", output, re.MULTILINE)


async def _drive(database: Path) -> None:
    """Record facts until standard input ends."""
    async with StoredJournal(database, lease=LEASE) as journal, anyio.create_task_group() as group:

        async def until_told() -> None:
            await anyio.to_thread.run_sync(sys.stdin.read)
            group.cancel_scope.cancel()

        group.start_soon(until_told)
        number, claim = 0, await _overtaken(journal)
        while True:
            name = f"a{number}"
            with anyio.CancelScope(shield=True):
                print(f"try {name}", flush=True)
                try:
                    await journal.append(claim, [ModelCalled(call_id=name, model="openai/small")])
                    print(f"kept {name}", flush=True)
                except Fenced:
                    print(f"late {name}", flush=True)
                    claim = await _overtaken(journal)
            number += 1
            await anyio.sleep(QUIET)


if __name__ == "__main__":
    anyio.run(_drive, Path(sys.argv[1]))
