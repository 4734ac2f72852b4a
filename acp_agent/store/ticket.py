"""Calls from event loops to a database thread, and the way back of their outcomes."""

import asyncio
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import anyio


@dataclass(frozen=True, eq=False)
class Ticket:
    """One caller that waits on its own event loop. Make it on that loop."""

    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    future: "asyncio.Future[Any]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    async def outcome(self) -> Any:
        """What the thread answered. Cancellation waits for it: whoever has begun a write learns whether it stands."""
        try:
            # A shielded scope for each call would cost more than all else here.
            return await asyncio.shield(self.future)
        except asyncio.CancelledError:
            if self.future.cancelled() or anyio.current_effective_deadline() > -math.inf:
                # Not a scope's: the loop ends.
                raise
        with anyio.CancelScope(shield=True):
            return await self.future


def deliver(outcomes: Iterable[tuple[Ticket, Any]]) -> None:
    """Wake the callers, each loop once; an outcome that is an exception is raised there. Called on the thread."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Ticket, Any]]] = {}
    for ticket, outcome in outcomes:
        by_loop.setdefault(ticket.loop, []).append((ticket, outcome))
    for loop, answered in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, answered)
        except RuntimeError:
            # The loop is closed, its callers are gone with it.
            if not loop.is_closed():
                raise


def _settle(answered: list[tuple[Ticket, Any]]) -> None:
    for ticket, outcome in answered:
        if ticket.future.done():
            continue
        if isinstance(outcome, BaseException):
            ticket.future.set_exception(outcome)
        else:
            ticket.future.set_result(outcome)
