"""The protocol over a WebSocket: each text frame is a message. The connection ends with the socket."""

from collections.abc import Sequence

import anyio

from acp_agent.surfaces.acp.asgi import Message, Receive, Refusal, Scope, Send, refuse
from acp_agent.surfaces.acp.framing import Oversized
from acp_agent.surfaces.acp.guests import Guests

PATIENCE = 30.0
"""Seconds for the first message."""
_GOING_AWAY = 1001


class SocketTransport:
    """One WebSocket."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._patience: float | None = PATIENCE
        self.is_gone = False

    async def receive(self) -> list[bytes | Oversized]:
        """The next message; an empty list is the end. Binary frames are ignored, as the proposal wants it."""
        while not self.is_gone:
            message = await self._next()
            if message["type"] == "websocket.disconnect":
                self.is_gone = True
            elif text := message.get("text"):
                self._patience = None
                return [text.encode()]
        return []

    async def send(self, messages: Sequence[bytes]) -> None:
        """Send each as a frame; ends with OSError once the client is gone."""
        for message in messages:
            await self._send({"type": "websocket.send", "text": message.decode()})

    async def close(self) -> None:
        """Say goodbye to a client that is still there."""
        if not self.is_gone:
            await self._send({"type": "websocket.close", "code": _GOING_AWAY})

    async def _next(self) -> Message:
        if self._patience is None:
            return await self._receive()
        with anyio.move_on_after(self._patience):
            return await self._receive()
        # Nothing was said: as if it had left.
        return {"type": "websocket.disconnect"}


class SocketProfile:
    """An upgrade of `GET /acp`."""

    def __init__(self, guests: Guests) -> None:
        self._guests = guests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One WebSocket; its `state` names the `caller`."""
        transport = SocketTransport(receive, send)
        guest = self._guests.admit(scope["state"]["caller"], transport)
        if guest is None:
            await refuse(_as_response(send), Refusal(503, "there are too many connections; try again later"))
            return
        await receive()
        try:
            await send({"type": "websocket.accept", "headers": [(b"acp-connection-id", guest.id.encode())]})
        except OSError:
            transport.is_gone = True
        await self._guests.host(guest)
        try:
            await transport.close()
        except OSError:
            # It left just now.
            transport.is_gone = True


def _as_response(send: Send) -> Send:
    """Lets an answer of HTTP refuse an upgrade."""

    async def sent(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return sent
