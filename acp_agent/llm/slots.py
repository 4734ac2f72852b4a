"""How many calls a provider takes at once: whoever has a person waiting comes first, and finds a slot kept free."""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from acp_agent.domain.permits import share_of
from acp_agent.domain.ports import URGENCIES, Urgency
from acp_agent.domain.progress import moved

TURN = 1.0
"""Seconds between two signs that a call waits for its turn."""


class Slots:
    """So many slots of one provider, for one event loop. Loops leave some to batches, and these some to people."""

    def __init__(self, total: int) -> None:
        self._used = 0
        self._most = {urgency: share_of(total, rank) for rank, urgency in enumerate(URGENCIES)}
        self._waiting: dict[Urgency, deque[anyio.Event]] = {urgency: deque() for urgency in URGENCIES}

    @asynccontextmanager
    async def one(self, urgency: Urgency) -> AsyncIterator[None]:
        """A slot while the block runs; those of one urgency come in the order they asked."""
        if self._is_full(urgency) or self._waiting[urgency]:
            await self._turn(urgency)
        else:
            self._used += 1
        try:
            yield
        finally:
            self._used -= 1
            self._hand_on()

    def _is_full(self, urgency: Urgency) -> bool:
        return self._used >= self._most[urgency]

    async def _turn(self, urgency: Urgency) -> None:
        mine = anyio.Event()
        self._waiting[urgency].append(mine)
        try:
            while not mine.is_set():
                with anyio.move_on_after(TURN):
                    await mine.wait()
                # A model that was not asked yet has not stalled.
                moved()
        except BaseException:
            if mine.is_set():
                # It was ours already: the next one has it.
                self._used -= 1
                self._hand_on()
            else:
                self._waiting[urgency].remove(mine)
            raise

    def _hand_on(self) -> None:
        for urgency, waiting in self._waiting.items():
            while waiting and not self._is_full(urgency):
                self._used += 1
                waiting.popleft().set()
