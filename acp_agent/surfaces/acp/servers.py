"""MCP servers that a client names in `session/new` and its like, as servers of ours."""

from collections.abc import Iterable
from typing import assert_never

from acp_agent.config.servers import printable_name
from acp_agent.domain.servers import ToolServer
from acp_agent.surfaces.acp.params import HttpServer, McpServer, StdioServer, UnknownServer

SPOKEN = "only stdio and http are spoken here"


def servers_of(given: Iterable[McpServer]) -> tuple[ToolServer, ...]:
    """The servers; one that cannot be used has its `problem`. Of two with one name the last counts."""
    servers = [_server(one) for one in given]
    return tuple({server.name: server for server in servers}.values())


def _server(given: McpServer) -> ToolServer:
    match given:
        case StdioServer():
            env = {one.name: one.value for one in given.env}
            secrets = tuple(env.values())
            server = ToolServer(name="", command=given.command, args=tuple(given.arguments), env=env, secrets=secrets)
        case HttpServer(type="http"):
            headers = {one.name: one.value for one in given.headers}
            server = ToolServer(name="", url=given.url, headers=headers, secrets=tuple(headers.values()))
        case HttpServer():
            server = ToolServer(name="", problem=f"type {given.type}: {SPOKEN}")
        case UnknownServer():
            server = ToolServer(name="", problem=f"it is no server as the protocol has it: {SPOKEN}")
        case _:
            assert_never(given)
    name = printable_name(given.name) if given.name else "(without a name)"
    return server.model_copy(update={"name": name, "source": "client"})
