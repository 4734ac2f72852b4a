"""Workers in processes of their own: runs that were queued are driven, taken over and let go."""

import signal
from pathlib import Path

import pytest

from acp_agent.domain.location import ServerLocation
from tests.crash.checker import Ledger, violations
from tests.crash.story import FILES, PROMPT, Pace, rules
from tests.crash.world import PATIENCE, Record, World

NAMES = ("alpha", "beta", "gamma")
CALM = Pace(thinking=0.15, gap=0.002, working=0.1)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A world whose record is in either database."""
    location: ServerLocation | None = request.getfixturevalue("postgres") if request.param == "postgres" else None
    return World(tmp_path, NAMES, rules(NAMES, CALM), FILES, url=location.url if location else "")


def is_over(record: Record) -> bool:
    return bool(record.batches) and all(batch.status == "ended" for batch in record.batches)


@pytest.mark.bwrap
def test_a_worker_drives_what_was_queued_and_ends_when_it_is_told_to(world: World) -> None:
    with world:
        queued = world.acp("run", PROMPT, "--all", "--yes", "--detach")
        assert queued.exit_code == 0, queued.errors
        [batch] = world.record().batches
        assert queued.output.strip() == batch.id
        assert [run.status for run in world.record().runs] == ["queued"] * len(NAMES)
        with world.start("worker", "-j", "2") as worker:
            world.wait_until(worker, is_over)
            worker.signal(signal.SIGTERM)
            ending = worker.wait(PATIENCE)
        assert ending.exit_code == 0, ending.errors
        assert world.record().batches[0].exit_code == 0
        assert violations(world, Ledger()) == []


@pytest.mark.bwrap
def test_a_second_signal_stops_the_runs_too_and_another_worker_goes_on_with_them(tmp_path: Path) -> None:
    with World(tmp_path, ["alpha"], rules(["alpha"], Pace(thinking=0.7)), FILES) as world:
        assert world.acp("run", PROMPT, "--all", "--yes", "--detach").exit_code == 0
        with world.start("worker") as worker:
            world.wait_until(worker, in_a_model_call)
            worker.signal(signal.SIGTERM)
            worker.wait_for_line("takes nothing more", stream="stderr")
            worker.signal(signal.SIGTERM)
            assert worker.wait(PATIENCE).exit_code == 143
        [run] = world.record().runs
        assert (run.status, run.driven) == ("queued", False)
        with world.start("worker") as worker:
            world.wait_until(worker, lambda record: record.runs[0].driven)
            # It goes on in spite of the first signal, to the end of the run.
            worker.signal(signal.SIGTERM)
            assert worker.wait(PATIENCE).exit_code == 0
        [run] = world.record().runs
        assert (run.status, run.reason, run.steps) == ("ended", "end_turn", 6)


def in_a_model_call(record: Record) -> bool:
    return any(call.type == "model_called" for run in record.runs for call in record.open_calls(run))


def test_a_worker_leaves_what_is_queued_for_others(tmp_path: Path) -> None:
    with World(tmp_path, ["alpha"], rules(["alpha"], CALM), FILES) as world:
        assert world.acp("run", PROMPT, "--all", "--yes", "--detach", "--queue", "host.other").exit_code == 0
        assert "queued for host.other" in world.acp("ps").output
        with world.start("worker") as worker:
            worker.wait_for_line("takes any, host", stream="stderr")
            assert world.acp("run", "say so", "code/alpha", "--read-only", "--yes", "--detach").exit_code == 0
            world.wait_until(worker, lambda record: "ended" in {run.status for run in record.runs})
            worker.signal(signal.SIGTERM)
            assert worker.wait(PATIENCE).exit_code == 0
        assert {run.prompt: run.status for run in world.record().runs} == {PROMPT: "queued", "say so": "ended"}
