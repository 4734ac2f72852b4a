"""`acp diff`, `acp accept` and `acp reject`: what a person does with results."""

import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from acp_agent.domain.errors import AcpAgentError, ExitCode, NothingSelected, Refused
from acp_agent.surfaces.cli import complete
from acp_agent.surfaces.cli.entry import complain
from acp_agent.surfaces.cli.grid import is_terminal
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.loop_review import accept_loop, loop_meant, reject_loop
from acp_agent.surfaces.cli.records import Found, open_records
from acp_agent.surfaces.cli.report import answer_command, reference
from acp_agent.surfaces.cli.show import status_of
from acp_agent.surfaces.cli.text import one_line, plain

if TYPE_CHECKING:
    from acp_agent.app import App
    from acp_agent.fleet.view import Row

UNCOMMITTED = "in no commit yet"
UNCHANGED = "nothing changed"
_COMMITTED = frozenset({"ok", "failed", "limit", "cancelled"})
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.command(cls=Command)
@click.argument("name", metavar="[ID[/PROJECT]]", required=False, shell_complete=complete.ids)
@click.option("--stat", is_flag=True, help="Only the files and how many lines.")
def diff(name: str | None, stat: bool) -> int:
    """Print the changes a run made, as a patch; of a batch (without ID the newest) those of all its projects.

    Of a loop all that it accepted so far.
    """
    import anyio

    if (row := loop_meant(name)) is not None:
        return anyio.run(_diff_of_loop, row.id, stat)
    return anyio.run(_diff, open_records(os.environ).meant(name), stat)


async def _diff(found: Found, stat: bool) -> int:
    from acp_agent.app import open_app

    rows = found.rows()
    code, patches = int(ExitCode.OK), 0
    async with open_app(os.environ, Path.cwd()) as app:
        for row in rows:
            try:
                text = await app.batches.diff(row.run_id, stat=stat)
            except AcpAgentError as error:
                failed = complain(f"{reference(found.batch_id, row)}: {error.what}", error.hint, error.exit_code)
                code = code or failed
                continue
            if text and len(rows) > 1:
                click.echo(f"# {one_line(row.project)} ({row.run_id})")
            patches += bool(text)
            _print_patch(text)
    if not patches and not code:
        click.echo("nothing changed", err=True)
    return code


async def _diff_of_loop(loop_id: str, stat: bool) -> int:
    from acp_agent.app import open_app

    async with open_app(os.environ, Path.cwd()) as app:
        text = await app.loops().diff(loop_id, stat)
    _print_patch(text)
    if not text:
        click.echo("nothing changed", err=True)
    return int(ExitCode.OK)


def _print_patch(text: str) -> None:
    """Byte for byte into a pipe, where `git apply` may read it; harmless and coloured on a terminal."""
    if not is_terminal(sys.stdout):
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
        return
    colours = not os.environ.get("NO_COLOR")
    for line in text.splitlines():
        header = line.startswith(("+++", "---"))
        style = None if header or not colours else _COLOURS.get(line[:1])
        click.echo(click.style(plain(line), fg=style, bold=header and colours))


@click.command(cls=Command)
@click.argument("names", metavar="ID[/PROJECT]...", nargs=-1, required=True, shell_complete=complete.ids)
def accept(names: tuple[str, ...]) -> int:
    """Merge results into the branches they started from.

    Of a batch those that succeeded; a run named by itself also when it failed; of a loop all that it accepted. A
    conflict changes nothing.
    """
    import anyio

    if len(names) == 1 and (row := loop_meant(names[0])) is not None:
        return accept_loop(row)
    return anyio.run(_accept, names)


async def _accept(names: Sequence[str]) -> int:
    async def merge(app: "App", row: "Row") -> str:
        head = await app.batches.accept(row.run_id)
        return f"accepted, now at {head[:12]}"

    return await _each(names, {"ok"}, merge, "accept")


@click.command(cls=Command)
@click.argument("names", metavar="ID[/PROJECT]...", nargs=-1, required=True, shell_complete=complete.ids)
@click.option("-m", "--note", default="", metavar="WHY", help="Why, for the record.")
def reject(names: tuple[str, ...], note: str) -> int:
    """Refuse results: branch and worktree go, the commits are kept under refs/acp/rejected/."""
    import anyio

    if len(names) == 1 and (row := loop_meant(names[0])) is not None:
        return reject_loop(row, note)
    return anyio.run(_reject, names, note)


