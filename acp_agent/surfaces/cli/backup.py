"""`acp backup` and `acp restore`: the whole store as one file, and back."""

import os
import sys
import time
from pathlib import Path

import click

from acp_agent import __version__
from acp_agent.config.paths import database_path
from acp_agent.domain.errors import ExitCode, Refused, UsageError
from acp_agent.surfaces.cli.formats import some
from acp_agent.surfaces.cli.grid import print_json
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.options import as_json
from acp_agent.surfaces.cli.text import one_line


@click.command(cls=Command)
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False))
@as_json
def backup(file: str, output: str) -> int:
    """Write the whole store to FILE, while runs may be working: the record, contents for undo, what is trusted.

    Worktrees, the homes of sandboxes and tokens are not in it. FILE is yours alone (mode 0600): it holds what the
    record holds.
    """
    from acp_agent.store.backup import back_up

    _require_sqlite("pg_dump")
    made = back_up(database_path(os.environ), Path(file).absolute(), __version__)
    if output == "json":
        print_json({"v": 1, "file": file, "events": made.events, "anchor": str(made.head), "made": made.made})
    else:
        size = os.path.getsize(file) / 1e6
        click.echo(f"backed up: {some(made.events, 'event')}, {size:.1f} MB: {one_line(file)}\nanchor: {made.head}")
    return int(ExitCode.OK)


@click.command(cls=Command)
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False))
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
def restore(file: str, yes: bool, output: str) -> int:
    """Put a backup in the place of the store; what is there now is moved aside, into a folder beside it.

    The backup is checked first, its chain of digests too. Runs that were not over stand where they stood then: what
    they did since is not on record, so look before you resume them.
    """
    from acp_agent.store.backup import manifest_of
    from acp_agent.store.backup import restore as put_back

    _require_sqlite("pg_restore")
    archive, database = Path(file).absolute(), database_path(os.environ)
    told = manifest_of(archive)
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(told.made))
    if database.exists() and not yes:
        if not sys.stdin.isatty():
            raise Refused(f"this would replace the store in {database.parent} by that of {made}", hint="say --yes")
        if not click.confirm(f"Replace the store in {database.parent} by that of {made}?", default=False, err=True):
            raise Refused("nothing was restored")
    done = put_back(archive, database)
    aside = None if done.aside is None else str(done.aside)
    if output == "json":
        head = str(done.manifest.head)
        about = {"events": done.manifest.events, "anchor": head, "open_runs": done.open_runs, "before": aside}
        print_json({"v": 1, "made": done.manifest.made, **about})
        return int(ExitCode.OK)
    click.echo(f"restored: {some(done.manifest.events, 'event')} of {made}\nanchor: {done.manifest.head}")
    if aside:
        click.echo(f"what was there before: {one_line(aside)}", err=True)
    if done.open_runs:
        what = f"{some(done.open_runs, 'run')} not over then; what they did since is not on record"
        click.echo(f"{what}: acp ps, then acp resume or acp cancel", err=True)
    return int(ExitCode.OK)


def _require_sqlite(instead: str) -> None:
    if os.environ.get("ACP_DATABASE_URL"):
        raise UsageError("ACP_DATABASE_URL: the store is a PostgreSQL database", hint=f"use {instead}")
