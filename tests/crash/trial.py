"""One trial: `acp run` is killed, then `acp resume` and `acp approve` until all is done; some are killed too."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal

from acp_agent.domain.errors import AcpAgentError
from acp_agent.store.reads import RunRow
from acp_agent.testing.crash import CRASH_VARIABLE
from acp_agent.testing.killer import Ending, Victim
from tests.crash.checker import Ledger, repeated_requests, violations
from tests.crash.story import EFFECTS, FILES, PROMPT, Pace, rules
from tests.crash.world import PATIENCE, Record, World, children

NAMES = ("alpha", "beta", "gamma", "delta")
MOST_COMMANDS = 40
MOST_WRITES = 40
"""About as many events as an undisturbed run writes."""
MOST_GITS = 5
"""About as many processes of git as can be seen passing by in an undisturbed run."""
SETTLING = 30.0
"""Seconds in which what a killed process started must have ended."""


@dataclass(frozen=True)
class Window:
    """When to kill, in seconds after a command's start: uniform, so that kills fall everywhere."""

    earliest: float
    latest: float

    def draw(self, random: Random) -> float:
        """One moment."""
        return random.uniform(self.earliest, self.latest)


Aim = Literal["time", "write", "git"]
"""How the moment of a kill is chosen: any time, right after any write of the record, or while a git is running."""
AIMS: tuple[Aim, ...] = ("time", "time", "time", "write", "write", "git")


@dataclass(frozen=True)
class Kill:
    """One kill: of which command, how long after its start, and where it found each run that was alive."""

    command: str
    aim: Aim
    whole_group: bool
    after: float
    found: tuple[str, ...]


