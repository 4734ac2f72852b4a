"""`acp trust`: say which files may run their commands; a changed command must be trusted again."""

import os
from pathlib import Path

import click

from acp_agent.config.paths import shown_path, state_dir
from acp_agent.domain.errors import ExitCode, NothingSelected, UsageError
from acp_agent.surfaces.cli.formats import some
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.text import one_line

EPILOG = "A file that is called ls or rm is written ./ls."
SERVER = "mcp:"
"""What stands before the name of an MCP server."""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("words", metavar="PATH | mcp:NAME | ls | rm PATH", nargs=-1, required=True, type=click.Path())
def trust(words: tuple[str, ...]) -> int:
    """Trust the commands that PATH names now, list what is trusted, or forget it.

    mcp:NAME agrees to the tools of that MCP server that are new or changed since it was first met.

    PATH is a projects.toml, a loop, a .mcp.json, or a directory with such files. A command that changes is not trusted
    any more.
    """
    match words:
        case ("ls",):
            return _list()
        case ("rm", path):
            return _forget_server(path.removeprefix(SERVER)) if path.startswith(SERVER) else _forget(path)
        case ("rm", *_):
            raise UsageError("rm takes one path", hint="acp trust rm PATH")
        case (path,):
            return _agree(path.removeprefix(SERVER)) if path.startswith(SERVER) else _trust(path)
        case _:
            raise UsageError(
                f"too many arguments: {words[1]!r}", hint="acp trust PATH, acp trust ls, or acp trust rm PATH"
            )


def _trust(path: str) -> int:
    from acp_agent.config.trust import trust_commands
    from acp_agent.config.trusted_files import commands_of, files_of

    found = {file: commands_of(file) for file in files_of(Path(path))}
    trust_commands(found, state_dir(os.environ))
    for file, commands in found.items():
        number = len(commands)
        click.echo(f"{one_line(shown_path(file))}: {some(number, 'command')} trusted")
        for command in commands:
            click.echo(f"  {one_line(command.key)}: {one_line(command.run)}")
    return int(ExitCode.OK)


def _agree(server: str) -> int:
    from acp_agent.tools.mcp.pins import Pins

    agreed = Pins(state_dir(os.environ)).agree(server)
    if not agreed:
        raise NothingSelected(f"no tool of {SERVER}{server} waits to be agreed to", hint="acp trust ls")
    click.echo(f"{SERVER}{one_line(server)}: {some(len(agreed), 'tool')} trusted")
    for tool in agreed:
        click.echo(f"  {one_line(tool.tool)} ({tool.why}): {one_line(tool.text)}")
    return int(ExitCode.OK)


def _forget_server(server: str) -> int:
    from acp_agent.tools.mcp.pins import Pins

    if not Pins(state_dir(os.environ)).forget(server):
        raise NothingSelected(f"{SERVER}{server} was never met", hint="acp trust ls")
    click.echo(f"{SERVER}{one_line(server)}: forgotten; its tools are taken on as they are when it is met again")
    return int(ExitCode.OK)


def _list() -> int:
    from acp_agent.config.trust import trusted
    from acp_agent.tools.mcp.pins import Pins

    pins = Pins(state_dir(os.environ))
    found, servers = trusted(state_dir(os.environ)), pins.servers()
    if not found and not servers:
        click.echo("nothing is trusted: acp trust PATH", err=True)
    for file in found:
        keys = f": {', '.join(map(one_line, file.keys))}" if file.keys else ""
        click.echo(f"{one_line(str(file.path))}{keys}")
    for name, (tools, waiting) in servers.items():
        click.echo(f"{SERVER}{one_line(name)}: {some(tools, 'tool')}{f', {waiting} to look at' if waiting else ''}")
        for tool in pins.pending(name):
            click.echo(f"  {one_line(tool.tool)} ({tool.why}): {one_line(tool.text)}")
    return int(ExitCode.OK)


def _forget(path: str) -> int:
    from acp_agent.config.trust import untrust

    gone = untrust(Path(path), state_dir(os.environ))
    if not gone:
        raise NothingSelected(f"{path} was not trusted", hint="acp trust ls")
    for file in gone:
        click.echo(f"{one_line(str(file))}: not trusted any more")
    return int(ExitCode.OK)
