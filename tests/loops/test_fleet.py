"""Loops over several projects: turns go where gates pass, and one budget is spent on all."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from acp_agent.app import App
from acp_agent.config.paths import database_location
from acp_agent.config.trust import trust
from acp_agent.domain.errors import Refused, UsageError
from acp_agent.domain.events_loop import ScheduleGiven, SlotEnded
from acp_agent.domain.fleet_loop import FleetState, Member, next_project
from acp_agent.domain.schedule import fold_schedule
from acp_agent.loops.driver import Invocation
from acp_agent.loops.fleet import Fleet, fleet_exit_of
from acp_agent.loops.resolve import LoopAsk
from acp_agent.loops.schedules import give
from acp_agent.loops.serving import Schedules
from acp_agent.store.journal import StoredJournal
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.repos import git, make_fleet, tree
from acp_agent.testing.request import Request
from acp_agent.testing.script import Step
from tests.loops.conftest import CONFIG, FILES, GATES, World, honest, turns

LOOP = """\
+++
projects = "good || bad"
goal = "A large n"
max_iter = 8
patience = 9
same_failure = 9
[metric.n]
run = "cat n.txt"
+++
Raise n.
"""
lazy = turns("Nothing to do.")


def members(request: Request) -> Step:
    """In `good` every iteration raises n, in `bad` none does."""
    return honest(request) if any("Project: good" in text for text in request.system) else lazy(request)


@pytest.fixture
def fleet_world(tmp_path: Path) -> Any:
    make_fleet(
        tmp_path, ["good", "bad", "other"], {"good": ["good"], "bad": ["bad"], "other": []}, files=FILES, extra=GATES
    )
    (tmp_path / "config.toml").write_text(CONFIG, "utf-8")
    (tmp_path / "loops").mkdir()
    (tmp_path / "loops" / "all.md").write_text(LOOP, "utf-8")
    trust(tmp_path, tmp_path / "state")
    with ModelServer(members, strict=False) as server:
        yield World(tmp_path, server)


async def drive_fleet(world: World, *, turns: int | None = None, **asked: Any) -> tuple[FleetState, int, str]:
    async with world.app() as app:
        fleet = Fleet(app.loops())
        ask = LoopAsk(name="all", **asked)
        loop_id = await fleet.ready(ask, await app.loops().resolved(ask))
        state, why = await fleet.drive(loop_id, Invocation(turns=turns))
        code, reason = fleet_exit_of(state, why)
        return state, int(code), reason


async def test_turns_go_where_changes_are_accepted_and_add_up(fleet_world: World) -> None:
    first, code, reason = await drive_fleet(fleet_world, turns=3)
    assert (code, reason, first.iterations) == (0, "once", 3)
    state, code, reason = await drive_fleet(fleet_world)
    assert (code, reason, state.iterations, state.loop_id) == (3, "max_iter", 8, first.loop_id)
    good, bad = state.members["good"], state.members["bad"]
    assert good.iterations == good.accepted >= 5
    assert (bad.accepted, bad.iterations) == (0, 8 - good.iterations)
    async with fleet_world.app() as app:
        child = await app.loops().state(good.loop_id)
        assert child.cost == pytest.approx(good.cost)
        assert tree(fleet_world.root / "good", child.base)["n.txt"] == f"{good.iterations}\n"
        budgets = await spent(app)
        assert budgets[f"loop:{state.loop_id}"] == pytest.approx(state.cost)
    assert git(fleet_world.root / "other", "branch", "--list", "acp/*") == ""


async def test_a_person_ends_the_whole_and_lands_each_project(fleet_world: World) -> None:
    state, _, _ = await drive_fleet(fleet_world, turns=2)
    async with fleet_world.app() as app:
        loops = app.loops()
        with pytest.raises(UsageError, match="over several projects"):
            await loops.accept(state.loop_id)
        await loops.stop(state.loop_id, now=True, note="enough")
        ended = await Fleet(loops).state(state.loop_id)
        assert ended.ended is not None
        assert (ended.ended.reason, ended.ended.message) == ("cancelled", "enough")
        head = await loops.accept(state.members["good"].loop_id)
        assert git(fleet_world.root / "good", "rev-parse", "main") == head
    again, _, _ = await drive_fleet(fleet_world, turns=0)
    assert again.loop_id != state.loop_id


async def test_one_budget_holds_for_all_projects(fleet_world: World) -> None:
    state, code, reason = await drive_fleet(fleet_world, max_cost=0.06)
    assert (code, reason) == (3, "max_cost")
    assert 0 < state.cost <= 0.06
    with pytest.raises(Refused, match="no room for one call"):
        async with fleet_world.app() as app:
            ask = LoopAsk(name="all", max_cost=0.001)
            await Fleet(app.loops()).ready(ask, await app.loops().resolved(ask), fresh=True)


def test_the_next_turn_is_the_one_that_promises_most() -> None:
    def state(**members: Member) -> FleetState:
        return FleetState(members=members)

    fresh, good = Member(loop_id="l_1"), Member(loop_id="l_2", iterations=9, accepted=9)
    poor = Member(loop_id="l_3", iterations=9, accepted=0)
    assert next_project(state(good=good, fresh=fresh)) == "fresh"
    assert next_project(state(poor=poor, good=good)) == "good"
    assert next_project(state(good=good.model_copy(update={"over": "done"}), poor=poor)) == "poor"
    assert next_project(state(good=good.model_copy(update={"over": "done"}))) is None
    # Whoever was long without a turn gets one again.
    many = Member(loop_id="l_4", iterations=2_000, accepted=1_000)
    assert next_project(state(many=many, poor=Member(loop_id="l_3", iterations=1, accepted=0))) == "poor"


async def spent(app: Any) -> dict[str, float]:
    from acp_agent.config.paths import database_path
    from acp_agent.store.reads import Reads

    with Reads(database_path(app.environ)) as reads:
        return {budget.scope: budget.spent for budget in reads.budgets()}


async def test_workers_run_the_slot_of_a_fleet_loop_once_too(fleet_world: World) -> None:
    place = str(fleet_world.root / "projects.toml")
    moment = (datetime.now(UTC) - timedelta(minutes=30)).replace(second=0, microsecond=0)
    when = f"{moment.minute} {moment.hour} {moment.day} {moment.month} *"
    location = database_location(fleet_world.environ)
    async with StoredJournal(location, clock=lambda: moment.timestamp() - 60) as journal:
        stream_id = await give(journal, "all", place, ScheduleGiven(when=when, queue="any", zone="UTC"), "ann")

    async def ended(app: App) -> SlotEnded | None:
        return fold_schedule(await app.journal.events(stream_id)).ended

    async with fleet_world.app() as app:
        stop = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(Schedules(app.loops(), frozenset({"any"}), print).serve, 2, stop)
            with anyio.fail_after(120):
                while (over := await ended(app)) is None:
                    await anyio.sleep(0.05)
            stop.set()
        state = await Fleet(app.loops()).state(over.loop_id)
        assert (over.why, over.slot, state.iterations) == ("ended", moment.timestamp(), 8)
        assert len(await app.journal.streams("loop")) == 3
