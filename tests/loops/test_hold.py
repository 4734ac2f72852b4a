"""A hold ends the loops that are driven, and they go on where they stood."""

import anyio
import pytest

from acp_agent.domain.errors import Held
from acp_agent.domain.hold import BEGINS
from acp_agent.runs.holding import lift_hold, set_hold
from acp_agent.testing.request import Request
from acp_agent.testing.script import Step
from tests.loops.conftest import MakeWorld, Told, drive, honest, iteration_of


async def test_no_iteration_begins_under_a_hold_and_the_loop_goes_on_after_it(world: MakeWorld) -> None:
    with world(honest) as w:
        first = await w.drive(turns=1)
        async with w.app() as app:
            held = await set_hold(app.journal, "ann", now=False, note="")
            with pytest.raises(Held):
                await drive(app)
            events = await app.journal.events(first.state.loop_id)
            assert BEGINS.isdisjoint(event.data.type for event in events if event.ts > held.since)
            await lift_hold(app.journal, "ann")
            second = await drive(app)
        assert (second.state.loop_id, second.reason) == (first.state.loop_id, "max_iter")
        assert second.outcomes == ["accepted"] * 4


async def test_a_hold_that_is_meant_for_now_ends_the_iteration_under_way(world: MakeWorld) -> None:
    slow = [True]

    def agent(request: Request) -> Step:
        return Step(text="slow", delay=600.0) if slow and iteration_of(request) == 2 else honest(request)

    with world(agent) as w:
        found: list[Told] = []
        async with w.app() as app:

            async def work() -> None:
                found.append(await drive(app))

            async with anyio.create_task_group() as group:
                group.start_soon(work)
                await w.server.requests_arrived(1, where=lambda request: iteration_of(request) == 2)
                await set_hold(app.journal, "ann", now=True, note="")
            assert (found[0].why, found[0].code, found[0].outcomes[0]) == ("held", 4, "accepted")
            slow.clear()
            await lift_hold(app.journal, "ann")
            assert (await drive(app)).reason == "max_iter"
