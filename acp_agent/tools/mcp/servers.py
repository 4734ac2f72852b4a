"""The MCP servers of this process, as its composition root opens them: nothing is imported before a run wants one."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from acp_agent.domain.servers import ToolServer
from acp_agent.tools.egress.network import Network
from acp_agent.tools.sandbox.model import Sandbox
from acp_agent.tools.source import NoSource, Source

if TYPE_CHECKING:
    from acp_agent.tools.mcp.hub import Hub


class Servers:
    """The hub of this process, made for the first run that has servers."""

    def __init__(self, tasks: TaskGroup, state: Path, sandbox: Sandbox, network: Network) -> None:
        self._tasks = tasks
        self._state = state
        self._sandbox = sandbox
        self._network = network

    @cached_property
    def hub(self) -> "Hub":
        """What shares the servers among runs."""
        from acp_agent.tools.mcp.hub import Hub
        from acp_agent.tools.mcp.pins import Pins

        return Hub(self._tasks, Pins(self._state), self._sandbox, self._network)

    def open(self, servers: Sequence[ToolServer], root: Path, *, attended: bool, read_only: bool) -> Source:
        """What `servers` offer to a run in `root`; see `Hub.open`."""
        if not servers:
            return NoSource()
        return self.hub.open(servers, root, attended=attended, read_only=read_only)


@asynccontextmanager
async def opened_servers(state: Path, sandbox: Sandbox, network: Network) -> AsyncIterator[Servers]:
    """Servers until the block ends; then every one of them is gone. What the block raises comes out as it is.

    `network` is how servers reach the hosts that they may.
    """
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        try:
            yield Servers(tasks, state, sandbox, network)
        except Exception as error:
            # Else the task group would wrap it, though none of its tasks had a part in it.
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
