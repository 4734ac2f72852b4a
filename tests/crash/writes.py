"""Kills at exact commits of the journal: a small run in one project that crashes where it is told to."""

from __future__ import annotations

from pathlib import Path
from random import Random

from acp_agent.testing.crash import LOG_VARIABLE
from tests.crash.checker import Ledger, violations
from tests.crash.story import FILES, PROMPT, Pace, rules
from tests.crash.trial import Outcome, Trial, Window
from tests.crash.world import World

POINTS = ("journal.before_commit", "journal.after_commit")
FAST = Pace(thinking=0.0, gap=0.0, working=0.02)
NAMES = ("solo",)


def commits_of_a_run(root: Path) -> int:
    """How many commits an undisturbed run makes. Raises AssertionError where even that one is wrong."""
    log = root / "crash-points.log"
    with World(root, NAMES, rules(NAMES, FAST), FILES) as world:
        ending = world.acp("run", PROMPT, "--all", "--yes", environment={LOG_VARIABLE: str(log)})
        problems = violations(world, Ledger())
    assert (ending.exit_code, problems) == (0, []), f"an undisturbed run: {ending}, {problems}"
    return log.read_text("utf-8").split().count(POINTS[0])


def crash_at(root: Path, crashes: list[str], seed: int) -> Outcome:
    """A trial whose first commands crash at these points, the ones after them not."""
    with World(root, NAMES, rules(NAMES, FAST), FILES) as world:
        return Trial(world, Random(seed), Window(0.0, 0.0), most_kills=0, crashes=list(crashes)).run()
