"""The transport over HTTP: what is posted comes in one by one, what is said goes out by several event streams."""

from collections import deque
from collections.abc import Sequence

import anyio

from acp_agent.surfaces.acp.framing import Oversized
from acp_agent.surfaces.acp.routes import Route, Routes, session_of
from acp_agent.surfaces.acp.rpc import Notification, Request, Response

_MOST_WAITING = 4 * 1024 * 1024
"""Bytes that wait in all streams of a connection, from which on no more is taken; then updates are merged before it."""
_MOST_POSTED = 32 * 1024 * 1024
_BATCH = 64 * 1024


class Stream:
    """Messages in order for one reader at a time; they wait while there is none. The newest reader takes over."""

    def __init__(self) -> None:
        self.weight = 0
        self.opened = anyio.Event()
        self.is_read = False
        self._waiting: deque[bytes] = deque()
        self._changed = anyio.Event()
        self._reader = 0
        self._ended = False

    def put(self, message: bytes) -> None:
        """A message more."""
        self._waiting.append(message)
        self.weight += len(message)
        self._wake()

    def end(self) -> None:
        """Nothing comes any more."""
        self._ended = True
        self._wake()

    def open(self) -> int:
        """A reader begins; the one before it is given nothing more. Returns its number."""
        self._reader += 1
        self.is_read = True
        self.opened.set()
        self._wake()
        return self._reader

    def leave(self, reader: int) -> bool:
        """A reader is gone; whether it was the one that counts."""
        if reader != self._reader or not self.is_read:
            return False
        self.is_read = False
        return True

    async def batch(self, reader: int) -> list[bytes]:
        """What comes next, at least one message; an empty list is the end, or another reader has come."""
        while reader == self._reader:
            if self._waiting:
                return self._taken()
            if self._ended:
                break
            await self._changed.wait()
        return []

    async def change(self) -> None:
        """Wait for something to come, or to be taken."""
        await self._changed.wait()

    def _taken(self) -> list[bytes]:
        taken, size = [], 0
        while self._waiting and size < _BATCH:
            message = self._waiting.popleft()
            taken.append(message)
            size += len(message)
        self.weight -= size
        self._wake()
        return taken

    def _wake(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


class StreamTransport:
    """One connection. `stream` is its own; a session's is made when the session is, or when it is opened to be read."""

    def __init__(self) -> None:
        self.stream = Stream()
        self.routes = Routes()
        self._sessions: dict[str, Stream] = {}
        self._posted: list[bytes | Oversized] = []
        self._weight = 0
        self._more = anyio.Event()
        self._ended = False
        self._first: bytes | None = None
        self._answered = anyio.Event()

    @property
    def is_full(self) -> bool:
        """Whether more was posted than is read."""
        return self._weight >= _MOST_POSTED

    def post(self, line: bytes, message: Request | Notification | Response) -> None:
        """What a client posted: `line`, which is `message`."""
        session_id = None if isinstance(message, Response) else session_of(message)
        stream = self._sessions.get(session_id) if session_id is not None else None
        self.routes.heard(message, stream is not None and stream.is_read)
        self._posted.append(line)
        self._weight += len(line)
        self._more.set()

    def finish(self) -> None:
        """The client is gone."""
        self._ended = True
        self._more.set()

    def end(self) -> None:
        """The connection is over: every stream ends with what waits in it."""
        self.finish()
        self._answered.set()
        for stream in (self.stream, *self._sessions.values()):
            stream.end()

    async def first_answer(self) -> bytes | None:
        """The first message said, which is the answer to `initialize`; None where the connection ended before."""
        await self._answered.wait()
        return self._first

    def knows(self, session_id: str) -> bool:
        """Whether the connection has opened that session, or reads of it."""
        return session_id in self.routes.known or session_id in self._sessions

    def session(self, session_id: str) -> Stream:
        """The stream of a session, from now on."""
        if session_id not in self._sessions:
            stream = self._sessions[session_id] = Stream()
            if self._ended:
                stream.end()
        return self._sessions[session_id]

    async def receive(self) -> list[bytes | Oversized]:
        """What was posted since; an empty list is the end."""
        while not self._posted and not self._ended:
            self._more = anyio.Event()
            await self._more.wait()
        posted, self._posted, self._weight = self._posted, [], 0
        return posted

    async def send(self, messages: Sequence[bytes]) -> None:
        """Put each message where it belongs."""
        for message in messages:
            route = self.routes.of(message)
            if not self._answered.is_set():
                self._first = message
                self._answered.set()
                continue
            await self._put(route, message)

    async def _put(self, route: Route, message: bytes) -> None:
        if route.makes is not None:
            self._sessions.setdefault(route.makes, Stream())
        stream = self.stream if route.session_id is None else self._sessions.get(route.session_id, self.stream)
        while self._waiting_in_all() >= _MOST_WAITING and not self._ended:
            await self._some_change()
        stream.put(message)

    def _waiting_in_all(self) -> int:
        return self.stream.weight + sum(stream.weight for stream in self._sessions.values())

    async def _some_change(self) -> None:
        async with anyio.create_task_group() as group:

            async def end_after(stream: Stream) -> None:
                await stream.change()
                group.cancel_scope.cancel()

            for stream in (self.stream, *self._sessions.values()):
                group.start_soon(end_after, stream)
