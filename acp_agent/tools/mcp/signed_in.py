"""Where the tokens of a server lie, and whether a person has signed in to it. Standard library only."""

from pathlib import Path

from acp_agent.domain.servers import ToolServer

FOLDER = "mcp-tokens"


def tokens_file(state: Path, server: ToolServer) -> Path:
    """The file of a server's tokens; a server at another address has another one."""
    return state / FOLDER / f"{server.identity}.json"


def is_signed_in(state: Path, server: ToolServer) -> bool:
    """Whether there are tokens for a server."""
    return server.url is not None and tokens_file(state, server).is_file()


def sign_out(state: Path, server: ToolServer) -> bool:
    """Forget the tokens of a server; whether there were any."""
    file = tokens_file(state, server)
    there = file.is_file()
    file.unlink(missing_ok=True)
    return there
