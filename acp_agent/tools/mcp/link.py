"""The connection to one server: opened in a task of its own, opened again when it is needed, told in one word."""

import importlib
import math
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import anyio
import anyio.to_thread

from acp_agent.domain.egress import AllowList
from acp_agent.domain.errors import ToolError
from acp_agent.domain.servers import ToolServer
from acp_agent.domain.tool import NetworkUse
from acp_agent.tools.breaker import Breaker
from acp_agent.tools.egress.network import Network, Record
from acp_agent.tools.egress.outlet import Outlet
from acp_agent.tools.mcp.definition import Definition
from acp_agent.tools.mcp.signed_in import is_signed_in
from acp_agent.tools.mcp.stdio import Pipes
from acp_agent.tools.sandbox.model import Sandbox, exposes_home
from acp_agent.tools.sandbox.probe import level_for
from acp_agent.tools.sandbox.start import confined_argv

if TYPE_CHECKING:
    from acp_agent.tools.mcp.client import HttpEndpoint, Session

START_TIME = 60.0
"""Seconds a server has for its handshake and its list of tools."""
HUNG = 2
"""Calls in a row without an answer, after which a server is started again."""
MINUTE = 60.0
Status = Literal["idle", "starting", "ready", "ending", "failed"]
"""`idle`: a call connects. `ending`: its process is on its way out. `failed`: it could not be connected to."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server runs: its workspace, how it is confined, our state directory, and its way to the hosts it may."""

    root: Path
    sandbox: Sandbox
    state: Path
    network: Network = field(default_factory=Network)


