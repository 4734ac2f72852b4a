"""Workers take the slots of schedules: each once, whoever dies over it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from acp_agent.app import App
from acp_agent.config.paths import database_location
from acp_agent.domain.events_loop import LoopResumed, LoopStarted, ScheduleGiven, SlotEnded, SlotTaken
from acp_agent.domain.schedule import ScheduleState, fold_schedule
from acp_agent.loops.driver import Invocation
from acp_agent.loops.resolve import LoopAsk
from acp_agent.loops.schedules import due, give, served, withdraw
from acp_agent.loops.serving import Schedules
from acp_agent.loops.slots import stream_of
from acp_agent.runs.holding import lift_hold, set_hold
from acp_agent.store.journal import StoredJournal
from acp_agent.store.owner import owner_of_this_process
from acp_agent.surfaces.cli.entry import run_command_line
from tests.loops.conftest import LOOP, MakeWorld, World, honest

pytestmark = pytest.mark.anyio
MINE = frozenset({"any"})
PATIENCE = 120.0


def half_an_hour_ago() -> tuple[str, float]:
    """A time that comes once a year, and came half an hour ago, as five cron fields and as Unix time."""
    moment = (datetime.now(UTC) - timedelta(minutes=30)).replace(second=0, microsecond=0)
    return f"{moment.minute} {moment.hour} {moment.day} {moment.month} *", moment.timestamp()


async def given(w: World, queue: str = "any") -> float:
    """Give the schedule of `up` to workers an hour ago; the slot that has come since."""
    when, slot = half_an_hour_ago()
    async with StoredJournal(database_location(w.environ), clock=lambda: slot - 1800) as journal:
        await give(journal, "up", place(w), ScheduleGiven(when=when, queue=queue, zone="UTC"), "ann")
    return slot


def place(w: World) -> str:
    return str(w.root / "projects.toml")


async def state(app: App, w: World) -> ScheduleState:
    return fold_schedule(await app.journal.events(stream_of("up", place(w))))


async def facts(app: App, w: World, *kinds: type[Any]) -> list[Any]:
    events = await app.journal.events(stream_of("up", place(w)))
    return [event.data for event in events if isinstance(event.data, kinds)]


@asynccontextmanager
async def working(app: App, said: list[str] | None = None, queues: frozenset[str] = MINE) -> AsyncIterator[anyio.Event]:
    """A worker's part in schedules, in this process, until the block ends."""
    stop = anyio.Event()
    told = said if said is not None else []
    async with anyio.create_task_group() as group:
        group.start_soon(Schedules(app.loops(), queues, told.append).serve, 2, stop)
        yield stop
        stop.set()


async def come(app: App, queues: frozenset[str] = MINE) -> list[ScheduleState]:
    """What a worker of these queues would begin now."""
    return await Schedules(app.loops(), queues, print).come()


async def until(true: Callable[[], Any]) -> None:
    """Wait until it is so."""
    with anyio.fail_after(PATIENCE):
        while not await true():
            await anyio.sleep(0.05)


async def loops_of(app: App) -> list[list[Any]]:
    """What began or resumed each loop."""
    found = [await app.journal.events(stream_id) for stream_id in await app.journal.streams("loop")]
    return [[event.data for event in events if isinstance(event.data, LoopStarted | LoopResumed)] for events in found]


async def test_of_two_workers_one_takes_the_slot_and_its_loop_runs_once(world: MakeWorld) -> None:
    with world(honest) as w:
        slot = await given(w)
        async with w.app() as one, w.app() as two:
            async with working(one), working(two):
                await until(lambda: facts(one, w, SlotEnded))
            assert await facts(one, w, SlotTaken) == [SlotTaken(slot=slot, when=half_an_hour_ago()[0], worker=True)]
            [ended] = await facts(one, w, SlotEnded)
            assert (ended.slot, ended.why) == (slot, "ended")
            [[begun]] = await loops_of(one)
            assert begun.slot == slot
            assert (await one.loops().state(ended.loop_id)).iterations == 4
            assert due(await state(one, w), await one.journal.now()) is None


@pytest.mark.parametrize("died", ["before it began", "after it ended"])
async def test_what_a_dead_worker_left_of_a_slot_is_done_once(world: MakeWorld, died: str) -> None:
    with world(honest) as w:
        slot = await given(w)
        async with w.app() as app:
            stream_id = stream_of("up", place(w))
            async with app.engine.hold(stream_id) as claim:
                await app.journal.append(claim, [SlotTaken(slot=slot, worker=True)])
            if died == "after it ended":
                ready = await app.loops().ready(LoopAsk(name="up", projects_file=place(w), slot=slot))
                assert await app.loops().drive(ready.loop_id, Invocation()) == "ended"
            async with working(app):
                await until(lambda: facts(app, w, SlotEnded))
            assert len(await facts(app, w, SlotTaken)) == 1
            [[begun]] = await loops_of(app)
            assert isinstance(begun, LoopStarted)
            [ended] = await facts(app, w, SlotEnded)
            assert (ended.why, (await app.loops().state(ended.loop_id)).iterations) == ("ended", 4)


