"""Nothing a client can send kills or hangs a connection, and every request is answered exactly once."""

from collections import Counter
from random import Random
from typing import Any

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.campaigns.wire_fuzz import batter, very_long_line
from tests.surfaces.acp.fixture_agent import methods
from tests.surfaces.acp.garbage import conversation, cut
from tests.surfaces.acp.wire import wired


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_garbage_harms_nothing_and_each_request_has_one_answer(seed: int, length: int) -> None:
    anyio.run(batter_in_memory, Random(seed), length)


async def batter_in_memory(random: Random, length: int) -> None:
    said = list(conversation(random, length))
    stream = b"".join(line + b"\n" for line, _ in said)
    async with wired(methods(), conforming=False) as client:
        for piece in cut(random, stream):
            client.transport.feed(piece)
            if random.random() < 0.1:
                await anyio.lowlevel.checkpoint()
        await client.call("session/list", {})
        expected: list[Any] = [message_id for _, message_id in said if message_id is not False]
        for message_id in expected:
            await client.answer(message_id)
        answers = Counter((type(message["id"]), message["id"]) for message in client.received if "id" in message)
    assert {message_id: answers[type(message_id), message_id] for message_id in expected} == dict.fromkeys(expected, 1)


def test_a_process_survives_the_same() -> None:
    assert batter(seed=1, length=400) == []


def test_a_line_of_120_mb_costs_little_memory() -> None:
    assert very_long_line(120) == []
