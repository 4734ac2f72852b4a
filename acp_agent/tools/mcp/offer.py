"""A server's tools as tools of the registry, with its resources and prompts beside them."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from acp_agent.domain.errors import ToolError
from acp_agent.domain.servers import ToolServer
from acp_agent.domain.tool import Intent, Risk, ToolResult
from acp_agent.domain.weight import Trait, Weight
from acp_agent.tools.given import Given, given_for
from acp_agent.tools.mcp.definition import Definition, tool_name
from acp_agent.tools.mcp.link import Link
from acp_agent.tools.registry import Ready, Seen, Tool
from acp_agent.tools.workspace import Workspace

if TYPE_CHECKING:
    from acp_agent.tools.mcp.client import Session

UNKNOWN_RISK = Risk.EXTERNAL
"""Of a tool that nobody who could know said anything about."""
_SLACK = 75.0
_LISTING = "List the resources and prompts of the MCP server {0}."
_READING = "Read a resource of the MCP server {0} by its URI."
_PROMPTING = "Fill in a prompt of the MCP server {0} with arguments and return its text."


def risk_of(server: ToolServer, definition: Definition) -> Risk:
    """What a person said of this tool; else of its server, raised by what the server says of it, never lowered."""
    if (said := server.risks.get(definition.name)) is not None:
        return said
    risk = UNKNOWN_RISK if server.risk is None else server.risk
    if definition.destructive:
        return max(risk, Risk.EXTERNAL)
    return max(risk, Risk.DRAFT) if definition.open_world else risk


def tools_of(link: Link, admitted: frozenset[str]) -> dict[str, Tool]:
    """The tools of a connected server that may be used, by the names models call them by."""
    server = link.server
    tools: dict[str, Tool] = {}
    for definition in link.definitions:
        name = tool_name(server.name, definition.name)
        if definition.name not in admitted or name in tools:
            continue
        risk = risk_of(server, definition)
        description = definition.told or f"The tool {definition.name} of the MCP server {server.name}."
        tools[name] = _tool(link, name, description, definition.parameters, risk, partial(_call, definition.name))
    others = server.risk if server.risk is not None else UNKNOWN_RISK
    if link.capabilities & {"resources", "prompts"}:
        name = tool_name(server.name, "mcp_list")
        tools[name] = _tool(link, name, _LISTING.format(server.name), _schema(), others, _listed)
    if "resources" in link.capabilities:
        name = tool_name(server.name, "mcp_read")
        tools[name] = _tool(link, name, _READING.format(server.name), _schema("uri"), others, _read)
    if "prompts" in link.capabilities:
        name = tool_name(server.name, "mcp_prompt")
        schema = _schema("name")
        schema["properties"]["arguments"] = {"type": "object", "additionalProperties": {"type": "string"}}
        tools[name] = _tool(link, name, _PROMPTING.format(server.name), schema, others, _prompted)
    return tools


def _schema(*texts: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": "string"} for name in texts},
        "required": list(texts),
        "additionalProperties": False,
    }


Asking = Callable[[Mapping[str, Any], str, "Session"], Awaitable[ToolResult]]
"""What is asked of a session, given the arguments of a call and its idempotency key."""


def _tool(link: Link, name: str, description: str, schema: dict[str, Any], risk: Risk, asking: Asking) -> Tool:
    def prepare(arguments: Given, workspace: Workspace, seen: Seen) -> Ready:
        async def run(key: str) -> ToolResult:
            result = await link.ask(partial(asking, arguments.values, key))
            return result.model_copy(update={"network": link.reached()})

        return Ready(Intent(title=arguments.title()), run)

    def weigh(arguments: Given, workspace: Workspace) -> Weight:
        return Weight(risk=risk, traits=_traits(link.server))

    return Tool(
        name=name,
        description=description,
        arguments=given_for(name, schema),
        risk=risk,
        kind="read" if risk == Risk.READ else "other",
        repeatable=risk == Risk.READ,
        # The link bounds the answer; this also bounds a start that comes before it.
        timeout=link.server.timeout + _SLACK,
        instant=True,
        prepare=prepare,
        weigh=weigh,
        breaker=link.breaker,
    )


def _traits(server: ToolServer) -> frozenset[Trait]:
    """Whatever it answers is a stranger's word; what it is told stays here where it is a process without a network."""
    closed = server.command is not None and not server.network and not server.egress
    return frozenset({"untrusted"}) if closed else frozenset({"untrusted", "outward"})


async def _call(tool: str, values: Mapping[str, Any], key: str, session: "Session") -> ToolResult:
    reply = await session.call(tool, values, key)
    if reply.error:
        return ToolResult(status="error", output=reply.text or "(it says nothing)", kind="tool_error", origin="mcp")
    return ToolResult(status="ok", output=reply.text, origin="mcp")


async def _listed(values: Mapping[str, Any], key: str, session: "Session") -> ToolResult:
    return ToolResult(status="ok", output=await session.listing(), origin="mcp")


async def _read(values: Mapping[str, Any], key: str, session: "Session") -> ToolResult:
    return ToolResult(status="ok", output=await session.read(values["uri"]), origin="mcp")


async def _prompted(values: Mapping[str, Any], key: str, session: "Session") -> ToolResult:
    arguments = values.get("arguments", {})
    if not all(isinstance(value, str) for value in arguments.values()):
        raise ToolError("The arguments of a prompt are strings.", kind="invalid_arguments")
    return ToolResult(status="ok", output=await session.prompt(values["name"], arguments), origin="mcp")
