"""Fifteen servers with twenty tools each: only names enter the prompt, and what is found can be called."""

import json
from pathlib import Path

import pytest

from acp_agent.domain.servers import ToolServer
from acp_agent.tools.mcp.definition import MAX_NAME
from acp_agent.tools.mcp.find import best
from acp_agent.tools.mcp.hub import LOADED
from tests.tools.mcp.conftest import Desk, Desks, definition, odd

pytestmark = [pytest.mark.anyio, pytest.mark.bwrap]
SERVERS, TOOLS = 15, 20
TOPICS = ("issue", "branch", "invoice", "calendar", "server")
LONG = "Returns everything there is to know about it, page by page, in the order of time. " * 8


def many(root: Path) -> list[ToolServer]:
    """The servers, with long descriptions and schemas of a usual size."""
    servers = []
    for number in range(SERVERS):
        tools = []
        for index in range(TOOLS):
            topic = TOPICS[index % len(TOPICS)]
            properties = {f"field_{one}": {"type": "string", "description": LONG[:100]} for one in range(8)}
            schema = {"type": "object", "properties": properties}
            about = f"Reads one {topic} of the kind {index}. {LONG}"
            tools.append({**definition(f"read_{topic}_{index}", about), "inputSchema": schema})
        file = root / f"tools-{number}.json"
        file.write_text(json.dumps(tools))
        servers.append(odd(file, name=f"service{number}", timeout=60.0))
    return servers


def characters(d: Desk, *loaded: str) -> int:
    """What tools and notes add to a request, in characters; four of them are about one token."""
    tools = sum(len(spec.model_dump_json()) for spec in d.guard.offered(loaded))
    return tools + sum(map(len, d.guard.notes()))


async def test_three_hundred_tools_cost_their_names_and_those_found_are_loaded(desk: Desks, root: Path) -> None:
    async with desk(*many(root)) as d:
        assert len(d.guard.specs()) == SERVERS * TOOLS + 1
        assert d.shown() == ["find_tools"]
        whole = sum(len(spec.model_dump_json()) for spec in d.guard.specs().values())
        assert whole > 400_000
        assert characters(d) < 12_000
        notes = "\n".join(d.guard.notes())
        assert all(f"service{number} (20): " in notes for number in range(SERVERS))
        found = await d.use("find_tools", query="the calendar of service7", limit=4)
        assert found.status == "ok"
        assert found.origin == "mcp"
        assert len(found.loads) == 4
        assert all(name.startswith("service7__read_calendar") for name in found.loads)
        assert d.shown(*found.loads) == ["find_tools", *found.loads]
        called = await d.use(found.loads[0], field_1="x")
        assert called.output == found.loads[0].removeprefix("service7__") + ' {"field_1": "x"}'
        # One it knows by name alone can be called all the same, and is checked like any other.
        assert (await d.use("service3__read_issue_0", field_1="y")).status == "ok"
        assert (await d.use("service3__read_issue_0", field_1=3)).status == "refused"
        exact = await d.use("find_tools", query="service2__read_server_4 service9__read_branch_1", limit=2)
        assert exact.loads == ("service2__read_server_4", "service9__read_branch_1")
        every = [name for name in d.guard.specs() if name != "find_tools"]
        assert d.shown(*every) == ["find_tools", *every[-LOADED:]]
        assert characters(d, *every) < 100_000
        assert all(len(name) <= MAX_NAME for name in every)
        assert best(d.guard.source.tools().values(), "zebra", 5) == []
