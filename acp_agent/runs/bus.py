"""The in-process bus: facts are delivered to every subscriber, words may be lost to a slow one."""

from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

import anyio

from acp_agent.domain.events import Event
from acp_agent.domain.message import Word

MOST_WORDS = 1000


class Subscription:
    """What one subscriber has not read yet: every fact, and at most the last thousand words."""

    def __init__(self) -> None:
        self._items: deque[Event | Word] = deque()
        self._words = 0
        self._more = anyio.Event()
        self._closed = False

    def close(self) -> None:
        """Nothing more will come: reading ends after what is unread."""
        self._closed = True
        self._more.set()

    def put(self, item: Event | Word) -> None:
        """Hand over one item; never waits. With too many words unread, a new one is dropped."""
        if isinstance(item, Word):
            if self._words >= MOST_WORDS:
                return
            self._words += 1
        self._items.append(item)
        self._more.set()

    async def __aiter__(self) -> AsyncGenerator[Event | Word, None]:
        """Items as they come, until `close`. One that was cancelled is over; the next goes on behind it."""
        while True:
            while self._items:
                item = self._items.popleft()
                if isinstance(item, Word):
                    self._words -= 1
                yield item
            if self._closed:
                return
            self._more = anyio.Event()
            await self._more.wait()


class Bus:
    """Subscriptions by stream; the stream `*` gets the items of all."""

    def __init__(self) -> None:
        self._subscriptions: dict[str, list[Subscription]] = {}

    @contextmanager
    def subscribe(self, stream_id: str) -> Iterator[Subscription]:
        """Everything published about `stream_id` from now on."""
        subscription = Subscription()
        self._subscriptions.setdefault(stream_id, []).append(subscription)
        try:
            yield subscription
        finally:
            kept = self._subscriptions[stream_id]
            kept.remove(subscription)
            if not kept:
                del self._subscriptions[stream_id]

    def publish(self, stream_id: str, item: Event | Word) -> None:
        """Hand `item` to the subscribers of its stream and to those of `*`."""
        for name in (stream_id, "*"):
            for subscription in self._subscriptions.get(name, ()):
                subscription.put(item)
