"""One trial: a loop is killed again and again, started again each time, and its story held against every promise."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, cast

from acp_agent.store.audit import verify_database
from acp_agent.store.reads import EventRow, LoopRow, Reads
from acp_agent.testing.crash import CRASH_VARIABLE
from acp_agent.testing.repos import Files, git, tree
from acp_agent.testing.request import Request
from acp_agent.testing.script import Rule, Step
from tests.crash.world import PATIENCE, World

FILES: Files = {"n.txt": "0\n", "check.sh": '#!/bin/sh\ntest "$(ls part-*.txt | wc -l)" = "$(cat n.txt)"\n'}
EXTRA = '[defaults]\ngates = ["check"]\n[gates]\ncheck = { run = "sh check.sh" }'
LOOP = """\
+++
project = "app"
goal = "A large n, each step with a part of its own"
max_iter = {max_iter}
max_cost = 1000.0
rotate = 7
patience = 50
same_failure = 50
[metric.n]
run = "cat n.txt"
+++
Add a part and count it.
"""
BAD_EVERY = 4
"""Each so-manieth iteration is one that the gate refuses."""
SETTLING = 30.0


@dataclass
class Outcome:
    """What a trial saw. `problems` are the broken promises; `places` where kills found the loop."""

    problems: list[str] = field(default_factory=list)
    kills: int = 0
    places: Counter[str] = field(default_factory=Counter)
    salvaged: int = 0
    accepted: int = 0
    seconds: float = 0.0


class Agent:
    """Adds one part with a name of its own and counts it: whatever is swept into a later commit shows."""

    def __init__(self, random: Random, pace: float) -> None:
        self._random = random
        self._pace = pace

    def __call__(self, request: Request) -> Step:
        iteration = int(re.findall(r"This is iteration (\d+) of", request.prompt)[-1])
        match request.turn_since_prompt:
            case 0:
                return Step(tools=[("read_file", {"path": "n.txt"})], delay=self._pace)
            case 1:
                name = f"part-{self._random.getrandbits(64):016x}.txt"
                return Step(tools=[("write_file", {"path": name, "content": f"{iteration}\n"})], delay=self._pace)
            case 2:
                number = int(re.findall(r"\d+\s*$", _read_of(request))[-1])
                more = 2 if iteration % BAD_EVERY == 0 else 1
                return Step(tools=[("write_file", {"path": "n.txt", "content": f"{number + more}\n"})])
            case _:
                return Step(text=f"Added part {iteration}. All tests pass.", delay=self._pace)


def _read_of(request: Request) -> str:
    """What `read_file` said in this iteration."""
    return request.tool_results[-2].rstrip()


@dataclass
class LoopTrial:
    """Drives one loop of `max_iter` iterations to its end through `kills` kills."""

    world: World
    random: Random
    max_iter: int
    kills: int
    latest: float = 4.0
    outcome: Outcome = field(default_factory=Outcome)

    def run(self) -> Outcome:
        """Kill and start again until the loop has ended, then check everything."""
        began = time.monotonic()
        self.write_loop()
        while self.outcome.kills < self.kills and not self._has_ended():
            self._start_and_kill()
        self.finish()
        self.outcome.seconds = time.monotonic() - began
        return self.outcome

    def finish(self) -> None:
        """Let the loop go on to its end, and hold its story against every promise."""
        for _ in range(3):
            ending = self.world.acp("loop", "up", "-o", "quiet")
            if self._has_ended():
                break
        if ending.exit_code != 3:
            self.outcome.problems.append(f"acp loop up exits {ending.exit_code}: {ending.errors[-1500:]}")
        self._settle()
        self.outcome.problems += self._violations()

    def write_loop(self) -> None:
        """Write the loop's file and trust it."""
        folder = self.world.fleet.projects_file.parent
        (folder / "loops").mkdir()
        (folder / "loops" / "up.md").write_text(LOOP.format(max_iter=self.max_iter), "utf-8")
        ending = self.world.acp("trust", str(folder))
        assert ending.exit_code == 0, ending.errors

    def _has_ended(self) -> bool:
        row = self._row()
        return row is not None and row.status == "ended"

    def _row(self) -> LoopRow | None:
        with Reads(self.world.database) as reads:
            return next(iter(reads.loops(5)), None)

    def _start_and_kill(self) -> None:
        """At a random time, at a random write, or right after a commit of the record that the process itself counts."""
        aim = self.random.choice(("time", "write", "crash"))
        point = self.random.choice(("journal.before_commit", "journal.after_commit"))
        crash = {CRASH_VARIABLE: f"{point}:{self.random.randint(2, 40)}"} if aim == "crash" else {}
        written = self.world.written()
        with self.world.start("loop", "up", "-o", "quiet", environment=crash) as process:
            process.close_input()
            if aim != "crash":
                # The clock of a kill begins with the first fact: before it there is nothing to lose.
                wanted = written + (1 if aim == "time" else self.random.randint(1, 60))
                try:
                    self.world.wait_for_writes(process, wanted)
                except TimeoutError:
                    return
            if aim == "time" and not process.wait_until_elapsed(
                process.elapsed + self.random.uniform(0.0, self.latest)
            ):
                return
            if aim == "crash":
                ending = process.wait(PATIENCE)
                if ending.exit_code != -9:
                    self._judge(ending.exit_code, ending.errors)
                    return
            elif not process.kill(whole_group=self.random.random() < 0.5):
                return
        self.outcome.kills += 1
        self.outcome.places[self._place()] += 1
        if self.random.random() < 0.3:
            self._settle()

    def _judge(self, code: int | None, errors: str) -> None:
        if code not in (3, 6) or "Traceback" in errors or "internal error" in errors:
            self.outcome.problems.append(f"acp loop up exits {code}: {errors[-1500:]}")

    def _place(self) -> str:
        row = self._row()
        if row is None:
            return "before the loop"
        with Reads(self.world.database) as reads:
            events = reads.events(row.id)
        return f"after {events[-1].type}"

    def _settle(self) -> None:
        deadline = time.monotonic() + SETTLING
        while left := self.world.processes():
            if time.monotonic() > deadline:
                self.outcome.problems.append(f"alive {SETTLING:g} s after their parent: {left}")
                return
            time.sleep(0.02)

    def _violations(self) -> list[str]:
        row = self._row()
        if row is None:
            return ["there is no loop"]
        with Reads(self.world.database) as reads:
            loops = reads.loops(5)
            events = reads.events(row.id)
            runs = {run.id: run for run in reads.runs(batch_id=row.id, limit=10_000)}
            budgets = {budget.scope: budget for budget in reads.budgets()}
        found = [f"{len(loops)} loops"] if len(loops) != 1 else []
        if (verdict := verify_database(self.world.database)).broken is not None:
            found.append(f"audit chain: {verdict.broken}")
        found += _counted_once(row, events, self.max_iter)
        found += self._commits(row, events)
        found += _money(row, events, runs, budgets[f"loop:{row.id}"])
        found += self._salvages(row, events)
        return found

    def _commits(self, row: LoopRow, events: Sequence[EventRow]) -> Iterator[str]:
        """The branch is exactly what was accepted, and every commit passes the gate by itself."""
        repo = self.world.fleet.repos["app"]
        accepted = [event.data for event in events if event.type == "iteration_accepted"]
        self.outcome.accepted = len(accepted)
        listed = git(repo, "rev-list", "--reverse", f"main..{row.branch}").split()
        if listed != [fact["commit"] for fact in accepted]:
            yield f"the branch has {len(listed)} commits, {len(accepted)} were accepted"
        for number, fact in enumerate(accepted, 1):
            files = tree(repo, fact["commit"])
            parts = [name for name in files if name.startswith("part-")]
            if files["n.txt"].strip() != str(number) or len(parts) != number:
                found = f"n is {files['n.txt'].strip()} with {len(parts)} parts"
                yield f"iteration {fact['iteration']}: {found}, not {number}"
            message = git(repo, "log", "-1", "--format=%B", fact["commit"])
            if f"Acp-Iteration: {fact['iteration']}" not in message or f"Acp-Loop: {row.id}" not in message:
                yield f"iteration {fact['iteration']}: no trailers"
        if git(repo, "status", "--porcelain"):
            yield "the person's checkout was touched"

    def _salvages(self, row: LoopRow, events: Sequence[EventRow]) -> Iterator[str]:
        salvages = [event.data for event in events if event.type == "iteration_salvaged"]
        self.outcome.salvaged = len(salvages)
        repo = self.world.fleet.repos["app"]
        for fact in salvages:
            if fact["ref"] and not git(repo, "for-each-ref", fact["ref"]):
                yield f"{fact['ref']} is not there"


