"""A real server on loopback, and a proxy in front of it."""

import contextlib
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from acp_agent.domain.egress import AllowList
from acp_agent.tools.egress.network import Network
from acp_agent.tools.egress.proxy import Limits, Proxy, open_proxy

CERTIFICATES = Path(__file__).parents[2] / "data" / "tls"


@dataclass
class Site:
    """A server on loopback. `heads` are the requests it saw, as it saw them; `pages` what it answers by path."""

    port: int = 0
    heads: list[str] = field(default_factory=list)
    pages: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)


@pytest.fixture
def site() -> Iterator[Site]:
    """A web server at 127.0.0.1 on a free port."""
    with serving() as found:
        yield found


@pytest.fixture
def secure_site() -> Iterator[Site]:
    """The same over TLS, with a certificate for `index.test` alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "index.test.pem")
    with serving(context) as found:
        yield found


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Site]:
    """A server until the block ends."""
    found = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found.heads.append(f"{self.requestline}\n{self.headers}")
            status, headers, body = found.pages.get(self.path, (200, {}, b"hello from the site\n"))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                # Who has read enough hangs up.
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield found
    finally:
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
