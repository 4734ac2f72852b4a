"""The engine of one machine: claims runs by leases in the store and drives them in this process.

Several processes may share one store: a run is claimed by one of them, and one whose process is gone is claimed again.
"""

import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
from anyio.abc import TaskGroup

from acp_agent.domain.errors import AcpAgentError, NotRecorded, Refused
from acp_agent.domain.ports import Claim, Journal, Owner, Queues
from acp_agent.domain.run import RunState
from acp_agent.engines.sieve import Sieve
from acp_agent.runs.escalating import Escalating
from acp_agent.runs.holding import stopped
from acp_agent.runs.port import Fits, Worker

HEARTBEAT = 0.75
"""Seconds; on SQLite the time in which one process sees what another has recorded, so less than one."""
LOOK = 256


class LocalEngine:
    """Implements the Engine port. `owner` names this process in leases; the heartbeat renews them.

    `escalating` keeps the deadlines of approvals; without one, by no channel.
    """

    def __init__(
        self,
        journal: Journal,
        worker: Worker,
        owner: Owner,
        heartbeat: float = HEARTBEAT,
        escalating: Escalating | None = None,
    ) -> None:
        self._escalating = escalating or Escalating(journal)
        self._journal = journal
        self._worker = worker
        self._owner = owner
        self._heartbeat = heartbeat
        self._claims: dict[str, Claim] = {}
        self._set_aside: dict[str, AcpAgentError] = {}
        self._news = anyio.Event()

    async def submit(self, run_ids: Sequence[str]) -> None:
        """The runs are in the record already: look there again."""
        self._news.set()

    async def wake(self, run_id: str) -> None:
        """The run is queued in the record: look there again."""
        self._news.set()

    async def poke(self, run_id: str) -> None:
        """Have the driver here read what others recorded."""
        if run_id in self._claims:
            events = await self._journal.events(run_id)
            await self._worker.poke(run_id, events[-1].seq)

    async def cancel(self, run_id: str) -> None:
        """Tell the driver here at once; a run nobody drives is brought to its end here.

        One that another process drives sees the cancellation at its next heartbeat.
        """
        if run_id in self._claims:
            await self.poke(run_id)
            return
        claim = await self._journal.claim(run_id, self._owner)
        if claim is not None:
            await self._drive(claim)

    async def drive(self, run_id: str) -> RunState:
        """Drive one run here until it ends or waits. Raises Refused when it cannot be claimed, Held."""
        claim = await self._journal.claim(run_id, self._owner)
        if claim is None:
            await self._refuse_held()
            raise Refused(f"{run_id} cannot be driven here: it is driven elsewhere, waits or has ended", hint="acp ps")
        async with self._leases(lambda: [claim]):
            state = await self._drive(claim)
        if not state.ended and not state.waiting:
            await self._refuse_held()
        return state

    async def lapse(self) -> None:
        """Take the next step of what nobody has approved within its time; those runs that are refused go on."""
        await self._escalating.lapse()

    async def work(self, batch_id: str | None, jobs: int) -> None:
        """Drive up to `jobs` runs at once, of one batch or of all, until none can be claimed and none is under way.

        Raises Refused when another process works on the batch, and Held where a person stopped everything.
        """
        async with AsyncExitStack() as stack:
            if batch_id is not None:
                await stack.enter_async_context(self.hold(batch_id))
            await stack.enter_async_context(self._leases(lambda: list(self._claims.values())))
            await self._work(batch_id, jobs)
            await self._refuse_held()

    async def serve(self, queues: Queues, jobs: int, stop: anyio.Event, fits: Fits | None = None) -> None:
        """Drive up to `jobs` runs of `queues` at once as they come; once `stop` is set, those under way to their ends.

        What a dead worker left does not wait for a slot: up to as many again are driven for that. What `fits` says no
        to is left for others, and asked about again after a while. A run whose record cannot be read is left alone from
        then on. Raises NotRecorded where none can be written.
        """
        slots, spare = anyio.CapacityLimiter(jobs), anyio.CapacityLimiter(jobs)
        queue: deque[str] = deque()
        sieve = Sieve(fits)

        async def look_at_stop() -> None:
            await stop.wait()
            self._news.set()

        async with self._leases(lambda: list(self._claims.values())), anyio.create_task_group() as group:
            group.start_soon(look_at_stop)
            looked = -math.inf
            while not stop.is_set():
                if anyio.current_time() - looked > self._heartbeat:
                    looked = anyio.current_time()
                    # What a dead worker left is older than most of what was seen waiting.
                    queue.clear()
                    await self._fill(queues, queue, slots, group, sieve)
                    await self._take_over(queues, spare, group, sieve)
                else:
                    await self._fill(queues, queue, slots, group, sieve)
                await self._news.wait()
                self._news = anyio.Event()
                for error in self._set_aside.values():
                    if isinstance(error, NotRecorded):
                        raise error

    async def _refuse_held(self) -> None:
        if (held := await self._journal.hold()) is not None:
            raise stopped(held)

    @asynccontextmanager
    async def hold(self, stream_id: str) -> AsyncIterator[Claim]:
        """Keep a batch, a session or a loop for this process while the block runs. Refused when another one has it."""
        claim = await self._journal.claim(stream_id, self._owner)
        if claim is None:
            await self._refuse_held()
            owner = await self._journal.owner_of(stream_id)
            who = f" ({owner.pid} on {owner.host})" if owner is not None else ""
            raise Refused(f"{stream_id} is worked on by another process{who}", hint=f"acp logs -f {stream_id}")
        try:
            async with self._leases(lambda: [claim]):
                yield claim
        finally:
            with anyio.CancelScope(shield=True):
                await self._journal.release(claim)

    async def _work(self, batch_id: str | None, jobs: int) -> None:
        slots = anyio.CapacityLimiter(jobs)
        queue: deque[str] = deque()
        async with anyio.create_task_group() as group:
            while await self._fill(batch_id, queue, slots, group, Sieve()):
                await self._news.wait()
                self._news = anyio.Event()
        if self._set_aside:
            raise next(iter(self._set_aside.values()))

    async def _fill(
        self,
        which: str | Queues | None,
        queue: deque[str],
        slots: anyio.CapacityLimiter,
        group: TaskGroup,
        sieve: Sieve,
    ) -> bool:
        """Begin runs while there are free slots; False when there is nothing left to wait for."""
        tried: set[str] = set()
        while (free := int(slots.available_tokens)) > 0:
            if not queue:
                # A run that another process took meanwhile is not asked for twice in one look.
                left = sieve.left
                found = await self._journal.claimable(which, LOOK + len(left))
                out = {*tried, *left, *self._set_aside}
                queue.extend(run_id for run_id in found if run_id not in out)
                if not queue:
                    break
            # More than there are slots: others look at the same runs, and have some of them by now.
            some = [queue.popleft() for _ in range(min(4 * free + 8, len(queue)))]
            some = await sieve.passing(some)
            if not some:
                continue
            claims = await self._journal.claim_first(some, self._owner, free)
            if len(claims) == free:
                asked = some.index(claims[-1].stream_id) + 1
                queue.extendleft(reversed(some[asked:]))
                some = some[:asked]
            tried.update(some)
            for claim in claims:
                slots.acquire_on_behalf_of_nowait(claim)
                group.start_soon(self._drive_in_slot, claim, slots)
        return slots.borrowed_tokens > 0

    async def _take_over(self, queues: Queues, spare: anyio.CapacityLimiter, group: TaskGroup, sieve: Sieve) -> None:
        """Begin what dead workers left and found no slot: all may be taken by runs that go on for long."""
        if (free := int(spare.available_tokens)) > 0:
            known = {*sieve.left, *self._set_aside, *self._claims}
            lost = [run_id for run_id in await self._journal.lost(queues) if run_id not in known]
            for claim in await self._journal.claim_first(await sieve.passing(lost), self._owner, free):
                spare.acquire_on_behalf_of_nowait(claim)
                group.start_soon(self._drive_in_slot, claim, spare)

    async def _drive_in_slot(self, claim: Claim, slots: anyio.CapacityLimiter) -> None:
        try:
            await self._drive(claim)
        except AcpAgentError as error:
            # One run whose record cannot be read or written is set aside; the others go on.
            self._set_aside[claim.stream_id] = error
        finally:
            slots.release_on_behalf_of(claim)
            self._news.set()

    async def _drive(self, claim: Claim) -> RunState:
        self._claims[claim.stream_id] = claim
        over = False
        try:
            state = await self._worker.drive(claim)
            over = state.ended is not None
            return state
        finally:
            self._claims.pop(claim.stream_id, None)
            # The record of an end gives the lease back itself: one commit less to disk.
            if not over:
                with anyio.CancelScope(shield=True):
                    await self._journal.release(claim)

    @asynccontextmanager
    async def _leases(self, held: Callable[[], list[Claim]]) -> AsyncIterator[None]:
        """Keep the leases of `held` while the block runs, and carry news of other processes to the drivers here.

        What the block raises is raised as it is, not in a group.
        """
        failure: Exception | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._keep, held, group)
            try:
                yield
            except Exception as error:
                failure = error
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _keep(self, held: Callable[[], list[Claim]], group: TaskGroup) -> None:
        seen = 0
        while True:
            seen = await self._journal.news(self._heartbeat, seen)
            for notice in await self._escalating.begin():
                # Beside the heartbeat: no lease may run out because a channel is slow.
                group.start_soon(self._escalating.tell, notice)
            stop = await self._journal.hold()
            for pulse in await self._journal.renew(held()):
                if pulse.lost:
                    self._worker.abandon(pulse.stream_id)
                elif stop is not None and stop.now:
                    self._worker.halt(pulse.stream_id)
                else:
                    await self._worker.poke(pulse.stream_id, pulse.seq)
            # Another process may have answered what a run of ours waited for.
            self._news.set()
