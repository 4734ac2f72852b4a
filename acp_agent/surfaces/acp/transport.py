"""What a connection needs of whatever carries its messages: descriptors, event streams over HTTP, WebSockets."""

from collections.abc import Sequence
from typing import Protocol

from acp_agent.surfaces.acp.framing import Oversized


class Transport(Protocol):
    """Carries whole messages, each the UTF-8 bytes of one JSON value without a newline."""

    async def receive(self) -> list[bytes | Oversized]:
        """The next messages, at least one; an empty list is the end. Waits for them."""
        ...

    async def send(self, messages: Sequence[bytes]) -> None:
        """Hand over `messages` in order. Returns without waiting while the reader keeps up, OSError if it is gone."""
        ...
