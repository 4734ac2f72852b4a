"""A sample of the campaign `kill_loop`: a loop killed at random, started again, killed again."""

from pathlib import Path

import pytest

from tests.crash.loop_trial import loop_trial

SEED = 20_260_101


@pytest.mark.crash
@pytest.mark.bwrap
@pytest.mark.slow
def test_a_loop_that_is_killed_again_and_again_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    outcome = loop_trial(tmp_path, SEED, max_iter=5, kills=3, latest=1.5)
    assert outcome.problems == []
    # A quick machine may end the loop before the third.
    assert 1 <= outcome.kills <= 3
    assert outcome.accepted == 4
