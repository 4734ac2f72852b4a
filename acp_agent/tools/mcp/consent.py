"""Tools of a server that changed since they were taken on, where a person watches: a call asks that person, by name.

Until they agree the model reads nothing of what such a tool says of itself, and the call does nothing but agree.
"""

import json
from collections.abc import Awaitable, Callable, Collection

from acp_agent.domain.errors import ToolError
from acp_agent.domain.tool import Intent, Risk, ToolResult
from acp_agent.domain.weight import Weight
from acp_agent.tools.given import Given, given_for
from acp_agent.tools.mcp.definition import Definition, tool_name
from acp_agent.tools.mcp.link import Link
from acp_agent.tools.registry import Hooks, Ready, Seen, Tool
from acp_agent.tools.workspace import Workspace

ABOUT = (
    "A tool of the MCP server {0} that is new or changed since its tools were taken on. A person is asked when you call"
    " it, with any arguments: the call only takes it on as it is now. From the next step on it can be used."
)
Agree = Callable[[Definition], Awaitable[bool]]
"""Take on a tool as it is defined now; False where it has changed again."""


def changed_tools(link: Link, admitted: Collection[str], agree: Agree) -> dict[str, Tool]:
    """Stand-ins for the tools of a connected server that nobody agreed to yet, by the names models call them by."""
    server = link.server.name
    withheld = [one for one in link.definitions if one.name not in admitted]
    return {name: _tool(server, name, one, agree) for one in withheld if (name := tool_name(server, one.name))}


def _tool(server: str, name: str, definition: Definition, agree: Agree) -> Tool:
    def prepare(arguments: Given, workspace: Workspace, seen: Seen) -> Ready:
        async def run(key: str) -> ToolResult:
            if not await agree(definition):
                raise ToolError(f"{name} has changed again: it is as it was shown no more.", kind="conflict")
            told = f"A person took {name} on as it is now. Call it again, with arguments that fit its schema."
            return ToolResult(status="ok", output=told, loads=(name,))

        async def told(key: str) -> str:
            schema = json.dumps(definition.schema, ensure_ascii=True, sort_keys=True)
            return f"it says of itself now:\n{definition.description.strip()}\n{schema}"

        return Ready(Intent(title=f"Take on {name} as it is now"), run, hooks=Hooks(dry_run=told))

    def weigh(arguments: Given, workspace: Workspace) -> Weight:
        why = f"{name} is new or changed since the tools of {server} were taken on"
        return Weight(risk=Risk.IRREVERSIBLE, reasons=(why,), subject=definition.digest)

    return Tool(
        name=name,
        description=ABOUT.format(server),
        arguments=given_for(name, {"type": "object", "properties": {}}),
        risk=Risk.IRREVERSIBLE,
        kind="other",
        repeatable=False,
        timeout=30.0,
        instant=True,
        prepare=prepare,
        weigh=weigh,
    )