class Link:
    """One server, for one workspace where it is a command. `serve` runs for as long as the link may be used."""

    def __init__(self, server: ToolServer, place: Place, clock: Callable[[], float] = time.monotonic) -> None:
        self.server = server
        self.breaker = Breaker(clock)
        self.status: Status = "idle"
        self.problem = server.problem or ""
        self.definitions: tuple[Definition, ...] = ()
        self.capabilities: frozenset[str] = frozenset()
        self._place = place
        self._record = Record()
        self._clock = clock
        self._session: Session | None = None
        self._wanted = anyio.Event()
        self._settled = anyio.Event()
        self._stale = anyio.Event()
        self._scope: anyio.CancelScope | None = None
        self._begun: deque[float] = deque()
        self._unanswered = 0
        self._was_ready = False

    def want(self) -> None:
        """Begin to connect, unless it is connected; returns at once."""
        if self.status in ("idle", "failed") and not self.server.problem:
            self.status = "starting"
            self._settled = anyio.Event()
            self._wanted.set()

    async def settled(self) -> None:
        """Return when it is connected, or not on the way to be."""
        if self.status in ("starting", "ending"):
            await self._settled.wait()

    def drop(self) -> None:
        """End the connection, and with it the server's process; the next call opens a new one."""
        if self.status == "ready" and self._scope is not None:
            self.status, self._session, self._settled = "ending", None, anyio.Event()
            self._scope.cancel()

    async def serve(self) -> None:
        """Connect whenever that is wanted, until this task is cancelled. What goes wrong becomes `problem`."""
        while True:
            await self._wanted.wait()
            self._wanted = anyio.Event()
            self._was_ready = False
            try:
                with anyio.CancelScope() as self._scope:
                    await self._connected()
                self._over("")
            except Exception as error:
                self._over(_why(error))

    async def _connected(self) -> None:
        """One connection, from its handshake until it is lost or dropped."""
        client = await _client_module()
        async with self._endpoint() as endpoint:
            await self._held(client, endpoint)

    async def _held(self, client: Any, endpoint: "Pipes | HttpEndpoint") -> None:
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + START_TIME) as limit:
                async with self._opened(client, endpoint) as session:
                    self.capabilities = session.capabilities
                    self.definitions = tuple(await session.tools()) if "tools" in session.capabilities else ()
                    limit.deadline = math.inf
                    self._session, self._unanswered, self._was_ready = session, 0, True
                    self.problem, self.status = "", "ready"
                    self._settled.set()
                    await self._watch(session, endpoint)
            if limit.cancelled_caught:
                raise ToolError(f"it did not answer within {START_TIME:g} seconds", kind="timeout")
        finally:
            self._session = None
            self.problem = _last_words(endpoint, self.server.name) or self.problem

    def _opened(self, client: Any, endpoint: Any) -> "AbstractAsyncContextManager[Session]":
        def changed() -> None:
            self._stale.set()

        opened: AbstractAsyncContextManager[Session] = client.opened(endpoint, changed)
        return opened

    async def _watch(self, session: "Session", endpoint: "Pipes | HttpEndpoint") -> None:
        """List the tools again when they changed; return when a process has ended."""
        async with anyio.create_task_group() as tasks:

            async def listen() -> None:
                while True:
                    await self._stale.wait()
                    self._stale = anyio.Event()
                    with anyio.move_on_after(self.server.timeout):
                        self.definitions = tuple(await session.tools())

            tasks.start_soon(listen)
            if not isinstance(endpoint, Pipes):
                await anyio.sleep_forever()
            else:
                await endpoint.ended.wait()
                if self.status == "ready":
                    self.status, self._session, self._settled = "ending", None, anyio.Event()
                tasks.cancel_scope.cancel()
                raise ToolError(endpoint.problem or "its process ended", kind="crashed")

    def relist(self) -> None:
        """Look at its tools again: it may have changed them without a word."""
        self._stale.set()

    @asynccontextmanager
    async def _endpoint(self) -> "AsyncIterator[Pipes | HttpEndpoint]":
        """Where the server is; its way out is there for as long as the block."""
        server, place = self.server, self._place
        if server.command is None:
            client = await _client_module()
            auth = None
            if is_signed_in(place.state, server):
                auth = (await _imported("acp_agent.tools.mcp.oauth")).signing(server, place.state)
            yield client.HttpEndpoint(server.url, server.headers, server.timeout, auth)
            return
        level = await anyio.to_thread.run_sync(level_for, place.sandbox)
        if level is None or (level != "none" and exposes_home(place.root)):
            raise ToolError("it cannot be confined here", kind="no_sandbox")
        own = replace(
            place.sandbox,
            network=place.sandbox.network or server.network,
            environment={**place.sandbox.environment, **server.env},
        )
        outlet = Outlet(place.network, AllowList.of(server.egress))
        async with outlet.for_command(own, level) as (opened, self._record):
            prefix, environment = confined_argv(opened, level, place.root, place.root, os.environ)
            argv = [*prefix, server.command, *server.args]
            yield Pipes(argv, environment, place.root, swept=level != "bwrap")

    def reached(self) -> NetworkUse | None:
        """The hosts that its process has asked for since this was last asked."""
        return self._record.taken()

    def _over(self, why: str) -> None:
        """The connection is gone. One that once stood is opened again by the next call."""
        said = self.problem
        self.status = "idle" if self._was_ready else "failed"
        self.problem = f"{why}: {said}" if why and said and said not in why else why
        self._settled.set()

    async def ask(self, question: "Callable[[Session], Awaitable[T]]") -> T:
        """Put one question to the server, connecting first where that is needed.

        Raises ToolError of kind `unavailable` (no connection), `timeout`, `crashed`, `rate_limited` or the server's.
        """
        self._take_turn()
        session = await self._ready()
        try:
            with anyio.move_on_after(self.server.timeout):
                answer = await question(session)
                self._unanswered = 0
                return answer
        except ToolError as error:
            if error.kind == "crashed" and session is self._session:
                self.drop()
            raise
        self._unanswered += 1
        if self._unanswered >= HUNG:
            # It may never answer again, and what it does meanwhile nobody knows.
            self.drop()
        told = f"{self.server.name} did not answer within {self.server.timeout:g} seconds."
        raise ToolError(told, kind="timeout", retryable=True)

    async def _ready(self) -> "Session":
        with anyio.move_on_after(START_TIME):
            if self.status == "ending":
                await self.settled()
            self.want()
            await self.settled()
        if self._session is None:
            why = self.problem or "it does not answer"
            raise ToolError(f"The server {self.server.name} is not there: {why}.", kind="unavailable", retryable=True)
        return self._session

    def _take_turn(self) -> None:
        now = self._clock()
        while self._begun and self._begun[0] <= now - MINUTE:
            self._begun.popleft()
        if len(self._begun) >= self.server.rate:
            wait = self._begun[0] + MINUTE - now
            raise ToolError(
                f"The server {self.server.name} may be called {self.server.rate} times a minute, and it was.",
                kind="rate_limited",
                retryable=True,
                hint=f"Go on with something else; in {wait:.0f} seconds it may be called again.",
            )
        self._begun.append(now)


def _last_words(endpoint: "Pipes | HttpEndpoint", name: str) -> str:
    """What an ended connection leaves to say."""
    if isinstance(endpoint, Pipes):
        return (endpoint.problem or endpoint.last_words)[-300:]
    return f"it asks who you are; acp auth login mcp:{name}" if endpoint.denied else ""


async def _client_module() -> Any:
    """`tools.mcp.client`, imported in a thread: more than a second the first time."""
    return await _imported("acp_agent.tools.mcp.client")


async def _imported(name: str) -> Any:
    return await anyio.to_thread.run_sync(importlib.import_module, name)


def _why(error: BaseException) -> str:
    """What went wrong, of a group its first cause."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ToolError):
        return error.message.rstrip(".")
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    text = " ".join(str(error).split())
    return (text or type(error).__name__)[:300]
