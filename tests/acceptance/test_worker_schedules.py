"""Workers in processes of their own take the slot of a schedule: whoever dies over it, its loop runs once and whole."""

import signal
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import cast

import anyio
import pytest

from acp_agent.domain.events_loop import ScheduleGiven
from acp_agent.domain.location import ServerLocation
from acp_agent.loops.schedules import give
from acp_agent.loops.slots import stream_of
from acp_agent.store.journal import StoredJournal
from acp_agent.store.reads import EventRow, Reads
from acp_agent.testing.crash import CRASH_VARIABLE
from acp_agent.testing.script import Rule
from tests.crash.loop_trial import EXTRA, FILES, Agent, LoopTrial
from tests.crash.world import PATIENCE, World

pytestmark = [pytest.mark.bwrap, pytest.mark.crash]
SEED = 20_261_128


def schedule(world: World) -> float:
    """Give the loop `up` to workers, at a time that came half an hour ago and comes once a year; that slot."""
    moment = (datetime.now(UTC) - timedelta(minutes=30)).replace(second=0, microsecond=0)
    given = ScheduleGiven(when=f"{moment.minute} {moment.hour} {moment.day} {moment.month} *", queue="any", zone="UTC")

    async def put() -> None:
        # An hour ago, by a journal whose clock can be set: what came before a schedule was given is not caught up.
        async with StoredJournal(world.database, clock=lambda: moment.timestamp() - 1800) as journal:
            await give(journal, "up", str(world.fleet.projects_file), given, "ann")

    anyio.run(put)
    return moment.timestamp()


def slots(world: World) -> list[EventRow]:
    """What is on record of the schedule's slots."""
    with Reads(world.database) as reads:
        events = reads.events(stream_of("up", str(world.fleet.projects_file)))
    return [event for event in events if event.type.startswith("slot_")]


@pytest.mark.parametrize(
    ("database", "write"),
    [("sqlite", 6), pytest.param("postgres", 3, marks=pytest.mark.postgres)],
)
def test_a_slot_over_which_a_worker_is_killed_is_run_once_by_another(
    request: pytest.FixtureRequest, tmp_path: Path, database: str, write: int
) -> None:
    location: ServerLocation | None = request.getfixturevalue("postgres") if database == "postgres" else None
    agent = cast("Sequence[Rule]", Agent(Random(SEED), pace=0.0))
    url = location.url if location else ""
    with World(tmp_path, ("app",), agent, FILES, extra=EXTRA, url=url) as world:
        trial = LoopTrial(world, Random(SEED), max_iter=2, kills=0)
        trial.write_loop()
        slot = schedule(world)
        killed = {CRASH_VARIABLE: f"journal.after_commit:{write}"}
        with world.start("worker", environment=killed) as first:
            assert first.wait(PATIENCE).exit_code == -9
        with world.start("worker") as second, world.start("worker") as third:
            world.wait_until(second, lambda _: bool(slots(world)) and slots(world)[-1].type == "slot_ended")
            for worker in (second, third):
                worker.signal(signal.SIGTERM)
            assert [worker.wait(PATIENCE).exit_code for worker in (second, third)] == [0, 0]
        taken, ended = slots(world)
        assert (taken.type, taken.data["slot"], ended.data["slot"]) == ("slot_taken", slot, slot)
        assert ended.data["why"] == "ended"
        trial.finish()
        assert trial.outcome.problems == []


def test_a_worker_that_is_told_to_end_leaves_the_rest_of_its_slot_to_another(tmp_path: Path) -> None:
    agent = cast("Sequence[Rule]", Agent(Random(SEED), pace=0.2))
    with World(tmp_path, ("app",), agent, FILES, extra=EXTRA) as world:
        trial = LoopTrial(world, Random(SEED), max_iter=2, kills=0)
        trial.write_loop()
        schedule(world)
        with world.start("worker") as first:
            world.wait_until(first, lambda record: bool(record.runs))
            first.signal(signal.SIGTERM)
            assert first.wait(PATIENCE).exit_code == 0
        assert [event.type for event in slots(world)] == ["slot_taken"]
        with Reads(world.database) as reads:
            assert [(row.iterations, row.driven) for row in reads.loops()] == [(1, False)]
        with world.start("worker") as second:
            world.wait_until(second, lambda _: slots(world)[-1].type == "slot_ended")
            second.signal(signal.SIGTERM)
            assert second.wait(PATIENCE).exit_code == 0
        trial.finish()
        assert trial.outcome.problems == []
