"""What is answered beside the protocol: whether the process is well, and what a scraper reads."""

from collections.abc import Sized

import anyio
import anyio.to_thread

from acp_agent.app import App
from acp_agent.config.paths import state_dir
from acp_agent.domain.confinement import SandboxLevel
from acp_agent.domain.errors import AcpAgentError
from acp_agent.observe.gauges import connections_gauge, runs_gauge, sandbox_gauge
from acp_agent.surfaces.rest.asgi import Receive, Refused, Scope, Send, answer, refuse
from acp_agent.tools.sandbox.model import Sandbox
from acp_agent.tools.sandbox.probe import level_for

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
READY_WITHIN = 2.0
"""Seconds for the record to answer."""


class Site:
    """The small applications of a server; `connections` are those of the protocol."""

    def __init__(self, app: App, connections: Sized, stopped: anyio.Event) -> None:
        self._app = app
        self._connections = connections
        self._stopped = stopped
        self._level: tuple[SandboxLevel | None] | None = None

    async def health(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The process answers."""
        if await _is_read(scope, send):
            await answer(send, 200, "ok\n")

    async def ready(self, scope: Scope, receive: Receive, send: Send) -> None:
        """It can begin work: the record answers, nobody has stopped everything, and it is not about to end."""
        if await _is_read(scope, send):
            problem = await self._problem()
            await answer(send, 503 if problem else 200, f"{problem or 'ready'}\n")

    async def metrics(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Values in the text format of Prometheus."""
        if not await _is_read(scope, send):
            return
        if self._level is None:
            sandbox = Sandbox(
                level=self._app.settings.table.sandbox.level, state=state_dir(self._app.environ) / "sandbox"
            )
            self._level = (await anyio.to_thread.run_sync(level_for, sandbox),)
        runs = runs_gauge(await self._app.journal.run_counts())
        connections = connections_gauge(len(self._connections))
        await answer(send, 200, sandbox_gauge(self._level[0]) + runs + connections, PROMETHEUS)

    async def _problem(self) -> str | None:
        if self._stopped.is_set():
            return "stopping"
        try:
            with anyio.move_on_after(READY_WITHIN):
                return "everything is stopped: acp resume --all" if await self._app.journal.hold() else None
        except AcpAgentError as error:
            return f"the record cannot be read: {error.what}"
        return "the record does not answer"


async def _is_read(scope: Scope, send: Send) -> bool:
    if scope["method"] in ("GET", "HEAD"):
        return True
    await refuse(scope, send, Refused(405, "GET only"))
    return False
