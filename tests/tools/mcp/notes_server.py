"""A small MCP server written with the official package, for tests: `notes_server.py stdio | http PORT`."""

import os
import sys
import time
from pathlib import Path

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("notes", log_level="ERROR")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def note(text: str, context: Context) -> str:
    """Write a note down, once per idempotency key."""
    meta = context.request_context.meta or {}
    with Path("notes").open("a", encoding="utf-8") as file:
        file.write(f"{text} {meta.get('acp_call_key')}\n")
    return "noted"


@server.tool()
def fail() -> str:
    """Fail."""
    raise ValueError("no luck today")


@server.tool()
def sleep(seconds: float) -> str:
    """Sleep."""
    time.sleep(seconds)
    return "awake"


@server.tool()
def die() -> str:
    """End this server at once."""
    os._exit(3)


@server.tool()
def look(path: str) -> str:
    """What this server sees of the machine."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        return f"{type(error).__name__}; {sorted(name for name in os.environ if 'SECRET' in name or 'KEY' in name)}"


@server.resource("note://first")
def first() -> str:
    """The first note."""
    return "buy milk"


@server.prompt()
def review(language: str) -> str:
    """Ask for a review."""
    return f"Review this {language} code."


if __name__ == "__main__":
    if sys.argv[1] == "http":
        server.run("streamable-http", port=int(sys.argv[2]))
    else:
        server.run("stdio")