@dataclass
class Outcome:
    """What a trial saw. `problems` are the broken promises; times are seconds."""

    problems: list[str] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    decisions: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    resumes: list[float] = field(default_factory=list)
    takeovers: list[float] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Trial:
    """Drives the batch of a world to its end through up to `most_kills` kills; the first one is of `acp run`.

    `crashes` are crash points, one for each of the first commands: these kill themselves instead.
    """

    world: World
    random: Random
    window: Window
    most_kills: int = 4
    share: float = 0.35
    crashes: list[str] = field(default_factory=list)
    outcome: Outcome = field(default_factory=Outcome)
    ledger: Ledger = field(default_factory=Ledger)
    closing: bool = False

    def run(self) -> Outcome:
        """Go on until every run has ended, then check everything."""
        began = time.monotonic()
        try:
            self._go_on()
            self._settle()
            if self.random.random() < 0.2:
                self._resume_once_more()
            self.outcome.problems += violations(self.world, self.ledger)
        except AcpAgentError as error:
            self._complain(f"the record cannot be read: {error.what}")
        self.outcome.repeated = repeated_requests(self.world)
        self.outcome.seconds = time.monotonic() - began
        return self.outcome

    def _go_on(self) -> None:
        self._drive("run", PROMPT, "--all", "--yes", kill=self.most_kills > 0)
        for _ in range(MOST_COMMANDS):
            words = self.next_command(self.world.record())
            if words is None or self.outcome.problems:
                return
            self._drive(*words, kill=self._may_kill() and self.random.random() < self.share)
        self._complain(f"not done after {MOST_COMMANDS} commands")

    def _may_kill(self) -> bool:
        return len(self.outcome.kills) < self.most_kills

    def _complain(self, problem: str) -> None:
        self.outcome.problems.append(problem)

    def next_command(self, record: Record) -> tuple[str, ...] | None:
        """What a person would type now; None when all is done."""
        if not record.runs:
            return ("run", PROMPT, "--all", "--yes")
        batch_id = record.batches[0].id
        waiting = [run for run in record.runs if run.status == "waiting"]
        alive = [run for run in record.runs if run.status in ("queued", "running")]
        if alive and (not waiting or self.random.random() < 0.7):
            return ("resume", *self.random.choice(((), (batch_id,))))
        if waiting:
            return self._answer(batch_id, record, self.random.choice(waiting))
        if record.batches[0].status != "ended" and not self.closing:
            # Killed between the end of the last run and that of the batch.
            self.closing = True
            return ("resume", batch_id)
        return None

    def _answer(self, batch_id: str, record: Record, run: RunRow) -> tuple[str, ...]:
        """Look at what the command really did, and say so."""
        name = f"{batch_id}/{run.project}"
        if run.waiting_for != "outcome_unknown":
            self.outcome.decisions[f"{run.waiting_for}: retry"] += 1
            return ("retry", name)
        self._settle()
        shown = self.world.acp("show", name)
        if shown.exit_code != 0 or "outcome_unknown" not in shown.output.partition("\n")[0]:
            self._complain(f"acp show {name} does not begin with outcome_unknown: {shown.output[:300]!r}")
        parked = next(event for event in reversed(record.events[run.id]) if event.type == "parked")
        key = run.id, str(parked.data["call_id"])
        lines = self._lines(run, key[1])
        happened = lines > self.ledger.seen.get(key, 0)
        decision = self.random.choice(("done", "done", "done", "retry") if happened else ("retry", "retry", "skip"))
        self.ledger.seen[key] = lines
        self.outcome.decisions[f"{'happened' if happened else 'did not'}: {decision}"] += 1
        later = ("--no-resume",) if self.random.random() < 0.2 else ()
        return ("approve", name, f"--{decision}", *later)

    def _lines(self, run: RunRow, call_id: str) -> int:
        effects = Path(str(run.worktree)) / EFFECTS
        return effects.read_text("utf-8").split().count(call_id) if effects.exists() else 0

    def _drive(self, *words: str, kill: bool) -> None:
        """Run one command, kill it if it is to be killed, and check how it ended."""
        output = self.random.choice(("quiet", "stream", "jsonl"))
        crash = {CRASH_VARIABLE: self.crashes.pop(0)} if self.crashes else {}
        started = time.time()
        with self.world.start(*words, "-o", output, environment=crash) as process:
            process.close_input()
            if kill and not crash and self._kill(words[0], process):
                return
            try:
                ending = process.wait(PATIENCE)
            except TimeoutError as error:
                self._complain(f"acp {words[0]} hangs: {error}")
                return
        if crash and ending.exit_code == -9:
            self._count(Kill(words[0], "write", False, ending.elapsed, _found(self.world.record())))
            return
        self._judge(words, ending, started)

    def _kill(self, command: str, process: Victim) -> bool:
        """Kill it at a random moment, its whole group or the leader alone; false when it ended before."""
        aim: Aim = self.random.choice(AIMS)
        whole_group = self.random.random() < 0.5
        if not self._take_aim(aim, process):
            return False
        after = process.elapsed
        if not process.kill(whole_group=whole_group):
            return False
        self._count(Kill(command, aim, whole_group, after, _found(self.world.record())))
        if self.random.random() < 0.5:
            self._settle()
        return True

    def _count(self, kill: Kill) -> None:
        self.ledger.kills += 1
        self.outcome.kills.append(kill)
        # What was to end the batch may be what was killed.
        self.closing = False

    def _take_aim(self, aim: Aim, process: Victim) -> bool:
        """Wait for the moment; false when the process ended before it came."""
        if aim == "write":
            wanted = self.world.written() + self.random.randint(1, MOST_WRITES * len(self.world.names))
            return _comes(process, lambda: self.world.wait_for_writes(process, wanted))
        if aim == "time":
            return process.wait_until_elapsed(self.window.draw(self.random))
        seen: set[str] = set()
        wanted = self.random.randint(1, MOST_GITS * len(self.world.names))

        def is_running() -> bool:
            running = children(process.pid, "git")
            seen.update(running)
            return bool(running) and len(seen) >= wanted

        return _comes(process, lambda: process.wait_until(is_running, PATIENCE))

    def _settle(self) -> None:
        """Wait until nothing that a killed process started is alive."""
        deadline = time.monotonic() + SETTLING
        while left := self.world.processes():
            if time.monotonic() > deadline:
                self._complain(f"alive {SETTLING:g} s after their parent: {left}")
                return
            time.sleep(0.01)

    def _judge(self, words: tuple[str, ...], ending: Ending, started: float) -> None:
        """Hold what a command that was left alone said against the record."""
        record = self.world.record()
        if words[0] == "resume":
            self.outcome.resumes.append(ending.elapsed)
            taken = [event.ts for run in record.runs for event in record.events[run.id] if event.type == "resumed"]
            self.outcome.takeovers += [min(late) - started] if (late := [ts for ts in taken if ts > started]) else []
        statuses = {run.status for run in record.runs}
        expected = 4 if "waiting" in statuses else 0
        if "--no-resume" in words:
            expected = 0
        elif statuses & {"queued", "running"} or not statuses:
            self._complain(f"acp {' '.join(words)} left runs {sorted(statuses)}: {ending.errors[-500:]!r}")
        if ending.exit_code != expected:
            said = f"{ending.output[-300:]!r} {ending.errors[-500:]!r}"
            self._complain(f"acp {' '.join(words)} exits {ending.exit_code}, not {expected}: {said}")
        if "Traceback" in ending.errors or "internal error" in ending.errors:
            self._complain(f"acp {words[0]} shows a bug: {ending.errors[-2000:]}")

    def _resume_once_more(self) -> None:
        """When all is done there is nothing to go on with, and nothing changes."""
        before = self.world.record()
        ending = self.world.acp("resume")
        if ending.exit_code != 5 or self.world.record().events != before.events:
            self._complain(f"acp resume after the end exits {ending.exit_code}: {ending.errors[-300:]!r}")


