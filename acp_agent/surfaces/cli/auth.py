"""`acp auth`: sign in to MCP servers that ask for OAuth, sign out, and see where one is signed in."""

import os
from pathlib import Path

import click

from acp_agent.config.paths import state_dir
from acp_agent.domain.errors import ExitCode, NothingSelected, UsageError
from acp_agent.domain.servers import ToolServer
from acp_agent.surfaces.cli.formats import some
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.text import one_line

PREFIX = "mcp:"


@click.command(cls=Command)
@click.argument("words", metavar="login mcp:NAME | logout mcp:NAME | status", nargs=-1, required=True)
def auth(words: tuple[str, ...]) -> int:
    """Sign in to an MCP server of config.toml or of the .mcp.json here, sign out, or list where you are signed in.

    Signing in prints an address to open in a browser. Runs then use what that gave; they never sign in by themselves.
    """
    match words:
        case ("login", name):
            return _login(_server(name))
        case ("logout", name):
            return _logout(_server(name))
        case ("status",):
            return _status()
        case _:
            hint = "acp auth login mcp:NAME, acp auth logout mcp:NAME, or acp auth status"
            raise UsageError("these words are no command", hint=hint)


def _servers() -> tuple[ToolServer, ...]:
    from acp_agent.config.servers import servers_for
    from acp_agent.config.settings import load_settings

    table = load_settings(os.environ).table
    found = servers_for(table.mcp, Path.cwd(), os.environ, state_dir(os.environ), table.egress)
    return tuple(server for server in found if server.url is not None)


def _server(name: str) -> ToolServer:
    wanted = name.removeprefix(PREFIX)
    server = next((one for one in _servers() if one.name == wanted), None)
    if server is None:
        known = ", ".join(f"{PREFIX}{one.name}" for one in _servers()) or "there is none"
        raise UsageError(f"there is no MCP server {one_line(wanted)} with a url", hint=known)
    if server.problem is not None:
        raise UsageError(f"{PREFIX}{server.name}: {server.problem}")
    return server


def _login(server: ToolServer) -> int:
    import anyio

    from acp_agent.tools.mcp.oauth import sign_in

    def show(address: str) -> None:
        click.echo("open this address in a browser, and sign in there:", err=True)
        click.echo(one_line(address), err=True)

    number = anyio.run(sign_in, server, state_dir(os.environ), show)
    click.echo(f"{PREFIX}{server.name}: signed in; it offers {some(number, 'tool')}")
    return int(ExitCode.OK)


def _logout(server: ToolServer) -> int:
    from acp_agent.tools.mcp.signed_in import sign_out

    if not sign_out(state_dir(os.environ), server):
        raise NothingSelected(f"not signed in to {PREFIX}{server.name}", hint="acp auth status")
    click.echo(f"{PREFIX}{server.name}: signed out here; its tokens are gone from this machine")
    return int(ExitCode.OK)


def _status() -> int:
    from acp_agent.tools.mcp.signed_in import is_signed_in

    for server in _servers():
        said = "signed in" if is_signed_in(state_dir(os.environ), server) else "not signed in"
        click.echo(f"{PREFIX}{one_line(server.name)}: {said}")
    return int(ExitCode.OK)
