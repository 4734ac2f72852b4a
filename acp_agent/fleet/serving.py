"""Works for others: drives the runs of queues as they come, and closes the batches that nobody else will."""

import logging
from dataclasses import dataclass, replace

import anyio
import anyio.abc
import anyio.to_thread

from acp_agent.config.fingerprint import fingerprints
from acp_agent.config.paths import database_location, state_dir
from acp_agent.domain.chain import ERASURE
from acp_agent.domain.errors import AcpAgentError, ExitCode, Refused
from acp_agent.domain.events import Event
from acp_agent.domain.ports import Queues
from acp_agent.domain.request import Workplace
from acp_agent.fleet.batches import MANY, Batches
from acp_agent.fleet.clones import Clones
from acp_agent.fleet.fitting import Fitting
from acp_agent.fleet.tidy import Leftover, tidy
from acp_agent.runs.bus import Subscription
from acp_agent.store.reads import BatchRow, Reads

_log = logging.getLogger(__name__)

LOOK = 30.0
"""Seconds between two looks for batches whose last worker died before it could close them."""
TOGETHER = 0.2
"""Seconds after a run ended in which those of others are waited for, before the batches are looked at."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A worker of some queues."""

    batches: Batches
    queues: Queues

    async def serve(self, jobs: int, stop: anyio.Event) -> None:
        """Drive up to `jobs` runs at once until `stop` is set, then those under way to their ends."""
        async with anyio.create_task_group() as group:
            await group.start(self._close_batches)
            config = fingerprints(self.batches.models.settings)
            fits = Fitting(self.batches.journal, self.batches.environ, config, self.batches.is_priced)
            await self.batches.engine.serve(self.queues, jobs, stop, fits)
            group.cancel_scope.cancel()
        await self.close_finished()

    async def close_finished(self) -> None:
        """Put the outcome of every batch of these queues on record whose runs are over, or wait for people."""
        with Reads(database_location(self.batches.environ)) as reads:
            await self._drop_clones(reads)
            over = [batch for batch in reads.batches(MANY) if self._is_to_close(reads, batch)]
        for batch in over:
            if batch.status == "ended":
                await self.batches.close(batch.id)
                continue
            try:
                async with self.batches.engine.hold(batch.id):
                    await self.batches.close(batch.id)
            except Refused:
                # Another worker is about to close it, or `acp resume` drives it.
                continue

    async def _drop_clones(self, reads: Reads) -> None:
        """Take away the worktrees in clones here of runs that are over, but for what nobody has got a copy of."""
        clones = Clones(state_dir(self.batches.environ))
        for run_id in await anyio.to_thread.run_sync(clones.holding):
            run = reads.run(run_id)
            if run is None or run.status != "ended" or run.last_type == ERASURE:
                continue
            events = reads.events(run_id)
            asked = Workplace.model_validate(events[0].data["request"]["workplace"])
            place = clones.of(asked, run_id)
            try:
                if run.commit_sha or asked.kind == "inplace":
                    await clones.drop(run_id, place)
                elif (leftover := Leftover.of(run, events)) is not None:
                    await tidy([replace(leftover, place=place)])
            except AcpAgentError as error:
                _log.warning("the worktree of %s stays at %s: %s", run_id, place.worktree, error.what)

    def _is_to_close(self, reads: Reads, batch: BatchRow) -> bool:
        if batch.options.get("queue") not in self.queues:
            return False
        open_ones = {
            status
            for status in ("queued", "running", "waiting")
            if reads.runs(batch_id=batch.id, status=status, limit=1)
        }
        if batch.status == "running":
            return open_ones <= {"waiting"}
        # It ended while runs waited for people, whose answers have come.
        return batch.exit_code == ExitCode.WAITS and not open_ones

    async def _close_batches(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        left = anyio.Event()

        async def listen(subscription: Subscription) -> None:
            async for item in subscription:
                if _leaves(item):
                    left.set()

        with self.batches.bus.subscribe("*") as subscription:
            task_status.started()
            async with anyio.create_task_group() as group:
                group.start_soon(listen, subscription)
                while True:
                    await self.close_finished()
                    with anyio.move_on_after(LOOK):
                        await left.wait()
                        # Where hundreds end in a second, the record is not asked after each of them.
                        await anyio.sleep(TOGETHER)
                    left = anyio.Event()


def _leaves(item: object) -> bool:
    """Whether a run has just ended, or waits."""
    return isinstance(item, Event) and item.data.type in ("run_ended", "parked")
