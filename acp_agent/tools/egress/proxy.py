"""The proxy of one command: an HTTP proxy on a unix socket in a private directory, open to the allowed hosts alone."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import ByteReceiveStream, ByteSendStream, ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

from acp_agent.domain.egress import AllowList
from acp_agent.domain.errors import ToolError
from acp_agent.tools.egress.network import Network, Record
from acp_agent.tools.egress.request import Asked, read_request

CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one proxy: bytes of a request's head, seconds for it, seconds of silence, connections at once."""

    head: int = 16_384
    head_time: float = 10.0
    idle: float = 300.0
    connections: int = 64


@dataclass(frozen=True, slots=True)
class Proxy:
    """An open proxy: its socket, alone in a directory that only this user can enter, and what it was asked for."""

    socket: Path
    record: Record


@asynccontextmanager
async def open_proxy(network: Network, allowed: AllowList, limits: Limits | None = None) -> AsyncIterator[Proxy]:
    """A proxy to the hosts of `allowed` until the block ends; then its connections are cut, its directory gone."""
    folder = await anyio.to_thread.run_sync(_private_folder)
    try:
        path = folder / "proxy"
        proxy = Proxy(path, Record())
        server = _Server(network, allowed, proxy.record, limits or Limits())
        failure: Exception | None = None
        async with await anyio.create_unix_listener(path) as listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, server.serve)
            try:
                yield proxy
            except Exception as error:
                # What the block raises is its caller's: a task group would wrap it.
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(shutil.rmtree, folder)


def _private_folder() -> Path:
    # Short: a socket's path has at most 107 bytes.
    return Path(tempfile.mkdtemp(prefix="acp-egress-"))


class _Server:
    def __init__(self, network: Network, allowed: AllowList, record: Record, limits: Limits) -> None:
        self.network = network
        self.allowed = allowed
        self.record = record
        self.limits = limits
        self.open = 0

    async def serve(self, client: ByteStream) -> None:
        """One connection of a client. What a client or a host does wrong ends it and nothing else."""
        self.open += 1
        try:
            async with client:
                await self._serve(client)
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
            return
        finally:
            self.open -= 1

    async def _serve(self, client: ByteStream) -> None:
        if self.open > self.limits.connections:
            await _answer(client, 503, "too many connections at once")
            return
        source = BufferedByteReceiveStream(client)
        try:
            with anyio.fail_after(self.limits.head_time):
                head = await source.receive_until(b"\r\n\r\n", self.limits.head)
            asked = read_request(head + b"\r\n\r\n")
        except anyio.IncompleteRead:
            return
        except anyio.DelimiterNotFound:
            await _answer(client, 431, f"a request's head has at most {self.limits.head} bytes")
        except TimeoutError:
            await _answer(client, 408, f"a request's head takes at most {self.limits.head_time:g} seconds")
        except ValueError as error:
            self.record.refused(f"a request that could not be read ({error})")
            await _answer(client, 400, str(error))
        else:
            await self._pass(asked, client, source)

    async def _pass(self, asked: Asked, client: ByteStream, source: ByteReceiveStream) -> None:
        try:
            host = await self.network.connect(asked.endpoint, self.allowed, self.record)
        except ToolError as error:
            await _answer(client, 403 if error.kind == "egress_refused" else 502, error.message)
            return
        async with host:
            if asked.head:
                await host.send(asked.head)
            else:
                await client.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await self._relay(source, host, client)

    async def _relay(self, source: ByteReceiveStream, host: ByteStream, client: ByteStream) -> None:
        """Both ways until the host is done or nothing has come for too long."""
        with anyio.CancelScope(deadline=anyio.current_time() + self.limits.idle) as quiet:

            async def pump(source: ByteReceiveStream, sink: ByteSendStream) -> None:
                async for data in source:
                    await sink.send(data)
                    quiet.deadline = anyio.current_time() + self.limits.idle

            async def upward() -> None:
                await pump(source, host)
                await host.send_eof()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(upward)
                await pump(host, client)
                await client.send_eof()
                tasks.cancel_scope.cancel()


async def _answer(client: ByteStream, status: int, why: str) -> None:
    """An answer of the proxy itself, which says why in its body."""
    body = f"acp: {why}\n".encode()
    head = (
        f"HTTP/1.1 {status} Refused\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    )
    await client.send(head.encode() + b"\r\n" + body)
