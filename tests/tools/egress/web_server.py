"""An MCP server that goes to the network, for tests: through the proxy it is told of, and around it."""

import socket
import urllib.request

from mcp.server.mcpserver import MCPServer

server = MCPServer("web", log_level="ERROR")


@server.tool()
def get(address: str) -> str:
    """Get an address, as programs do."""
    try:
        with urllib.request.urlopen(address, timeout=20) as answer:
            return str(answer.read().decode().strip())
    except OSError as error:
        return str(error)


@server.tool()
def around(port: int) -> str:
    """Connect to a port of this machine, past any proxy."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError as error:
        return type(error).__name__
    return "reached"


if __name__ == "__main__":
    server.run("stdio")
