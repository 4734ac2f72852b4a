"""`find_tools`: with many servers only names are in the prompt, and this loads the schemas of those that are needed."""

import re
from collections.abc import Iterable
from typing import Protocol

from pydantic import Field

from acp_agent.domain.tool import Intent, Risk, ToolResult
from acp_agent.tools.registry import Arguments, Ready, Seen, Tool, other_names, prepared_tool
from acp_agent.tools.workspace import Workspace

PATIENCE = 45.0
"""Seconds to wait for servers that still start."""
MOST = 20
_ABOUT = 240
_WORD = re.compile(r"[a-z0-9]+")


class Offered(Protocol):
    """Where the tools come from."""

    async def settled(self, seconds: float) -> None:
        """Return when every server has answered or failed, at most after `seconds`."""
        ...

    def tools(self) -> dict[str, Tool]:
        """Every tool that may be called now, by name."""
        ...


class FindTools(Arguments):
    OTHER_NAMES = other_names(query="search keywords names q", limit="count max_results")

    query: str = Field(min_length=1, description="What it should do, in a few words; or exact names of tools.")
    limit: int = Field(8, ge=1, le=MOST, description="How many to load.")

    def title(self) -> str:
        return f"Find tools: {self.query}"


def find_tool(offered: Offered) -> Tool:
    """The tool that finds the others. It contacts nobody: the servers have listed their tools already."""

    @prepared_tool(Risk.READ, kind="search", repeatable=True, timeout=PATIENCE + 15.0)
    def find_tools(arguments: FindTools, workspace: Workspace, seen: Seen) -> Ready:
        """Find tools of MCP servers by what they do, or by name. Those found can be called from the next step on."""

        async def run(key: str) -> ToolResult:
            await offered.settled(PATIENCE)
            found = best(offered.tools().values(), arguments.query, arguments.limit)
            if not found:
                return ToolResult(status="ok", output="No tool fits. Try other words, or go on without.")
            lines = [f"{tool.name}: {' '.join(tool.description.split())[:_ABOUT]}" for tool in found]
            # Descriptions are the servers' words.
            return ToolResult(
                status="ok", output="\n".join(lines), loads=tuple(tool.name for tool in found), origin="mcp"
            )

        return Ready(Intent(title=arguments.title()), run)

    return find_tools


def best(tools: Iterable[Tool], query: str, limit: int) -> list[Tool]:
    """The tools that fit `query` best: those it names, then by the words it shares with names and descriptions."""
    wanted = set(re.findall(r"[A-Za-z0-9_-]+", query))
    words = set(_WORD.findall(query.lower()))
    scored: list[tuple[float, str, Tool]] = []
    for tool in tools:
        if tool.name == "find_tools":
            continue
        name = set(_WORD.findall(tool.name.lower()))
        about = set(_WORD.findall(tool.description.lower()))
        score = 100.0 * (tool.name in wanted) + 3.0 * len(words & name) + len(words & about)
        if score:
            scored.append((-score, tool.name, tool))
    return [tool for _, _, tool in sorted(scored, key=lambda one: one[:2])[:limit]]