def _counted_once(row: LoopRow, events: Sequence[EventRow], max_iter: int) -> Iterator[str]:
    decided = [
        event.data["iteration"] for event in events if event.type in ("iteration_accepted", "iteration_rejected")
    ]
    if decided != list(range(1, max_iter + 1)):
        yield f"iterations decided: {decided}"
    rejected = [event.data["iteration"] for event in events if event.type == "iteration_rejected"]
    bad = [number for number in range(1, max_iter + 1) if number % BAD_EVERY == 0]
    if rejected != bad:
        yield f"rejected: {rejected}, and not {bad}"
    if (row.status, row.reason) != ("ended", "max_iter") or row.iterations != max_iter:
        yield f"the loop is {row.status} ({row.reason}: {row.message}) after {row.iterations} iterations"
    ran = [event.data["run_id"] for event in events if event.type == "iteration_ran"]
    if len(ran) != len(set(ran)):
        yield "a run was booked twice"


def _money(row: LoopRow, events: Sequence[EventRow], runs: dict[str, Any], budget: Any) -> Iterator[str]:
    """What the loop counted is what its runs cost, to the ledger's last digit."""
    counted = sum(event.data["cost"] for event in events if event.type == "iteration_ran")
    paid = sum(run.cost for run in runs.values())
    if abs(counted - paid) > 1e-9 or abs(counted - budget.spent) > 1e-9 or budget.reserved:
        yield f"counted ${counted}, runs cost ${paid}, the ledger has ${budget.spent} and ${budget.reserved} set aside"
    named = {event.data["run_id"] for event in events if event.type == "iteration_ran"}
    if unnamed := set(runs) - named:
        yield f"runs that the loop does not know of: {unnamed}"
    if open_runs := [run.id for run in runs.values() if run.status != "ended"]:
        yield f"runs that have not ended: {open_runs}"


def loop_trial(root: Path, seed: int, *, max_iter: int, kills: int, latest: float = 4.0) -> Outcome:
    """A whole trial in a new world below `root`, drawn from `seed`."""
    random = Random(seed)
    agent = Agent(Random(seed + 1), random.choice((0.0, 0.01, 0.05)))
    rules = cast("Sequence[Rule]", agent)
    with World(root, ("app",), rules, FILES, extra=EXTRA) as world:
        return LoopTrial(world, random, max_iter, kills, latest).run()
