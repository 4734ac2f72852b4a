"""A real server on loopback, and a proxy in front of it."""

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from acp_agent.domain.egress import AllowList
from acp_agent.tools.egress.network import Network
from acp_agent.tools.egress.proxy import Limits, Proxy, open_proxy

Ask = Callable[[bytes], Awaitable[bytes]]


@dataclass
class Site:
    """A server that answers with what it was asked. `heads` are the requests it saw, as it saw them."""

    port: int = 0
    heads: list[str] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    """A web server at 127.0.0.1 on a free port."""
    found = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found.heads.append(f"{self.requestline}\n{self.headers}")
            body = b"hello from the site\n"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


async def exchange(proxy: Proxy, sent: bytes) -> bytes:
    """All that the proxy answers to `sent`, until it closes."""
    async with await anyio.connect_unix(proxy.socket) as stream:
        await stream.send(sent)
        received = b""
        try:
            async for data in stream:
                received += data
        except anyio.BrokenResourceError:
            # It closed while we still had something to say.
            return received
        return received


@pytest.fixture
async def opened() -> AsyncIterator[Callable[..., Awaitable[Proxy]]]:
    """Open a proxy: `await opened(["index.test"], private=[...], addresses={...})`."""
    async with AsyncExitStack() as stack:

        async def open_one(
            allowed: list[str],
            private: tuple[str, ...] = (),
            addresses: Callable[[str], list[str]] | None = None,
            limits: Limits | None = None,
        ) -> Proxy:
            async def resolve(host: str, port: int) -> list[str]:
                return addresses(host) if addresses else ["127.0.0.1"]

            network = Network(private=AllowList.of(private), resolve=resolve)
            return await stack.enter_async_context(open_proxy(network, AllowList.of(allowed), limits))

        yield open_one


async def read_head(stream: anyio.abc.SocketStream) -> bytes:
    """The head of an answer."""
    return await BufferedByteReceiveStream(stream).receive_until(b"\r\n\r\n", 65_536)
