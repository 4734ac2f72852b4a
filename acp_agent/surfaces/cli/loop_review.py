"""Loops in the commands that batches have too (show, logs, diff, accept, reject, cancel, resume); pause and steer."""

import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from acp_agent.domain.errors import ExitCode, UsageError
from acp_agent.surfaces.cli import complete
from acp_agent.surfaces.cli.document import event_document
from acp_agent.surfaces.cli.formats import clock
from acp_agent.surfaces.cli.grid import indented, print_json, to_json
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.loop_report import loop_document, report
from acp_agent.surfaces.cli.phrases import phrase
from acp_agent.surfaces.cli.records import EVERY, Records, open_records
from acp_agent.surfaces.cli.text import one_line

if TYPE_CHECKING:
    from acp_agent.loops.loops import Loops
    from acp_agent.store.reads import LoopRow

POLL = 0.25
"""Seconds between two looks at the store."""


def loop_meant(name: str | None) -> "LoopRow | None":
    """The loop that `name` means, if it means one."""
    return open_records(os.environ).loop(name) if name else None


def is_fleet(loop_id: str) -> bool:
    """Whether a loop on record is one over several projects."""
    from acp_agent.config.paths import database_location
    from acp_agent.store.reads import Reads

    with Reads(database_location(os.environ)) as reads:
        first = next(iter(reads.events(loop_id)), None)
    return first is not None and first.type == "fleet_started"


def show_loop(row: "LoopRow", output: str, rotation: int | None) -> int:
    """The report of a loop, its document, or what one of its sessions was told at its beginning."""
    if is_fleet(row.id):
        return _show_fleet(row.id, output)
    view = open_records(os.environ).loop_view(row.id)
    if rotation is not None:
        found = next((each for each in view.rotations if each.number == rotation), None)
        if found is None:
            raise UsageError(f"{row.id} has no rotation {rotation}", hint=f"it has {len(view.rotations)}")
        click.echo(found.handover or "(the first session: it was told the prompt alone)")
    elif output == "json":
        print_json(loop_document(view))
    else:
        click.echo(report(view, sys.stdout, interrupted=not row.driven))
        if view.rotations and view.rotations[-1].handover:
            click.echo(f"\nthe hand-over that session {len(view.rotations)} began with:")
            click.echo(indented(view.rotations[-1].handover))
    return int(ExitCode.OK)


def _show_fleet(loop_id: str, output: str) -> int:
    import anyio

    async def run() -> int:
        from acp_agent.app import open_app
        from acp_agent.surfaces.cli.loop_fleet import show_fleet

        async with open_app(os.environ, Path.cwd()) as app:
            return await show_fleet(app, loop_id, output, sys.stdout)

    return anyio.run(run)


def log_loop(row: "LoopRow", follow: bool, output: str) -> int:
    """What happened to a loop and its runs, one line per event."""
    records = open_records(os.environ)
    seen: dict[str, int] = {row.id: 0}
    while True:
        over = not follow or not _is_driven(records, row.id)
        for run_id in _runs_of(row.id):
            seen.setdefault(run_id, 0)
        for record in records.records_after(seen):
            seen[record.stream_id] = max(seen[record.stream_id], record.seq)
            if output == "jsonl":
                click.echo(to_json(event_document(*record[:3], row.project, record.data)))
            else:
                indent = "" if record.stream_id == row.id else "  "
                click.echo(f"{clock(record.ts)} {one_line(row.name)}  {indent}{phrase(record.data)}")
        if over:
            return int(ExitCode.OK)
        sys.stdout.flush()
        time.sleep(POLL)


def _runs_of(loop_id: str) -> list[str]:
    from acp_agent.config.paths import database_location
    from acp_agent.store.reads import Reads

    with Reads(database_location(os.environ)) as reads:
        return [run.id for run in reads.runs(batch_id=loop_id, limit=EVERY)]


def _is_driven(records: Records, loop_id: str) -> bool:
    row = records.loop(loop_id)
    return row is not None and row.driven


def with_loops(act: "Callable[[Loops], Awaitable[str]]") -> int:
    """Do one thing with the loops of this store and say what came of it."""
    import anyio

    async def run() -> str:
        from acp_agent.app import open_app

        async with open_app(os.environ, Path.cwd()) as app:
            return await act(app.loops())

    if said := anyio.run(run):
        click.echo(said)
    return int(ExitCode.OK)


def accept_loop(row: "LoopRow") -> int:
    """Merge all that a loop accepted."""

    async def act(loops: "Loops") -> str:
        return f"{row.id}: accepted, now at {(await loops.accept(row.id))[:12]}"

    return with_loops(act)


def reject_loop(row: "LoopRow", note: str) -> int:
    """Put all that a loop accepted aside."""

    async def act(loops: "Loops") -> str:
        kept = await loops.reject(row.id, note)
        return f"{row.id}: rejected" + (f", kept under {kept}" if kept else "")

    return with_loops(act)


def cancel_loop(row: "LoopRow", note: str, after: bool) -> int:
    """End a loop, now or after the iteration under way."""

    async def act(loops: "Loops") -> str:
        await loops.stop(row.id, now=not after, note=note)
        return f"{row.id}: {'ends after its iteration' if after and row.driven else 'cancelled'}"

    return with_loops(act)


def resume_loop(row: "LoopRow", output: str, out: str | None) -> int:
    """Go on with a loop, as `acp loop NAME` does."""
    import anyio

    from acp_agent.loops.resolve import LoopAsk
    from acp_agent.surfaces.cli.loop_run import Way, run_loop

    ask = LoopAsk(name=row.name, projects_file=row.place)
    return anyio.run(run_loop, ask, Way(output, out))


def _loop_of(name: str) -> "LoopRow":
    row = loop_meant(name)
    if row is None:
        raise UsageError(f"there is no loop {one_line(name)!r}", hint="acp ps lists them")
    return row


@click.command(cls=Command)
@click.argument("name", metavar="LOOP", shell_complete=complete.ids)
@click.option("-m", "--note", default="", metavar="WHY", help="Why, for the record.")
def pause(name: str, note: str) -> int:
    """Let a loop end its iteration and begin no other; `acp loop NAME` goes on with it."""
    row = _loop_of(name)

    async def act(loops: "Loops") -> str:
        await loops.pause(row.id, note)
        return f"{row.id}: {'pauses after its iteration' if row.driven else 'paused'}"

    return with_loops(act)


@click.command(cls=Command)
@click.argument("name", metavar="LOOP", shell_complete=complete.ids)
@click.argument("text", nargs=-1, required=True, metavar="TEXT")
def steer(name: str, text: tuple[str, ...]) -> int:
    """Tell a loop something: its next iteration is told, and one that had run dry may be started again."""
    row = _loop_of(name)

    async def act(loops: "Loops") -> str:
        await loops.steer(row.id, " ".join(text))
        then = "the next iteration is told" if row.driven else f"go on with: acp loop {one_line(row.name)}"
        return f"{row.id}: {then}"

    return with_loops(act)
