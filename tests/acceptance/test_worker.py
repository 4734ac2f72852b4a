"""Workers in processes of their own: runs that were queued are driven, taken over and let go."""

import signal
from pathlib import Path

import pytest

from acp_agent.domain.location import ServerLocation
from tests.crash.checker import Ledger, violations
from tests.crash.story import FILES, PROMPT, Pace, rules
from tests.crash.world import PATIENCE, World

NAMES = ("alpha", "beta", "gamma")
CALM = Pace(thinking=0.15, gap=0.002, working=0.1)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A world whose record is in either database."""
    location: ServerLocation | None = request.getfixturevalue("postgres") if request.param == "postgres" else None
    return World(tmp_path, NAMES, rules(NAMES, CALM), FILES, url=location.url if location else "")


def is_over(world: World) -> bool:
    batches = world.record().batches
    return bool(batches) and all(batch.status == "ended" for batch in batches)


@pytest.mark.bwrap
def test_a_worker_drives_what_was_queued_and_ends_when_it_is_told_to(world: World) -> None:
    with world:
        queued = world.acp("run", PROMPT, "--all", "--yes", "--detach")
        assert queued.exit_code == 0, queued.errors
        [batch] = world.record().batches
        assert queued.output.strip() == batch.id
        assert [run.status for run in world.record().runs] == ["queued"] * len(NAMES)
        with world.start("worker", "-j", "2") as worker:
            worker.wait_until(lambda: is_over(world), PATIENCE)
            worker.signal(signal.SIGTERM)
            ending = worker.wait(PATIENCE)
        assert ending.exit_code == 0, ending.errors
        assert world.record().batches[0].exit_code == 0
        assert violations(world, Ledger()) == []
