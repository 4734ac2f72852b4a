"""What the client of a session lends it while it is connected: MCP servers that it names, its files, its terminal."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from acp_agent.domain.servers import ToolServer
from acp_agent.tools.editor import EditorFiles, EditorTerminal
from acp_agent.tools.mcp.servers import Servers
from acp_agent.tools.source import NoSource, Source

MOST_STARTED = 16
"""Sessions whose servers are kept running between turns; those of the others start with their turn."""


@dataclass(frozen=True, slots=True)
class Workbench:
    """What one client lends to one session; `directories` are those beside its working directory, as absolute paths."""

    servers: tuple[ToolServer, ...] = ()
    files: EditorFiles | None = None
    terminal: EditorTerminal | None = None
    directories: tuple[str, ...] = ()


class Workbenches:
    """The workbenches of the sessions of this process."""

    def __init__(self, started: Servers) -> None:
        self.started = started
        self._lent: dict[str, Workbench] = {}
        self._running: OrderedDict[str, Source] = OrderedDict()
        self._told: dict[str, set[str]] = {}

    def lend(self, session_id: str, cwd: Path, bench: Workbench) -> None:
        """The session has `bench` from now on; its servers begin to start, and nobody waits for them."""
        self.take_back(session_id)
        self._lent[session_id] = bench
        if bench.servers:
            self._running[session_id] = self.started.open(bench.servers, cwd, attended=True, read_only=False)
        while len(self._running) > MOST_STARTED:
            self._running.popitem(last=False)[1].release()

    def take_back(self, session_id: str) -> None:
        """Nothing is lent to the session any more."""
        self._lent.pop(session_id, None)
        self._told.pop(session_id, None)
        self._running.pop(session_id, NoSource()).release()

    def of(self, session_id: str) -> Workbench:
        """What the session has."""
        return self._lent.get(session_id, Workbench())

    async def report(self, session_id: str, tell: Callable[[str, str], None]) -> None:
        """Tell the name of each server that failed, and why, as it fails; each once per lending."""
        told = self._told.setdefault(session_id, set())

        def once(name: str, problem: str) -> None:
            if name not in told:
                told.add(name)
                tell(name, problem)

        await self._running.get(session_id, NoSource()).report(once)


def with_lent(ours: Sequence[ToolServer], lent: Sequence[ToolServer]) -> tuple[ToolServer, ...]:
    """The servers of a run: a lent one stands in for ours of the same name."""
    return tuple({server.name: server for server in (*ours, *lent)}.values())
