"""`acp gc`: give back the room that nothing needs any more."""

import os
import time

import click

from acp_agent.domain.errors import ExitCode, UsageError
from acp_agent.surfaces.cli.formats import some
from acp_agent.surfaces.cli.grid import print_json
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.options import Duration, as_json
from acp_agent.surfaces.cli.text import one_line

DAY = 86_400.0


@click.command(cls=Command)
@click.option(
    "--older-than", type=Duration(), default="30d", show_default=True, help="What nobody touched for so long."
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@as_json
def gc(older_than: float, dry_run: bool, output: str) -> int:
    """Remove contents kept for undo, snapshots, private homes and leftovers that are old, and compact the database.

    The record stays whole, and so does every worktree.
    """
    from acp_agent.fleet.collecting import collect

    if older_than < DAY:
        raise UsageError("--older-than: at least 1d", hint="what is younger may be in use")
    done = collect(os.environ, time.time(), older_than / DAY, dry_run=dry_run)
    if output == "json":
        garbage = [{"what": one.what, "path": str(one.path), "bytes": one.size} for one in done.garbage]
        database = {"compacted": done.compacted, "before": done.before, "after": done.after}
        print_json({"v": 1, "dry_run": dry_run, "removed": garbage, "database": database})
        return int(ExitCode.OK)
    kinds: dict[str, list[int]] = {}
    for one in done.garbage:
        kinds.setdefault(one.what, []).append(one.size)
    for what, sizes in kinds.items():
        click.echo(f"{_megabytes(sum(sizes)):>10}  {len(sizes)} x {one_line(what)}")
    total = _megabytes(sum(one.size for one in done.garbage))
    click.echo(f"{total:>10}  {'would be' if dry_run else 'was'} removed in {some(len(done.garbage), 'place')}")
    if not (done.compacted or dry_run):
        click.echo("the database is in use and was not compacted: try again when nothing runs", err=True)
    elif done.before is not None and done.after is not None and not dry_run:
        click.echo(f"database: {_megabytes(done.before)} before, {_megabytes(done.after)} now")
    return int(ExitCode.OK)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