async def _reject(names: Sequence[str], note: str) -> int:
    async def refuse(app: "App", row: "Row") -> str:
        kept = await app.batches.reject(row.run_id, note=note)
        return f"rejected, kept under {kept}" if kept else "rejected, it had changed nothing"

    return await _each(names, {*_COMMITTED, UNCOMMITTED}, refuse, "reject")


def _standing(found: Found, row: "Row") -> str:
    """Where the result of a run stands, in words; an outcome where it is a commit that waits for a person."""
    if row.status == "waiting":
        return f"waiting for {row.waiting_for}"
    if row.landed:
        return f"{row.landed} already"
    if row.status != "ended":
        return status_of(found, row)
    if row.commit:
        return row.outcome
    worktree = found.runs[row.run_id].worktree
    if worktree is None:
        return "done in place"
    return UNCOMMITTED if os.path.isdir(worktree) else UNCHANGED


async def _each(
    names: Sequence[str], wanted: Collection[str], act: Callable[["App", "Row"], Awaitable[str]], verb: str
) -> int:
    """Do `act` to every run of `names`: of a batch to those that stand as `wanted`, to one named by itself if it ended.

    One that fails stops no other. Returns the first failure's code.
    """
    records = open_records(os.environ)
    every = {row.run_id: (found, row) for found in map(records.find, names) for row in found.rows()}
    standing = {run_id: _standing(*pair) for run_id, pair in every.items()}
    left_out = [
        (found, row, standing[run_id])
        for run_id, (found, row) in every.items()
        if not (row.status == "ended" if found.run_id else standing[run_id] in wanted)
    ]
    if len(left_out) == len(every):
        raise _nothing(names, left_out, verb)
    from acp_agent.app import open_app

    code = int(ExitCode.OK)
    skipped = {row.run_id for _, row, _ in left_out}
    async with open_app(os.environ, Path.cwd()) as app:
        for found, row in (pair for run_id, pair in every.items() if run_id not in skipped):
            name = reference(found.batch_id, row)
            try:
                click.echo(f"{one_line(name)}: {await act(app, row)}")
            except AcpAgentError as error:
                failed = complain(f"{name}: {error.what}", error.hint, error.exit_code)
                code = code or failed
    for found, row, stands in left_out:
        if stands in _COMMITTED or stands == UNCOMMITTED or row.status != "ended":
            name = one_line(reference(found.batch_id, row))
            hint = f"; acp {verb} {name} takes it all the same" if stands in _COMMITTED else ""
            click.echo(f"{name}: left out: {stands}{hint}", err=True)
    return code


def _nothing(names: Sequence[str], left_out: "Sequence[tuple[Found, Row, str]]", verb: str) -> AcpAgentError:
    """The error where nothing can be done: how all stand, and what can be done instead."""
    counted = Counter(stands for _, _, stands in left_out)
    reasons = ", ".join(f"{number} {stands}" if len(left_out) > 1 else stands for stands, number in counted.items())
    what = f"nothing to {verb} in {', '.join(names)}: {reasons}"
    committed = [(found, row) for found, row, stands in left_out if stands in _COMMITTED]
    if committed:
        found, row = committed[0]
        return NothingSelected(what, hint=f"acp {verb} {reference(found.batch_id, row)} takes it all the same")
    alive = [(found, row) for found, row, _ in left_out if row.status != "ended"]
    if alive:
        return Refused(what, hint=_hint_for(*alive[0], verb))
    return NothingSelected(what, hint=f"acp show {names[0]}")


def _hint_for(found: Found, row: "Row", verb: str) -> str:
    """What to do about a run that has not ended."""
    name = reference(found.batch_id, row)
    if verb == "reject":
        return f"acp cancel {name} ends it"
    if row.status == "waiting":
        return answer_command(found.batch_id, row)
    return f"acp logs -f {name}" if found.runs[row.run_id].driven else f"acp resume {found.batch_id or name}"
