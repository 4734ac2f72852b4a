"""Samples of the campaigns on a server: `kill_postgres`, `postgres_restarts`, `workers` and `dispatch`."""

from itertools import count
from pathlib import Path

import anyio
import pytest

from acp_agent.testing.postgres import PostgresServer
from tests.campaigns.dispatch import dispatch
from tests.crash.cluster import restarts_trial, workers_trial
from tests.crash.trial import Window, trial

NAMES = ("alpha", "beta")
SEED = 20_260_101
WINDOW = Window(0.5, 3.0)
"""Wherever that falls: a slow machine is killed before it has begun, a fast one when it has ended, and once more."""
pytestmark = [pytest.mark.crash, pytest.mark.bwrap, pytest.mark.postgres, pytest.mark.slow]


def test_a_batch_on_a_server_that_is_killed_ends_as_if_it_had_not_been(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    for seed in count(SEED):
        outcome = trial(tmp_path / f"trial-{seed}", seed, WINDOW, NAMES, postgres_server.new_url())
        assert outcome.problems == [], f"seed {seed}"
        if outcome.kills:
            break


def test_a_batch_goes_on_over_restarts_of_the_server(tmp_path: Path) -> None:
    with PostgresServer() as server:
        seen = restarts_trial(tmp_path, server, NAMES, SEED, restarts=1)
    assert (seen.problems, seen.restarts) == ([], 1)


def test_what_a_killed_worker_leaves_is_taken_over_by_workers_on_other_hosts(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    seen = workers_trial(tmp_path, postgres_server.new_url(), (*NAMES, "gamma"), SEED, kills=1, every=3.0)
    assert (seen.problems, seen.kills) == ([], 1)


def test_workers_share_what_waits_and_end_when_they_are_told(tmp_path: Path, postgres_server: PostgresServer) -> None:
    seen = anyio.run(dispatch, tmp_path, postgres_server.new_url(), 100)
    assert seen.ended == 100
    assert seen.early > 0
    assert seen.late > 0
