"""Permits of calls that processes share: a limit holds over all of them, people come first, nothing stays taken."""

import multiprocessing
import signal
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack

import anyio
import anyio.to_thread
import pytest

from acp_agent.domain.location import Location
from acp_agent.domain.permits import REST, Permit, may_begin, share_of
from acp_agent.domain.ports import Owner, Urgency
from acp_agent.domain.progress import heard_by
from acp_agent.store.journal import StoredJournal
from acp_agent.store.owner import owner_of_this_process
from acp_agent.store.permits import StoredPermits

pytestmark = pytest.mark.anyio
LIMITER = "openai"


def permit(call_id: str, urgency: int = 1, most: int = 1, *, held: bool = False, limiter: str = LIMITER) -> Permit:
    return Permit(call_id, limiter, "{}", urgency, most, int(held), float(call_id[1:]), 0.0)


def test_the_most_urgent_begins_first_then_the_oldest() -> None:
    waiting = [permit("c1", 2, 3), permit("c2", 1, 3), permit("c4", 1, 3), permit("c3", 0, 3)]
    assert may_begin(waiting) == ["c3", "c2", "c4"]


def test_a_share_is_kept_from_batches_and_loops() -> None:
    assert [share_of(16, rank) for rank in range(3)] == [16, 14, 12]
    assert [share_of(3, rank) for rank in range(3)] == [3, 3, 3]
    held = [permit(f"c{number}", most=4, held=True) for number in range(3)]
    assert may_begin([*held, permit("c8", 1, 4), permit("c9", 0, 4)]) == ["c9"]


def test_a_call_begins_under_all_of_its_limiters_or_none() -> None:
    narrow = permit("c1", limiter="openai/small", held=True)
    both = [permit("c2", most=2), permit("c2", limiter="openai/small")]
    assert may_begin([narrow, *both, permit("c3", most=2)]) == ["c3"]


def test_nothing_begins_while_a_limiter_rests() -> None:
    rest = permit("c0", REST, 0, held=True)
    assert may_begin([rest, permit("c1", 0, 9), permit("c2", 0, 9, limiter="other")]) == ["c2"]


@pytest.fixture
async def offices(database: Location, me: Owner) -> AsyncGenerator[Sequence[StoredPermits]]:
    """Two journals of one database, as two processes have them."""
    async with AsyncExitStack() as stack:
        journals = [await stack.enter_async_context(StoredJournal(database)) for _ in range(2)]
        yield [journal.permits(me) for journal in journals]


async def test_no_more_are_open_at_once_than_the_limit_whoever_asks(offices: Sequence[StoredPermits]) -> None:
    open_now, most, done = 0, 0, 0
    two = anyio.Event()

    async def call(office: StoredPermits, urgency: Urgency) -> None:
        nonlocal open_now, most, done
        async with office.hold({LIMITER: 2}, urgency):
            open_now += 1
            most = max(most, open_now)
            if open_now == 2:
                two.set()
            await two.wait()
            open_now -= 1
            done += 1

    async with anyio.create_task_group() as group:
        for number in range(12):
            group.start_soon(call, offices[number % 2], "batch")
    assert (most, done) == (2, 12)


async def test_a_person_overtakes_a_batch_of_another_process(offices: Sequence[StoredPermits]) -> None:
    got: list[str] = []

    async def call(office: StoredPermits, urgency: Urgency) -> None:
        async with office.hold({LIMITER: 1}, urgency):
            got.append(urgency)

    async with anyio.create_task_group() as group, offices[0].hold({LIMITER: 1}, "batch"):
        for urgency, office in (("loop", offices[0]), ("batch", offices[0]), ("person", offices[1])):
            group.start_soon(call, office, urgency)
        while len(await waiting(offices[0])) < 3:
            await anyio.sleep(0.01)
    assert got == ["person", "batch", "loop"]


async def test_what_a_call_raises_comes_out_as_it_is_and_leaves_nothing(offices: Sequence[StoredPermits]) -> None:
    with pytest.raises(ValueError, match="as it is"):
        async with offices[0].hold({LIMITER: 1, "openai/small": 1}, "person"):
            raise ValueError("as it is")
    assert await rows(offices[0]) == []


