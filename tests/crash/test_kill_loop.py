"""A sample of the campaign `kill_loop`: a loop killed at random, started again, killed again."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import cast

import pytest

from acp_agent.testing.crash import CRASH_VARIABLE
from acp_agent.testing.script import Rule
from tests.crash.loop_trial import EXTRA, FILES, Agent, LoopTrial, loop_trial
from tests.crash.world import PATIENCE, World

SEED = 20_260_101
FIRST_WRITES = range(4, 9)
"""Of one that is started again: with these it gives up the run that its predecessor left."""


@pytest.mark.crash
@pytest.mark.bwrap
@pytest.mark.slow
def test_a_loop_that_is_killed_again_and_again_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    outcome = loop_trial(tmp_path, SEED, max_iter=5, kills=3, latest=0.6)
    assert outcome.problems == []
    # A quick machine may end the loop before the third, or before any: the test below does not leave that to chance.
    assert outcome.kills <= 3
    assert outcome.accepted == 4


@pytest.mark.crash
@pytest.mark.bwrap
@pytest.mark.slow
def test_one_that_is_killed_while_it_gives_up_a_run_begins_that_iteration_again(tmp_path: Path) -> None:
    agent = cast("Sequence[Rule]", Agent(Random(SEED), pace=0.5))
    with World(tmp_path, ("app",), agent, FILES, extra=EXTRA) as world:
        trial = LoopTrial(world, Random(SEED), max_iter=1, kills=0)
        trial.write_loop()
        for write in FIRST_WRITES:
            asked = len(world.server.requests)
            with world.start("loop", "up", "-o", "quiet") as process:
                process.close_input()
                process.wait_until(lambda asked=asked: len(world.server.requests) > asked, PATIENCE)
                process.kill(whole_group=False)
            world.acp("loop", "up", "-o", "quiet", environment={CRASH_VARIABLE: f"journal.after_commit:{write}"})
        trial.finish()
        assert trial.outcome.problems == []
        assert trial.outcome.accepted == 1
