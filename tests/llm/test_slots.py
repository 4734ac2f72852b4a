"""The slots of a provider: people before batches before loops, and one kept free for each."""

import anyio

from acp_agent.domain.ports import Urgency
from acp_agent.domain.progress import heard_by
from acp_agent.llm.slots import Slots


async def order(total: int, asked: list[Urgency]) -> list[str]:
    """Who got a slot in which order, when all ask at once and each gives its slot back after the others had a look."""
    slots, got = Slots(total), list[str]()
    release = anyio.Event()

    async def ask(number: int, urgency: Urgency) -> None:
        async with slots.one(urgency):
            got.append(f"{urgency}{number}")
            await release.wait()

    async with anyio.create_task_group() as group:
        for number, urgency in enumerate(asked):
            group.start_soon(ask, number, urgency)
        await anyio.wait_all_tasks_blocked()
        got.append("|")
        release.set()
    return got


async def test_a_person_comes_before_a_batch_and_a_batch_before_a_loop() -> None:
    assert await order(1, ["batch", "loop", "loop", "batch", "person"]) == [
        "batch0", "|", "person4", "batch3", "loop1", "loop2",
    ]  # fmt: skip


async def test_a_slot_is_kept_free_for_people_and_one_for_batches() -> None:
    got = await order(4, ["loop", "loop", "loop", "batch", "batch", "person", "person"])
    assert got[: got.index("|")] == ["loop0", "loop1", "batch3", "person5"]


async def test_whoever_leaves_the_queue_takes_no_slot_with_it() -> None:
    slots = Slots(1)
    async with anyio.create_task_group() as group, slots.one("batch"):

        async def impatient() -> None:
            with anyio.move_on_after(0.01):
                async with slots.one("person"):
                    raise AssertionError("there is no slot")

        group.start_soon(impatient)
        await anyio.sleep(0.05)
    async with slots.one("loop"):
        pass


async def test_whoever_waits_for_a_slot_gives_signs_of_life() -> None:
    slots, heard = Slots(1), anyio.Event()

    async def wait() -> None:
        with heard_by(heard.set):
            async with slots.one("batch"):
                raise AssertionError("there is no slot")

    async with anyio.create_task_group() as group, slots.one("batch"):
        group.start_soon(wait)
        await heard.wait()
        group.cancel_scope.cancel()
    assert heard.is_set()