async def test_a_hold_stops_them_and_the_slot_is_run_when_it_is_lifted(world: MakeWorld) -> None:
    with world(honest) as w:
        await given(w)
        async with w.app() as app:
            await set_hold(app.journal, "ann", now=False, note="")
            assert await come(app) == []
            async with working(app):
                await lift_hold(app.journal, "ann")
                await until(lambda: facts(app, w, SlotEnded))
            assert len(await facts(app, w, SlotTaken)) == 1


async def test_a_worker_that_drains_ends_the_iteration_and_leaves_the_rest_of_the_slot(world: MakeWorld) -> None:
    with world(honest) as w:
        await given(w)
        async with w.app() as app:
            async with working(app) as stop:
                await until(lambda: app.journal.streams("run"))
                stop.set()
            assert await facts(app, w, SlotEnded) == []
            [loop_id] = await app.journal.streams("loop")
            left = await app.loops().state(loop_id)
            assert (left.phase, left.ended) == ("idle", None)
            assert 1 <= left.iterations < 4
            async with working(app):
                await until(lambda: facts(app, w, SlotEnded))
            assert (await app.loops().state(loop_id)).iterations == 4
            assert [len(begun) for begun in await loops_of(app)] == [1]


async def test_what_cannot_be_run_here_is_left_for_others_and_said_once(world: MakeWorld) -> None:
    with world(honest) as w:
        await given(w)
        (w.root / "loops" / "up.md").write_text(LOOP.replace("{more}", "").replace("cat n.txt", "cat m.txt"), "utf-8")
        async with w.app() as app:
            said: list[str] = []
            async with working(app, said):
                await until(lambda: _has(said, 1))
                (w.root / "loops" / "up.md").unlink()
                await until(lambda: _has(said, 2))
            # Each look in between said nothing again.
            assert len(said) == 2
            assert said[0].startswith("up: its slot is left for others: ") and "acp trust" not in said[0]
            assert "no loop" in said[1]
            assert await facts(app, w, SlotTaken) == []


async def _has(said: list[str], lines: int) -> bool:
    return len(said) >= lines


async def test_a_slot_of_another_queue_or_a_schedule_that_was_withdrawn_is_not_touched(world: MakeWorld) -> None:
    with world(honest) as w:
        await given(w, "host.other")
        async with w.app() as app:
            other = frozenset({"host.other"})
            assert await come(app) == []
            assert [found.name for found in await come(app, other)] == ["up"]
            [found] = await served(app.journal)
            await withdraw(app.journal, found, "ann")
            assert (await served(app.journal), await come(app, other)) == ([], [])


async def test_a_poisoned_slot_ends_after_three_workers(world: MakeWorld) -> None:
    with world(honest) as w:
        slot = await given(w)
        async with w.app() as app:
            stream_id = stream_of("up", place(w))
            async with app.engine.hold(stream_id) as claim:
                await app.journal.append(claim, [SlotTaken(slot=slot, worker=True)])
            gone = owner_of_this_process().model_copy(update={"pid": 4_000_000, "started": "0"})
            for _ in range(4):
                assert await app.journal.claim(stream_id, gone) is not None
            async with working(app):
                await until(lambda: facts(app, w, SlotEnded))
            [ended] = await facts(app, w, SlotEnded)
            assert (ended.why, ended.detail) == ("crash_loop", "3 workers died over it")
            assert await app.journal.streams("loop") == []


def test_a_zone_and_a_queue_are_refused_that_are_none(
    world: MakeWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with world(honest) as w:
        for name, value in w.environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(w.root)
        add = ["schedule", "add", "up", "daily 02:00"]
        for words in (["--zone", "UTC"], ["--worker", "--zone", "Mars"], ["--worker", "--queue", "some"]):
            assert run_command_line([*add, *words]) == 2
        assert run_command_line([*add, "--worker", "--print"]) == 2
        capsys.readouterr()
        assert run_command_line([*add, "--worker", "--zone", "UTC", "--queue", "any"]) == 0
        assert capsys.readouterr().out.endswith("02:00 UTC, by a worker of any\n")
        assert run_command_line(["schedule", "ls", "-o", "json"]) == 0
        shown = capsys.readouterr().out
        assert '"kind": "worker"' in shown and '"when": "daily 02:00"' in shown
        assert run_command_line(["schedule", "rm", "up"]) == 0
        assert run_command_line(["schedule", "rm", "up"]) == 5
