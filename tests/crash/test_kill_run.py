"""A sample of the campaign `kill_run`: two projects at once, killed at random, resumed, killed again."""

from itertools import count
from pathlib import Path

import pytest

from tests.crash.trial import calibrate, trial

KILLS = 3
NAMES = ("alpha", "beta")
SEED = 20_260_101


@pytest.mark.crash
@pytest.mark.bwrap
@pytest.mark.slow
def test_a_batch_that_is_killed_again_and_again_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    window, problems = calibrate(tmp_path / "calibration", NAMES)
    assert problems == []
    kills = 0
    for seed in count(SEED):
        outcome = trial(tmp_path / f"trial-{seed}", seed, window, NAMES)
        assert outcome.problems == [], f"seed {seed}"
        kills += len(outcome.kills)
        if kills >= KILLS:
            break
