"""The ports of an engine: who drives queued runs, and what drives one of them."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import anyio

from acp_agent.domain.ports import Claim, Queues
from acp_agent.domain.run import RunState

Fits = Callable[[Sequence[str]], Awaitable[Collection[str]]]
"""Those of some runs that can be driven here."""


class Worker(Protocol):
    """Drives one claimed run until it ends or waits."""

    async def drive(self, claim: Claim) -> RunState:
        """The state in which it left the run. Cancelling it leaves a run that can be resumed."""
        ...

    async def poke(self, run_id: str, seq: int) -> None:
        """The stream of a run driven here has facts up to `seq`; some may be somebody else's."""
        ...

    def abandon(self, run_id: str) -> None:
        """The lease of a run driven here is lost: stop its effects, write nothing more."""
        ...

    def halt(self, run_id: str) -> None:
        """A person stopped everything at once: end the effect of a run driven here; what came of it goes on record."""
        ...


class Engine(Protocol):
    """Brings queued runs to workers; a run is queued by being in the record."""

    async def submit(self, run_ids: Sequence[str]) -> None:
        """New runs are queued: begin them as soon as a slot is free."""
        ...

    async def work(self, batch_id: str | None, jobs: int) -> None:
        """Drive up to `jobs` runs at once until none can be claimed and none is under way."""
        ...

    async def lapse(self) -> None:
        """Take the next step of what nobody has approved within its time; those runs that are refused go on."""
        ...

    async def serve(self, queues: Queues, jobs: int, stop: anyio.Event, fits: Fits | None = None) -> None:
        """Drive up to `jobs` runs of `queues` as they come; once `stop` is set, those under way to their ends.

        What is not among those that `fits` gives back is left for others.
        """
        ...

    async def drive(self, run_id: str) -> RunState:
        """Drive one queued run here until it ends or waits. Raises Refused when it cannot be claimed."""
        ...

    def hold(self, stream_id: str) -> AbstractAsyncContextManager[Claim]:
        """Keep a batch, a session or a loop for this process while the block runs. Refused when another one has it."""
        ...

    async def poke(self, run_id: str) -> None:
        """Somebody recorded a fact of the run: tell the driver, if it is here."""
        ...

    async def cancel(self, run_id: str) -> None:
        """A cancellation is on record: tell the driver; a run nobody drives is brought to its end."""
        ...

    async def wake(self, run_id: str) -> None:
        """A waiting run is queued again: begin it as soon as a slot is free."""
        ...
