"""Waits for what other processes announce: at once on PostgreSQL, with patience alone on SQLite."""

import asyncio
from collections.abc import Callable

import anyio
import anyio.to_thread

from acp_agent.store.database import Database


class News:
    """Counts what was announced. Listens from the first `wait` on; `close` it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._more = anyio.Event()
        self._count = 0
        self._end: Callable[[], None] | None = None
        self._listens = False

    async def wait(self, seconds: float, seen: int) -> int:
        """Return once more was announced than `seen`, at the latest after `seconds`; returns how much was."""
        if not self._listens:
            self._listens = True
            self._end = self._database.listen(self._heard_on(asyncio.get_running_loop()))
        with anyio.move_on_after(seconds):
            while self._count == seen:
                await self._more.wait()
        return self._count

    async def close(self) -> None:
        """Stop listening."""
        if self._end is not None:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._end)

    def _heard_on(self, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
        def count() -> None:
            self._count += 1
            self._more.set()
            self._more = anyio.Event()

        def heard() -> None:
            try:
                loop.call_soon_threadsafe(count)
            except RuntimeError:
                # The loop is closed, and nobody waits any more.
                if not loop.is_closed():
                    raise

        return heard
