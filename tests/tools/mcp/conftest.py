"""Real server processes, in the sandbox, behind a guard as a run has it."""

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from acp_agent.domain.message import ToolCall
from acp_agent.domain.redact import Redactor
from acp_agent.domain.servers import ToolServer
from acp_agent.domain.tool import ToolResult
from acp_agent.tools.egress.network import Network
from acp_agent.tools.guard import Guard
from acp_agent.tools.mcp.hub import Hub, Offer
from acp_agent.tools.mcp.servers import opened_servers
from acp_agent.tools.sandbox.model import Sandbox
from acp_agent.tools.workspace import Workspace

HERE = Path(__file__).parent
ODD = HERE / "odd_server.py"
NOTES = HERE / "notes_server.py"
SANDBOX = Sandbox(readable=(HERE, Path(sys.prefix), Path(sys.base_prefix)))


def definition(name: str, description: str = "", **more: Any) -> dict[str, Any]:
    """A tool as a server lists it."""
    return {"name": name, "description": description or f"Does {name}.", "inputSchema": {"type": "object"}, **more}


def odd(definitions: Path, name: str = "odd", **changes: Any) -> ToolServer:
    """The odd server over the tools in a file."""
    return ToolServer(
        name=name, command=sys.executable, args=(str(ODD), str(definitions)), **{"timeout": 20.0, **changes}
    )


def processes(marker: str) -> list[int]:
    """Processes whose command line holds `marker`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if marker.encode() in line:
                found.append(int(entry.name))
    return found


async def gone(marker: str) -> None:
    """Return when no such process is left: what is killed with its namespace is ended by the kernel a moment later."""
    with anyio.fail_after(20):
        while processes(marker):
            await anyio.sleep(0.01)


@dataclass
class Desk:
    """A run's tools: what they answer and what the model is shown of them."""

    guard: Guard
    offer: Offer
    hub: Hub

    async def use(self, tool: str, **arguments: Any) -> ToolResult:
        """Call a tool."""
        await self.guard.refresh()
        call = ToolCall(call_id="c1", name=tool, arguments=json.dumps(arguments))
        prepared = await self.guard.prepare(call, {}, "key-1")
        return prepared if isinstance(prepared, ToolResult) else await prepared.run()

    async def ready(self) -> None:
        """Wait for every server."""
        await self.offer.settled(60)

    def shown(self, *loaded: str) -> list[str]:
        """The names of the tools whose schema the model is shown."""
        return [spec.name for spec in self.guard.offered(loaded)]


Desks = Callable[..., Any]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The workspace of the run; its name is in the command line of every server started here."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def definitions(root: Path) -> Path:
    """The file of the odd server's tools."""
    return root / "tools.json"


@pytest.fixture
def desk(root: Path, tmp_path: Path) -> Desks:
    """`async with desk(server, ...) as d`: the servers, started and listed."""

    @asynccontextmanager
    async def opened(*servers: ToolServer, wait: bool = True, **options: Any) -> AsyncIterator[Desk]:
        async with opened_servers(tmp_path / "state", SANDBOX, Network()) as started:
            hub = started.hub
            offer = hub.open(servers, root, **options)
            guard = Guard({}, Workspace.at(root), Redactor(["hunter2-hunter2"]), source=offer)
            made = Desk(guard, offer, hub)
            if wait:
                await made.ready()
            yield made

    return opened


Write = Callable[..., Awaitable[None]]
