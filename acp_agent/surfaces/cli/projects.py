"""`acp projects`: list the projects, and check the file that names them."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from acp_agent.config.index import ProjectEntry
from acp_agent.config.paths import database_location, find_projects_file, shown_path, state_dir
from acp_agent.domain.errors import ExitCode
from acp_agent.store.reads import Reads
from acp_agent.surfaces.cli import listing, options
from acp_agent.surfaces.cli.columns import aligned
from acp_agent.surfaces.cli.formats import age, some
from acp_agent.surfaces.cli.glyphs import label, speaks_unicode
from acp_agent.surfaces.cli.grid import print_json, terminal_width
from acp_agent.surfaces.cli.group import Command, LazyGroup
from acp_agent.surfaces.cli.ps import state_of
from acp_agent.surfaces.cli.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from acp_agent.config.problem import Problem
    from acp_agent.store.reads import RunRow

_TABLE = {
    "ls": (__name__ + ":ls", "List projects: tags, directory, last run."),
    "check": (__name__ + ":check", "Check the file, the directories and the trust in its commands."),
}


@click.command(cls=LazyGroup, table=_TABLE, name="projects")
def projects() -> None:
    """List and check the projects of projects.toml."""


@click.command(cls=Command)
@options.selection
@options.projects_file
@options.as_json
def ls(**given: Any) -> int:
    """List projects: tags, directory, last run. Without a selection all of them."""
    found = listing.chosen(listing.entries(given["projects_file"]), given)
    latest = _latest()
    if given["output"] == "json":
        print_json({"v": 1, "projects": [_document(entry, latest.get(entry.name)) for entry in found]})
        return int(ExitCode.OK)
    if not found:
        click.echo("no projects: acp init finds repositories", err=True)
        return int(ExitCode.OK)
    unicode = speaks_unicode(sys.stdout)
    rows = [
        (entry.name, ",".join(entry.tags), _place(entry.path), _last(latest.get(entry.name), unicode))
        for entry in found
    ]
    click.echo(aligned(("project", "tags", "directory", "last run"), rows, width=terminal_width()))
    return int(ExitCode.OK)


@click.command(cls=Command)
@options.selection
@options.projects_file
def check(**given: Any) -> int:
    """Check the file, the directories of the selected projects (default: all), and the trust in its commands.

    All that is wrong is listed with its line and exits 2; commands that nobody trusted yet are listed and exit 6.
    """
    from acp_agent.config.projects import load_projects, problems
    from acp_agent.config.trust import untrusted
    from acp_agent.fleet.targets import bad_targets

    path = find_projects_file(Path.cwd(), given["projects_file"], os.environ)
    found = list(problems(path))
    if found:
        return _complain(found)
    file = load_projects(path)
    names = [entry.name for entry in listing.chosen(listing.entries(given["projects_file"]), given)]
    found = [*bad_targets(file), *file.place_problems(names)]
    if found:
        return _complain(found)
    shown = one_line(shown_path(path))
    unknown = untrusted(path, file.commands(), state_dir(os.environ))
    for command, state in unknown:
        click.echo(f"{shown}: {one_line(command.key)}: not trusted ({state}): {one_line(command.run)}")
    if unknown:
        click.echo(f"  hint: read them, then: acp trust {shown}")
        return int(ExitCode.REFUSED)
    click.echo(f"{shown}: {some(len(names), 'project')}, nothing wrong")
    return int(ExitCode.OK)


def _complain(found: "Sequence[Problem]") -> int:
    for problem in found:
        click.echo(one_line(str(problem)))
        if problem.hint:
            click.echo(f"  hint: {one_line(problem.hint)}")
    return int(ExitCode.USAGE)


def _latest() -> "dict[str, RunRow]":
    """The newest run of each project."""
    with Reads(database_location(os.environ)) as reads:
        runs = reads.runs(limit=2000)
    return {run.project: run for run in reversed(runs)}


def _place(path: Path) -> str:
    return shown_path(path) + ("" if path.is_dir() else " (missing)")


def _last(run: "RunRow | None", unicode: bool) -> str:
    return f"{label(state_of(run), unicode)} {age(run.updated_at, time.time())} ago, {run.id}" if run else ""


def _document(entry: ProjectEntry, run: "RunRow | None") -> dict[str, Any]:
    last = {"run": run.id, "batch": run.batch_id, "state": state_of(run), "updated_at": run.updated_at} if run else None
    return {
        "project": entry.name,
        "tags": list(entry.tags),
        "directory": str(entry.path),
        "exists": entry.path.is_dir(),
        "url": entry.url,
        "last": last,
    }
