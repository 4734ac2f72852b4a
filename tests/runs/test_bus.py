"""The bus as its subscribers see it."""

from contextlib import aclosing

import anyio

from acp_agent.domain.events import CancelAsked, Event
from acp_agent.runs.bus import Bus


def fact(seq: int) -> Event:
    return Event(stream_id="r_one", seq=seq, ts=0.0, data=CancelAsked(), v=1, tenant="local", actor="ann")


async def test_reading_goes_on_after_an_iteration_that_was_cut_short() -> None:
    bus = Bus()
    seen = []
    with bus.subscribe("*") as subscription:
        for seq in range(1, 4):
            bus.publish("r_one", fact(seq))
            with anyio.move_on_after(0.001):
                async with aclosing(aiter(subscription)) as items:
                    async for item in items:
                        seen.append(item)
    assert seen == [fact(seq) for seq in range(1, 4)]
