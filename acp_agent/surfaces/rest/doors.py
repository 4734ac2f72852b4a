"""Who is connected: deadlines for what is said too slowly, and room for those who have a token, whoever else comes.

The server we use has no deadline for headers, and no limit that tells those who stall from those who work, so its
protocol classes are extended, here and in `sockets`. A connection is a stranger's until a request on it has shown a
token. Of strangers there may be only so many: one too many ends the oldest, so that whoever has a token always gets in.
"""

import asyncio
import socket
from collections import Counter
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

MOST_STRANGERS = 128
MOST_STRANGERS_OF_PEER = 64
MOST_CALLERS = 384
MOST_CALLERS_OF_PEER = 256
HEADERS_WITHIN = 10.0
"""Seconds for the headers of a request, from the connection or from the first byte after the request before."""
_UNSENT_MOST = 90_000
"""Milliseconds that a peer may leave what was sent unconfirmed, or untaken: then it is gone (Linux)."""


class Visitor:
    """One connection. `peer` is its address, or what stands for all that come by the socket file."""

    def __init__(self, doors: "Doors", peer: str, transport: asyncio.Transport) -> None:
        self._doors = doors
        self.peer = peer
        self.transport = transport

    def show_token(self) -> bool:
        """It has a token; False where those who have are too many."""
        return self._doors.let_in(self)

    def leave(self) -> None:
        """It is gone."""
        self._doors.forget(self)


class Doors:
    """The connections of a server."""

    def __init__(self) -> None:
        # Both in the order of coming; dictionaries, since sets have none.
        self._strangers: dict[Visitor, None] = {}
        self._callers: dict[Visitor, None] = {}
        self._strangers_of: Counter[str] = Counter()
        self._callers_of: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._strangers) + len(self._callers)

    def enter(self, transport: asyncio.Transport) -> Visitor:
        """Somebody connects, as a stranger; if need be the oldest stranger has to go for it."""
        address = transport.get_extra_info("peername")
        peer = str(address[0]) if isinstance(address, tuple) else "unix"
        if self._strangers_of[peer] >= MOST_STRANGERS_OF_PEER:
            self._end_oldest(peer)
        elif len(self._strangers) >= MOST_STRANGERS:
            self._end_oldest(None)
        visitor = Visitor(self, peer, transport)
        self._strangers[visitor] = None
        self._strangers_of[peer] += 1
        return visitor

    def let_in(self, visitor: Visitor) -> bool:
        """A stranger has shown a token."""
        if visitor not in self._strangers:
            return visitor in self._callers
        if len(self._callers) >= MOST_CALLERS or self._callers_of[visitor.peer] >= MOST_CALLERS_OF_PEER:
            return False
        self.forget(visitor)
        self._callers[visitor] = None
        self._callers_of[visitor.peer] += 1
        return True

    def forget(self, visitor: Visitor) -> None:
        """It is gone."""
        for kind, counts in ((self._strangers, self._strangers_of), (self._callers, self._callers_of)):
            if visitor in kind:
                del kind[visitor]
                counts[visitor.peer] -= 1
                if not counts[visitor.peer]:
                    del counts[visitor.peer]

    def _end_oldest(self, peer: str | None) -> None:
        oldest = next(one for one in self._strangers if peer is None or one.peer == peer)
        self.forget(oldest)
        oldest.transport.abort()


class DoorProtocol(H11Protocol):
    """HTTP with a deadline for headers. Every request's `state` has its `visitor`."""

    doors: Doors

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody connects."""
        super().connection_made(transport)
        _notice_silence(transport)
        self._visitor = self.doors.enter(transport)
        self.app_state: dict[str, Any] = {**self.app_state, "visitor": self._visitor}
        self._deadline: asyncio.TimerHandle | None = None
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._expect_nothing()
        self._visitor.leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Something of a request came."""
        if self._is_idle and self._deadline is None:
            self._expect_headers()
        super().data_received(data)
        if not self._is_idle or self.transport.get_protocol() is not self:
            self._expect_nothing()

    @property
    def _is_idle(self) -> bool:
        """Whether no request is under way."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _expect_headers(self) -> None:
        self._deadline = self.loop.call_later(HEADERS_WITHIN, self.transport.abort)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def at_the_doors(doors: Doors) -> type[DoorProtocol]:
    """The protocol of a server whose connections `doors` knows."""
    return type("DoorProtocol", (DoorProtocol,), {"doors": doors})


def _notice_silence(transport: asyncio.Transport) -> None:
    """Let the kernel give up a peer that is cut off, or that takes nothing, instead of waiting for a quarter hour."""
    made = transport.get_extra_info("socket")
    if made.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNSENT_MOST)
