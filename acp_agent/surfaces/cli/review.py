"""`acp diff`, `acp accept` and `acp reject`: what a person does with results."""

import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from acp_agent.domain.errors import AcpAgentError, ExitCode, NothingSelected
from acp_agent.surfaces.cli import complete
from acp_agent.surfaces.cli.entry import complain
from acp_agent.surfaces.cli.grid import is_terminal
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.records import Found, open_records
from acp_agent.surfaces.cli.report import reference
from acp_agent.surfaces.cli.text import one_line, plain

if TYPE_CHECKING:
    from acp_agent.app import App
    from acp_agent.fleet.view import Row

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.command(cls=Command)
@click.argument("name", metavar="ID[/PROJECT]", shell_complete=complete.ids)
@click.option("--stat", is_flag=True, help="Only the files and how many lines.")
def diff(name: str, stat: bool) -> int:
    """Print the changes a run made, as a patch; of a batch those of all its projects."""
    import anyio

    return anyio.run(_diff, open_records(os.environ).find(name).rows(), stat)


async def _diff(rows: Sequence["Row"], stat: bool) -> int:
    from acp_agent.app import open_app

    async with open_app(os.environ, Path.cwd()) as app:
        for row in rows:
            text = await app.batches.diff(row.run_id, stat=stat)
            if text and len(rows) > 1:
                click.echo(f"# {one_line(row.project)} ({row.run_id})")
            _print_patch(text)
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

    Of a batch those that succeeded; a run named by itself also when it failed. A conflict changes nothing.
    """
    import anyio

    return anyio.run(_accept, names)


async def _accept(names: Sequence[str]) -> int:
    def wanted(found: Found) -> list["Row"]:
        rows = [row for row in found.rows() if row.commit and row.landed is None]
        return rows if found.run_id else [row for row in rows if row.outcome == "ok"]

    async def merge(app: "App", row: "Row") -> str:
        head = await app.batches.accept(row.run_id)
        return f"accepted, now at {head[:12]}"

    return await _each(names, wanted, merge, "accept")


@click.command(cls=Command)
@click.argument("names", metavar="ID[/PROJECT]...", nargs=-1, required=True, shell_complete=complete.ids)
@click.option("-m", "--note", default="", metavar="WHY", help="Why, for the record.")
def reject(names: tuple[str, ...], note: str) -> int:
    """Refuse results: branch and worktree go, the commits are kept under refs/acp/rejected/."""
    import anyio

    return anyio.run(_reject, names, note)


async def _reject(names: Sequence[str], note: str) -> int:
    def wanted(found: Found) -> list["Row"]:
        return [row for row in found.rows() if row.landed is None and row.status == "ended"]

    async def refuse(app: "App", row: "Row") -> str:
        await app.batches.reject(row.run_id, note=note)
        return "rejected"

    return await _each(names, wanted, refuse, "reject")


async def _each(
    names: Sequence[str],
    wanted: Callable[[Found], list["Row"]],
    act: Callable[["App", "Row"], Awaitable[str]],
    verb: str,
) -> int:
    """Do `act` to every wanted run of `names`; one that fails stops no other. Returns the first failure's code."""
    records = open_records(os.environ)
    chosen = {row.run_id: (found, row) for found in map(records.find, names) for row in wanted(found)}
    if not chosen:
        shown = ", ".join(map(one_line, names))
        raise NothingSelected(f"nothing to {verb} in {shown}", hint=f"acp show {one_line(names[0])}")
    from acp_agent.app import open_app

    code = int(ExitCode.OK)
    async with open_app(os.environ, Path.cwd()) as app:
        for found, row in chosen.values():
            name = reference(found.batch_id, row)
            try:
                click.echo(f"{one_line(name)}: {await act(app, row)}")
            except AcpAgentError as error:
                failed = complain(f"{name}: {error.what}", error.hint, error.exit_code)
                code = code or failed
    return code
