"""The server behind `acp serve --http` and `--unix`."""

import contextlib
import logging
import os
import shlex
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import anyio
import uvicorn

from acp_agent.app import App
from acp_agent.config.listening import Listening, bound
from acp_agent.config.tokens import VARIABLE, Scope, Tokens, own_token
from acp_agent.surfaces.rest.asgi import Receive, Send
from acp_agent.surfaces.rest.asgi import Scope as Request
from acp_agent.surfaces.rest.doors import Doors, at_the_doors
from acp_agent.surfaces.rest.guard import MOST_BODY, Guard, Route
from acp_agent.surfaces.rest.site import Site
from acp_agent.surfaces.rest.sockets import SocketProtocol

_HEADERS_MOST = 32 * 1024
_IDLE = 30
"""Seconds that a connection is kept between two requests."""
_PING = 20.0
_PONG = 90.0
"""Seconds between pings of a WebSocket, and for its answer, which waits behind what a slow reader has not read yet."""


class Endpoint(Protocol):
    """What speaks the protocol at `/acp`; its length is the number of connections."""

    def __len__(self) -> int:
        """Connections that are open."""
        ...

    async def __call__(self, scope: Request, receive: Receive, send: Send) -> None:
        """One request or WebSocket."""
        ...


@dataclass(frozen=True, slots=True)
class Server:
    """Sockets that listen, and the token of this machine. `token_file` is None where `ACP_TOKEN` gives it."""

    listening: Listening
    sockets: list[socket.socket]
    token: str
    token_file: Path | None

    @classmethod
    def at(cls, listening: Listening) -> Self:
        """Listen, and make the token where there is none. Raises UsageError. Call it while there is one thread."""
        token, file = own_token(os.environ)
        # Whatever is started from here (git and its filters too) has no use for it.
        os.environ.pop(VARIABLE, None)
        return cls(listening, bound(listening), token, file)

    async def host(self, app: App, endpoint: Endpoint, stopped: anyio.Event) -> None:
        """Serve until `stopped`; says on stderr where, once it does."""
        app.redact.learn([self.token])
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        site = Site(app, endpoint, stopped)
        routes = {
            "/acp": Route(endpoint, (Scope.RUN, Scope.APPROVE), upgrades=True),
            "/metrics": Route(site.metrics, (Scope.READ,)),
            "/healthz": Route(site.health, None),
            "/readyz": Route(site.ready, None),
        }
        guard = Guard(self.listening, Tokens(app.environ, self.token), routes)
        async with anyio.create_task_group() as group:
            group.start_soon(self._take_file_away, stopped)
            await serve(guard, self.sockets, stopped, self._announce)
            group.cancel_scope.cancel()

    async def _take_file_away(self, stopped: anyio.Event) -> None:
        """While we listen still: from the moment that we do not, another server may put a file of its own there."""
        try:
            await stopped.wait()
        finally:
            if self.listening.unix is not None:
                self.listening.unix.unlink(missing_ok=True)

    def _announce(self) -> None:
        token = "$" + VARIABLE if self.token_file is None else f"$(cat {shlex.quote(str(self.token_file))})"
        where = VARIABLE if self.token_file is None else str(self.token_file)
        for listens in self.sockets:
            address = listens.getsockname()
            if listens.family == socket.AF_UNIX:
                base, place, option = "http://localhost", f"{address} (/acp)", f"--unix-socket {shlex.quote(address)} "
            else:
                host = f"[{address[0]}]" if listens.family == socket.AF_INET6 else address[0]
                base = f"http://{host}:{address[1]}"
                place, option = f"{base}/acp", ""
            # One write each: whoever waits for the line gets all of it.
            sys.stderr.write(
                f"acp serve: {place}; the token is in {where}\n"
                f'  curl -s {option}-H "Authorization: Bearer {token}" {base}/metrics\n'
            )
        sys.stderr.flush()


async def serve(guard: Guard, sockets: list[socket.socket], stopped: anyio.Event, started: Callable[[], None]) -> None:
    """Answer at `sockets` until `stopped`, and close them; calls `started` once it does."""
    server = _Uvicorn(_config(guard), started)
    async with anyio.create_task_group() as group:
        group.start_soon(_exit_once, stopped, server)
        await server.serve(sockets)
        group.cancel_scope.cancel()


def _config(guard: Guard) -> uvicorn.Config:
    return uvicorn.Config(
        guard,
        http=at_the_doors(Doors()),
        ws=SocketProtocol,
        ws_max_size=MOST_BODY,
        ws_ping_interval=_PING,
        ws_ping_timeout=_PONG,
        ws_per_message_deflate=False,
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=_HEADERS_MOST,
    )


class _Uvicorn(uvicorn.Server):
    """Leaves signals to us and says when it serves."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = started

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None: how the process ends is decided elsewhere."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        self._tell()


async def _exit_once(stopped: anyio.Event, server: uvicorn.Server) -> None:
    await stopped.wait()
    server.should_exit = True
