"""Trials of many processes on one server: workers that are killed, and a server that is restarted."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random

from acp_agent.testing.killer import Victim
from acp_agent.testing.postgres import PostgresServer
from tests.crash.checker import Ledger, violations
from tests.crash.story import EFFECTS, FILES, PROMPT, Pace, rules
from tests.crash.world import PATIENCE, Record, World

# A host of its own: nobody outside can tell from its process ids whether it lives, so its leases must run out.
OWN_HOST = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc")
LEASE = 10.0


@dataclass
class Seen:
    """What a trial saw. `problems` are the broken promises; `takeovers` are seconds from a kill to the next driver."""

    problems: list[str] = field(default_factory=list)
    kills: int = 0
    restarts: int = 0
    takeovers: list[float] = field(default_factory=list)
    seconds: float = 0.0


def over(record: Record) -> bool:
    """Whether every batch has ended and no run waits."""
    return bool(record.batches) and all(batch.status == "ended" for batch in record.batches)


@dataclass
class Workers:
    """Three workers that drive the one queued batch of `world`; one is killed `every` so many seconds."""

    world: World
    random: Random
    kills: int
    every: float
    seen: Seen = field(default_factory=Seen)
    ledger: Ledger = field(default_factory=Ledger)
    answered: set[tuple[str, int]] = field(default_factory=set)
    crew: list[Victim] = field(default_factory=list)
    killed: list[float] = field(default_factory=list)

    def run(self) -> Seen:
        """Go on until every run has ended, end the workers, then check everything."""
        began = time.monotonic()
        queued = self.world.acp("run", PROMPT, "--all", "--yes", "--detach", "--queue", "any")
        if queued.exit_code != 0:
            return Seen([f"acp run --detach exits {queued.exit_code}: {queued.errors[-500:]}"])
        self.crew = [self._worker() for _ in range(3)]
        while not over(record := self.world.record()):
            if time.monotonic() - began > PATIENCE * 10:
                self.seen.problems.append(f"not done: {[(run.project, run.status) for run in record.runs]}")
                break
            self._answer(record)
            self._kill_one(began)
            time.sleep(0.1)
        self._end()
        self.seen.takeovers = takeovers(self.world.record(), self.killed)
        self.seen.problems += violations(self.world, self.ledger)
        self.seen.seconds = time.monotonic() - began
        return self.seen

    def _worker(self) -> Victim:
        return self.world.start("worker", "--queues", "any", "-j", "4", prefix=OWN_HOST)

    def _kill_one(self, began: float) -> None:
        if self.seen.kills == self.kills or time.monotonic() - began < self.every * (self.seen.kills + 1):
            return
        index = self.random.randrange(len(self.crew))
        self.crew[index].kill()
        self.killed.append(time.time())
        self.crew[index].close()
        self.crew[index] = self._worker()
        self.seen.kills += 1
        self.ledger.kills += 1

    def _answer(self, record: Record) -> None:
        """Say what became of a call whose driver died in it: what its command wrote tells."""
        for run in record.runs:
            key = run.id, len(record.events[run.id])
            if run.status != "waiting" or key in self.answered:
                continue
            self.answered.add(key)
            call_id = str(
                next(event for event in reversed(record.events[run.id]) if event.type == "parked").data["call_id"]
            )
            effects = Path(str(run.worktree)) / EFFECTS
            lines = effects.read_text("utf-8").split().count(call_id) if effects.exists() else 0
            decision = "done" if lines > self.ledger.seen.get((run.id, call_id), 0) else "retry"
            self.ledger.seen[run.id, call_id] = lines
            said = self.world.acp("approve", run.id, f"--{decision}", "--no-resume")
            if said.exit_code != 0:
                self.seen.problems.append(f"acp approve exits {said.exit_code}: {said.errors[-500:]}")

    def _end(self) -> None:
        for worker in self.crew:
            worker.wait_for_line("takes any", stream="stderr")
            worker.signal(signal.SIGTERM)
        for worker in self.crew:
            ending = worker.wait(PATIENCE)
            if ending.exit_code != 0:
                self.seen.problems.append(f"a worker exits {ending.exit_code}: {ending.errors[-1000:]}")
            worker.close()


def workers_trial(root: Path, url: str, names: Sequence[str], seed: int, *, kills: int, every: float) -> Seen:
    """A run for each of `names`, driven by three workers on hosts of their own."""
    with World(root, names, rules(names, Pace(0.3, 0.002, 0.05)), FILES, url=url) as world:
        return Workers(world, Random(seed), kills, every).run()


def restarts_trial(root: Path, server: PostgresServer, names: Sequence[str], seed: int, restarts: int) -> Seen:
    """A batch during which the server is restarted, or killed and started, so many times at random moments."""
    random, seen, began = Random(seed), Seen(), time.monotonic()
    pace = Pace(0.5, 0.005, 0.2)
    with World(root, names, rules(names, pace), FILES, url=server.new_url()) as world:
        # It has all the time that the restarts take: as many runs as there are names, one after the other.
        with world.start("run", PROMPT, "--all", "--yes", "-j", "1") as process:
            process.close_input()
            # Before that, a server that is away is refused in a line.
            process.wait_for_line("batch: ", stream="stderr")
            while seen.restarts < restarts and process.wait_until_elapsed(process.elapsed + random.uniform(0.2, 1.5)):
                random.choice((server.stop, server.kill))()
                server.start()
                seen.restarts += 1
            ending = process.wait(PATIENCE * 5)
        if ending.exit_code != 0:
            seen.problems.append(f"acp run exits {ending.exit_code}: {ending.output[-500:]} {ending.errors[-1000:]}")
            return seen
        seen.problems += violations(world, Ledger())
    seen.seconds = time.monotonic() - began
    return seen


def takeovers(record: Record, killed: Sequence[float]) -> list[float]:
    """Seconds from the kill of a driver (`killed`: Unix seconds of each) to the first fact of the next one."""
    found = []
    for before, after in [pair for events in record.events.values() for pair in pairwise(events)]:
        if after.type == "resumed" and before.type != "approval_given":
            found += [after.ts - moment for moment in killed if before.ts <= moment <= after.ts][:1]
    return found
