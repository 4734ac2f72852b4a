"""A sample of the campaign `every_write`: runs that are killed right before or right after a commit of the journal."""

from pathlib import Path

import pytest

from tests.crash.writes import POINTS, commits_of_a_run, crash_at

SAMPLE = 5
BEFORE, AFTER = POINTS


@pytest.fixture(scope="module")
def commits(clean_environment: None, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many commits the run makes when nobody disturbs it."""
    return commits_of_a_run(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.crash
@pytest.mark.bwrap
@pytest.mark.parametrize("part", range(SAMPLE))
def test_a_kill_at_a_commit_is_mended_by_resume(tmp_path: Path, commits: int, part: int) -> None:
    point = POINTS[part % 2]
    crash = f"{point}:{1 + (commits - 1) * part // (SAMPLE - 1)}"
    outcome = crash_at(tmp_path, [crash], seed=part)
    assert outcome.problems == [], crash
    assert len(outcome.kills) == 1 or part == SAMPLE - 1


@pytest.mark.crash
@pytest.mark.bwrap
def test_a_resumption_that_is_killed_at_its_first_commits_is_resumed_in_turn(tmp_path: Path, commits: int) -> None:
    crashes = [f"{AFTER}:{commits // 2}", f"{BEFORE}:1", f"{AFTER}:3"]
    outcome = crash_at(tmp_path, crashes, seed=0)
    assert outcome.problems == []
    assert len(outcome.kills) == len(crashes)


@pytest.mark.crash
@pytest.mark.bwrap
def test_a_run_that_dies_at_every_take_over_is_parked_until_a_person_has_looked(tmp_path: Path, commits: int) -> None:
    # The first commit of a resumption takes the batch, the second the run, the third says so: nothing came of it.
    crashes = [f"{AFTER}:{commits // 2}", *[f"{AFTER}:3"] * 4]
    outcome = crash_at(tmp_path, crashes, seed=0)
    assert outcome.problems == []
    assert outcome.decisions["crash_loop: retry"] == 1
