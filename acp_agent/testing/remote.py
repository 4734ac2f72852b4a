"""A real server process, and editors that reach it over HTTP, WebSocket or a socket file, by the SDK's own transports.

    async with serving(environment, folder) as server, server.editor("websocket", Consent("once")) as editor:
        await editor.initialize()
        ...

The editor is the one of `testing.editor`: what comes and goes is on record line by line there too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

import httpx
from acp.http import create_http_stream
from acp.ws import create_websocket_stream
from websockets.exceptions import WebSocketException

from acp_agent.testing.agent_process import AgentProcess
from acp_agent.testing.consent import Consent
from acp_agent.testing.editor import Editor
from acp_agent.testing.editor_hands import EditorHands
from acp_agent.testing.tap import LONGEST_LINE

Way = Literal["http", "websocket", "unix"]
_READY = "/metrics\n"
"""The end of what the server says once it serves."""


class Carrier(Protocol):
    """The SDK's transport: whole messages in both directions."""

    async def send(self, message: dict[str, Any]) -> None:
        """Hand over a message."""

    async def receive(self) -> dict[str, Any] | None:
        """The next message, None at the end."""

    async def close(self) -> None:
        """End it."""


class ServerProcess:
    """A running `acp serve --http --unix`. `address` is HOST:PORT, `unix` the socket file."""

    def __init__(self, process: AgentProcess, address: str, unix: Path, token: str) -> None:
        self.process = process
        self.address = address
        self.unix = unix
        self.token = token

    @property
    def url(self) -> str:
        """Where the protocol is spoken."""
        return f"http://{self.address}/acp"

    @property
    def headers(self) -> dict[str, str]:
        """What opens the server."""
        return {"Authorization": f"Bearer {self.token}"}

    def client(self, *, unix: bool = False, timeout: float = 60.0) -> httpx.AsyncClient:
        """A plain client of HTTP, with the token."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.unix)) if unix else httpx.AsyncHTTPTransport()
        base = "http://localhost" if unix else f"http://{self.address}"
        # A stream is quiet for as long as the agent has nothing to say.
        patience = httpx.Timeout(timeout, read=None)
        return httpx.AsyncClient(transport=transport, base_url=base, headers=self.headers, timeout=patience)

    @asynccontextmanager
    async def editor(
        self, way: Way, consent: Consent | None = None, hands: EditorHands | None = None, address: str | None = None
    ) -> AsyncIterator[Editor]:
        """An editor that came by `way`, or through a proxy at `address`; leaving it ends the connection."""
        host = address or self.address
        client = self.client(unix=way == "unix") if way != "websocket" else None
        try:
            if client is None:
                carrier: Carrier = await create_websocket_stream(f"ws://{host}/acp", headers=self.headers)
            else:
                url = "http://localhost/acp" if way == "unix" else f"http://{host}/acp"
                carrier = create_http_stream(url, client=client)
            async with _carried(carrier, consent, hands) as editor:
                yield editor
        finally:
            if client is not None:
                await client.aclose()

    async def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.process.signal(signal.SIGTERM)
        return await self.process.exited()


@asynccontextmanager
async def serving(
    environment: Mapping[str, str], folder: Path, *more: str, command: Sequence[str] = ()
) -> AsyncIterator[ServerProcess]:
    """A server with exactly `environment`, whose socket file is in `folder`. Nothing of it outlives the block."""
    unix = folder / "acp.sock"
    program = command or (sys.executable, "-m", "acp_agent.main", "serve")
    process = await AgentProcess.start(
        [*program, "--http", "127.0.0.1:0", "--unix", str(unix), *more], environment, folder
    )
    try:
        # Two places are told of, each with an example.
        await process.said(f"http://localhost{_READY}")
        address = process.errors.partition("acp serve: http://")[2].partition("/acp")[0]
        token = environment.get("ACP_TOKEN") or (Path(environment["ACP_HOME"]) / "token").read_text().strip()
        yield ServerProcess(process, address, unix, token)
        process.signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await process.exited(5.0)
    finally:
        await process.close(0.0)


@asynccontextmanager
async def _carried(carrier: Carrier, consent: Consent | None, hands: EditorHands | None) -> AsyncIterator[Editor]:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours, limit=LONGEST_LINE)
    near = await asyncio.open_connection(sock=theirs, limit=LONGEST_LINE)
    editor = Editor(reader, writer, consent, None, hands)
    pumps = [asyncio.create_task(_outward(near, carrier)), asyncio.create_task(_inward(near, carrier))]
    try:
        yield editor
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        # Of a connection that was cut there is nothing left to close.
        with contextlib.suppress(OSError, RuntimeError, httpx.HTTPError, WebSocketException):
            await carrier.close()
        near[1].close()
        await editor.aclose()


async def _outward(near: tuple[asyncio.StreamReader, asyncio.StreamWriter], carrier: Carrier) -> None:
    reader, writer = near
    try:
        while line := await reader.readline():
            await carrier.send(json.loads(line))
    finally:
        # Whoever waits for an answer learns that none will come.
        writer.close()


async def _inward(near: tuple[asyncio.StreamReader, asyncio.StreamWriter], carrier: Carrier) -> None:
    writer = near[1]
    try:
        while (message := await carrier.receive()) is not None:
            writer.write(json.dumps(message).encode() + b"\n")
            await writer.drain()
    finally:
        writer.close()