def _comes(process: Victim, wait: Callable[[], None]) -> bool:
    """Wait for it; false when the process ended before."""
    try:
        wait()
    except TimeoutError:
        return False
    return process.alive


def _found(record: Record) -> tuple[str, ...]:
    """Where a kill found each run that was alive: what was in flight, else the last event."""
    places = []
    for run in record.runs:
        if run.status not in ("ended", "waiting"):
            open_calls = record.open_calls(run)
            tools = sorted({event.data["tool"] for event in open_calls if event.type == "tool_started"})
            model = any(event.type == "model_called" for event in open_calls)
            last = record.events[run.id][-1].type
            places.append("in a model call" if model else f"in {', '.join(tools)}" if tools else f"after {last}")
    return tuple(places) or (("all runs over",) if record.runs else ("before the batch",))


def trial(root: Path, seed: int, window: Window, names: Sequence[str] = NAMES, url: str = "") -> Outcome:
    """A whole trial in a new world below `root` (its record at `url`), drawn from `seed`."""
    random = Random(seed)
    pace = Pace(random.uniform(0.0, 0.06), random.choice((0.0, 0.002, 0.004)), random.uniform(0.01, 0.08))
    with World(root, names, rules(names, pace), FILES, url=url) as world:
        return Trial(world, random, window).run()


def calibrate(root: Path, names: Sequence[str] = NAMES, url: str = "") -> tuple[Window, list[str]]:
    """The window of kills on this machine, from a run that nobody disturbs, and what is wrong even with that one."""
    with World(root, names, rules(names, Pace()), FILES, url=url) as world:
        started = time.time()
        ending = world.acp("run", PROMPT, "--all", "--yes", "-o", "quiet")
        record = world.checked_record()
        problems = violations(world, Ledger(), record)
        if ending.exit_code != 0:
            problems.insert(0, f"an undisturbed run exits {ending.exit_code}: {ending.errors[-1000:]}")
        first = min((batch.created_at for batch in record.batches), default=started) - started
        return Window(max(0.05, first - 0.1), ending.elapsed), problems