async def test_whoever_leaves_while_it_waits_leaves_nothing(offices: Sequence[StoredPermits]) -> None:
    async with offices[0].hold({LIMITER: 1}, "person"), anyio.create_task_group() as group:

        async def impatient() -> None:
            async with offices[1].hold({LIMITER: 1}, "person"):
                raise AssertionError("there is none")

        group.start_soon(impatient)
        while not await waiting(offices[0]):
            await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    assert await rows(offices[0]) == []


async def test_a_limiter_that_rests_lets_nothing_begin_until_it_is_over(database: Location, me: Owner) -> None:
    time = [1000.0]
    async with StoredJournal(database, clock=lambda: time[0]) as journal:
        office = journal.permits(me)
        await office.rest(LIMITER, 30.0)
        began = anyio.Event()

        async def call() -> None:
            async with office.hold({LIMITER: 1}, "person"):
                began.set()

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            while not await waiting(office):
                await anyio.sleep(0.01)
            assert not began.is_set()
            time[0] += 31.0
    assert began.is_set()


def hold_until_killed(location: Location, ready: "multiprocessing.synchronize.Event") -> None:
    """What the process does that is killed: it has the one permit, and a second call that waits."""

    async def work() -> None:
        async with StoredJournal(location) as journal, anyio.create_task_group() as group:
            office = journal.permits(owner_of_this_process())

            async def call() -> None:
                async with office.hold({LIMITER: 1}, "person"):
                    await anyio.sleep_forever()

            group.start_soon(call)
            group.start_soon(call)
            while len(await waiting(office)) < 1:
                await anyio.sleep(0.01)
            ready.set()
            await anyio.sleep_forever()

    anyio.run(work)


async def test_what_a_killed_process_held_is_free_before_its_lease_ends(database: Location, me: Owner) -> None:
    context = multiprocessing.get_context("spawn")
    async with StoredJournal(database, lease=3600.0) as journal:
        office = journal.permits(me)
        ready = context.Event()
        other = context.Process(target=hold_until_killed, args=(database, ready), daemon=True)
        other.start()
        assert await anyio.to_thread.run_sync(ready.wait, 120.0)
        got = anyio.Event()

        async def call() -> None:
            async with office.hold({LIMITER: 1}, "loop"):
                got.set()

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            while len(await waiting(office)) < 2:
                await anyio.sleep(0.01)
            assert not got.is_set()
            other.kill()
            await anyio.to_thread.run_sync(other.join)
            assert other.exitcode == -signal.SIGKILL
        assert got.is_set()
        assert await rows(office) == []


async def test_what_is_not_renewed_ends_with_its_lease(database: Location, me: Owner) -> None:
    time = [1000.0]
    # Of another host nobody knows whether it lives: the lease is the only word.
    far = me.model_copy(update={"host": "far"})
    async with StoredJournal(database, lease=3600.0, clock=lambda: time[0]) as journal:
        near, away = journal.permits(me), journal.permits(far)
        async with away.hold({LIMITER: 1}, "person"):
            time[0] += 3601.0
            async with near.hold({LIMITER: 1}, "loop"):
                assert [held.owner == me.model_dump_json() for held in await rows(near)] == [True]


async def rows(office: StoredPermits) -> list[Permit]:
    return await office.rows()


async def waiting(office: StoredPermits) -> list[Permit]:
    return [each for each in await office.rows() if not each.held]


async def test_whoever_waits_for_a_permit_gives_signs_of_life(offices: Sequence[StoredPermits]) -> None:
    heard = anyio.Event()

    async def wait() -> None:
        with heard_by(heard.set):
            async with offices[1].hold({LIMITER: 1}, "batch"):
                raise AssertionError("there is no permit")

    async with anyio.create_task_group() as group, offices[0].hold({LIMITER: 1}, "batch"):
        group.start_soon(wait)
        await heard.wait()
        group.cancel_scope.cancel()
    assert heard.is_set()
