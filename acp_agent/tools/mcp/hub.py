"""The MCP servers of this process: started when a run wants them, shared where they can be, ended after the last."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from acp_agent.domain.errors import UsageError
from acp_agent.domain.servers import ToolServer
from acp_agent.domain.tool import Risk
from acp_agent.tools.egress.network import Network
from acp_agent.tools.mcp.consent import changed_tools
from acp_agent.tools.mcp.definition import Definition
from acp_agent.tools.mcp.find import find_tool
from acp_agent.tools.mcp.link import Link, Place
from acp_agent.tools.mcp.offer import tools_of
from acp_agent.tools.mcp.pins import Pins
from acp_agent.tools.registry import Tool
from acp_agent.tools.sandbox.model import Sandbox

LINGER = 60.0
"""Seconds for which a server that nobody uses is kept, where a person may ask again."""
WHOLE = 24_000
"""Characters of descriptions and schemas up to which all tools are shown to the model from the start."""
NAMES = 8_000
"""Characters of the names that stand in for the others."""
LOADED = 40
"""Tools found by find_tools whose schema the model is shown at most, the last found."""


@dataclass(slots=True)
class _Use:
    """A link and how many runs use it."""

    link: Link
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    users: int = 0
    admitted: tuple[tuple[Definition, ...], frozenset[str]] = ((), frozenset())


class Hub:
    """Hands runs their servers. Lives in a task group of its own, which `opened_servers` opens."""

    def __init__(self, tasks: TaskGroup, pins: Pins, sandbox: Sandbox, network: Network) -> None:
        self._tasks = tasks
        self._pins = pins
        self._sandbox = sandbox
        self._network = network
        self._uses: dict[tuple[str, str], _Use] = {}

    def open(
        self, servers: Sequence[ToolServer], root: Path, *, attended: bool = False, read_only: bool = False
    ) -> "Offer":
        """The offer of `servers` to a run in `root`; they begin to connect, and nobody waits for them.

        A `read_only` run is offered the tools of risk 0 alone. Where somebody watches (`attended`), calling a tool that
        changed asks them to take it on.
        """
        uses = [self._use(server, root) for server in servers if server.problem is None]
        problems = {server.name: server.problem for server in servers if server.problem is not None}
        for use in uses:
            use.users += 1
            if use.link.status == "ready":
                use.link.relist()
            use.link.want()
        most = Risk.READ if read_only else Risk.IRREVERSIBLE
        return Offer(self, uses, problems, attended, most)

    def _use(self, server: ToolServer, root: Path) -> _Use:
        # One that answers at an address is the same for all; a process belongs to the workspace it is confined to.
        key = (server.model_dump_json(), "" if server.command is None else str(root))
        use = self._uses.get(key)
        if use is None:
            use = self._uses[key] = _Use(Link(server, Place(root, self._sandbox, self._pins.folder, self._network)))
            self._tasks.start_soon(self._serve, key, use)
        return use

    async def _serve(self, key: tuple[str, str], use: _Use) -> None:
        with use.scope:
            await use.link.serve()
        if self._uses.get(key) is use:
            del self._uses[key]

    def leave(self, uses: Iterable[_Use], linger: float) -> None:
        """A run is done with them."""
        for use in uses:
            use.users -= 1
            if use.users == 0:
                self._tasks.start_soon(self._retire, use, linger)

    async def _retire(self, use: _Use, linger: float) -> None:
        await anyio.sleep(linger)
        if use.users == 0:
            use.scope.cancel()

    async def admit(self, use: _Use) -> None:
        """Hold the tools that a server lists now against its pins."""
        definitions, _ = use.admitted
        link = use.link
        if link.definitions is definitions:
            return
        now = link.definitions
        check = partial(self._pins.admitted, link.server.name, link.server.identity, now)
        try:
            use.admitted = (now, await anyio.to_thread.run_sync(check))
        except (OSError, UsageError) as error:
            # Without its record nobody can say what was agreed to.
            use.admitted = (now, frozenset())
            link.problem = str(error)

    async def agree(self, use: _Use, definition: Definition) -> bool:
        """Take on a tool that a person was just shown; False where it is another one by now."""
        take = partial(self._pins.agree_to, use.link.server.identity, definition.name, definition.digest)
        if agreed := await anyio.to_thread.run_sync(take):
            use.admitted = ((), frozenset())
            await self.admit(use)
        return agreed


class Offer:
    """What the servers of one run offer it now (`tools.source.Source`)."""

    def __init__(self, hub: Hub, uses: Sequence[_Use], problems: Mapping[str, str], attended: bool, most: Risk) -> None:
        self._hub = hub
        self._uses = list(uses)
        self._problems = dict(problems)
        self._attended = attended
        self._most = most
        self._built: dict[int, tuple[tuple[object, object], dict[str, Tool]]] = {}
        self._find = find_tool(self)

    async def refresh(self) -> None:
        """Take over what the servers list now. Waits for none of them."""
        for use in self._uses:
            await self._hub.admit(use)

    async def settled(self, seconds: float) -> None:
        """Return when every server has answered or failed, at most after `seconds`."""
        with anyio.move_on_after(seconds):
            for use in self._uses:
                await use.link.settled()
        await self.refresh()

    def tools(self) -> dict[str, Tool]:
        """Every tool that may be called now, by name, `find_tools` among them where it is of use."""
        found: dict[str, Tool] = {}
        for use in self._uses:
            found |= self._tools_of(use)
        if self._starting() or _size(found.values()) > WHOLE:
            found[self._find.name] = self._find
        return found

    def _tools_of(self, use: _Use) -> dict[str, Tool]:
        """Built again only when the server's list changed: a tool's schema is worked out once."""
        state = (use.admitted, use.link.capabilities)
        kept = self._built.get(id(use))
        if kept is None or kept[0][0] is not state[0] or kept[0][1] is not state[1]:
            tools = tools_of(use.link, use.admitted[1])
            if self._attended:
                tools |= changed_tools(use.link, use.admitted[1], partial(self._hub.agree, use))
            fitting = {name: tool for name, tool in tools.items() if tool.risk <= self._most}
            kept = self._built[id(use)] = (state, fitting)
        return kept[1]

    def shown(self, loaded: Collection[str]) -> list[Tool]:
        """The tools whose schema the model is shown: all, or where they are many those it found."""
        tools = self.tools()
        servers = {name: tool for name, tool in tools.items() if name != self._find.name}
        if _size(servers.values()) <= WHOLE:
            return list(tools.values())
        last = [name for name in loaded if name in servers][-LOADED:]
        return [self._find, *(servers[name] for name in last)]

    def notes(self) -> tuple[str, ...]:
        """What the model should know of servers: those that start, that failed, whose tools are withheld or unseen."""
        lines = [f"The MCP server {name} is not available: {problem}" for name, problem in self._problems.items()]
        for use in self._uses:
            link = use.link
            if link.status == "failed":
                lines.append(f"The MCP server {link.server.name} is not available: {link.problem}")
            if withheld := _withheld(use):
                how = "calling one asks them" if self._attended else f"acp trust mcp:{link.server.name}"
                lines.append(
                    f"{len(withheld)} tools of the MCP server {link.server.name} are withheld, since they changed:"
                    f" {', '.join(withheld)[:300]}. A person must look at them: {how}"
                )
        if starting := self._starting():
            lines.append(f"MCP servers that still start: {', '.join(starting)}. find_tools waits for them.")
        return (*lines, *self._unseen())

    async def report(self, tell: Callable[[str, str], None]) -> None:
        """Tell the name of each server that cannot be used, and why; returns when all have settled."""

        async def one(link: Link) -> None:
            await link.settled()
            if link.status == "failed":
                tell(link.server.name, link.problem)

        for name, problem in self._problems.items():
            tell(name, problem)
        async with anyio.create_task_group() as group:
            for use in self._uses:
                group.start_soon(one, use.link)

    def standing(self) -> list[tuple[Link, tuple[str, ...]]]:
        """Every link of the run, and its tools that are withheld."""
        return [(use.link, tuple(_withheld(use))) for use in self._uses]

    def _starting(self) -> list[str]:
        return [use.link.server.name for use in self._uses if use.link.status == "starting"]

    def _unseen(self) -> list[str]:
        """The names of tools that are too many to be shown whole, by server, as far as they fit."""
        by_server = {use.link.server.name: self._tools_of(use) for use in self._uses}
        if _size(tool for tools in by_server.values() for tool in tools.values()) <= WHOLE:
            return []
        lines = ["More tools, by MCP server; find_tools loads those you need:"]
        share = NAMES // max(1, len(by_server))
        for server, tools in by_server.items():
            names = ", ".join(tools)
            lines.append(f"{server} ({len(tools)}): {names if len(names) <= share else names[:share] + ' [...]'}")
        return lines

    def release(self) -> None:
        """The run is done with its servers."""
        uses, self._uses = self._uses, []
        self._hub.leave(uses, LINGER if self._attended else 0.0)


def _withheld(use: _Use) -> list[str]:
    return [one.name for one in use.admitted[0] if one.name not in use.admitted[1]]


def _size(tools: Iterable[Tool]) -> int:
    """Characters that their descriptions and schemas take, roughly."""
    return sum(len(tool.name) + len(tool.description) + tool.weight_of_schema for tool in tools)
