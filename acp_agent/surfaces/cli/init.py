"""`acp init`: find git repositories and write projects.toml."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from acp_agent.config.paths import PROJECTS_FILE, shown_path, state_dir
from acp_agent.domain.errors import ExitCode
from acp_agent.surfaces.cli.columns import aligned
from acp_agent.surfaces.cli.grid import terminal_width
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from acp_agent.config.commands import Command as FileCommand


@click.command(cls=Command)
@click.argument("directory", metavar="[DIR]", default=".", type=click.Path())
@click.option("--yes", is_flag=True, help="Trust the gate commands that were guessed, without asking.")
def init(directory: str, yes: bool) -> int:
    """Find git repositories in DIR (default: here) and up to four levels below, and write DIR/projects.toml.

    Tags come from languages and lock files, gate commands are guessed; a file that exists is never overwritten.
    """
    from acp_agent.config.discover_repositories import discover, write_projects
    from acp_agent.config.projects import load_projects

    folder = Path(directory)
    found = discover(folder)
    file = folder / PROJECTS_FILE
    write_projects(file, found.repositories)
    rows = [(entry.name, ",".join(entry.tags), entry.gate or "") for entry in found.repositories]
    click.echo(aligned(("project", "tags", "gate"), rows, width=terminal_width()))
    if found.capped:
        click.echo("there may be more: the search stopped at its limit", err=True)
    click.echo(f"\nwrote {one_line(shown_path(file))}", err=True)
    _offer_trust(file, load_projects(file).commands(), yes)
    click.echo('next: acp run "what to do" --tags=TAG', err=True)
    return int(ExitCode.OK)


def _offer_trust(file: Path, commands: "Sequence[FileCommand]", yes: bool) -> None:
    """Ask whether the commands may be run; where nobody can be asked they stay untrusted."""
    from acp_agent.config.trust import trust_commands

    if not commands:
        return
    click.echo("runs would run these commands:", err=True)
    for command in commands:
        click.echo(f"  {one_line(command.key)}: {one_line(command.run)}", err=True)
    asked = sys.stdin.isatty() and sys.stderr.isatty()
    if yes or (asked and click.confirm("Trust them?", default=False, err=True)):
        trust_commands({file: commands}, state_dir(os.environ))
        click.echo("trusted", err=True)
    else:
        click.echo(f"not trusted yet; read them, then: acp trust {one_line(shown_path(file))}", err=True)
