"""`acp approve`: answer what a run waits for; the answer is a fact, so it holds whoever drives the run."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from acp_agent.domain.errors import ExitCode, NothingSelected, UsageError
from acp_agent.fleet.view import Row
from acp_agent.surfaces.cli import complete, options
from acp_agent.surfaces.cli.formats import age
from acp_agent.surfaces.cli.grid import Grid, is_terminal, painted
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.records import Found, open_records
from acp_agent.surfaces.cli.report import answer_command, reference
from acp_agent.surfaces.cli.text import one_line

if TYPE_CHECKING:
    from acp_agent.domain.events import Decision

ANSWERABLE: "dict[str, Decision | None]" = {"approval": "allow", "outcome_unknown": None, "crash_loop": "retry"}
"""What a person can answer, and the answer of a bare `acp approve`; whether an effect took place nobody can guess."""


@click.command(cls=Command)
@click.argument("name", metavar="[ID[/PROJECT]]", required=False, shell_complete=complete.ids)
@click.option("--deny", "decision", flag_value="deny", help="Refuse the call; the model is told and goes on.")
@click.option("--done", "decision", flag_value="done", help="Outcome unknown: it did happen.")
@click.option("--retry", "decision", flag_value="retry", help="Outcome unknown, or a crash loop: do it again.")
@click.option("--skip", "decision", flag_value="skip", help="Outcome unknown: it did not happen; go on without it.")
@click.option("--list", "listing", is_flag=True, help="List what waits for an answer.")
@click.option("-m", "--note", default="", metavar="TEXT", help="A word for the model and the record.")
@click.option("--no-resume", is_flag=True, help="Only record the answer; acp resume goes on later.")
@options.jobs
@options.output
def approve(
    name: str | None,
    decision: "Decision | None",
    listing: bool,
    note: str,
    no_resume: bool,
    jobs: int,
    output: str,
    out: str | None,
) -> int:
    """Allow the one call a run waits for (or --deny it), then go on with its batch as `acp resume` does."""
    records = open_records(os.environ)
    waiting = [
        (found, row)
        for found in ([records.find(name)] if name else records.waiting())
        for row in found.rows()
        if row.waiting_for in ANSWERABLE
    ]
    if listing:
        return _list(waiting)
    found, row = _only(waiting, name)
    answer = decision or ANSWERABLE[row.waiting_for or ""]
    if answer is None:
        raise UsageError(
            f"{reference(found.batch_id, row)}: nobody knows whether it happened: {row.message}",
            hint="look, then answer with --done, --retry or --skip",
        )
    import anyio

    return anyio.run(_answer, found, row, answer, note, no_resume, (output, out, jobs))


def _list(waiting: list[tuple[Found, Row]]) -> int:
    if not waiting:
        click.echo("nothing waits for an answer", err=True)
        return int(ExitCode.OK)
    now = time.time()
    rows = tuple(
        (
            reference(found.batch_id, row),
            row.waiting_for or "",
            _question(row),
            age(found.runs[row.run_id].updated_at, now),
            answer_command(found.batch_id, row),
        )
        for found, row in waiting
    )
    grid = Grid(("run", "waits for", "question", "since", "answer with"), rows)
    click.echo(painted(grid, terminal=is_terminal(sys.stdout)))
    return int(ExitCode.OK)


def _question(row: Row) -> str:
    return row.asked[1] if row.asked else row.message


def _only(waiting: list[tuple[Found, Row]], name: str | None) -> tuple[Found, Row]:
    if not waiting:
        where = f"{one_line(name)} waits for no answer" if name else "nothing waits for an answer"
        raise NothingSelected(where, hint=f"acp show {one_line(name)}" if name else "acp ps")
    if len(waiting) > 1:
        choices = ", ".join(reference(found.batch_id, row) for found, row in waiting)
        raise UsageError(f"{len(waiting)} runs wait for an answer: {choices}", hint="answer them one by one")
    return waiting[0]


async def _answer(
    found: Found, row: Row, answer: "Decision", note: str, no_resume: bool, how: tuple[str, str | None, int]
) -> int:
    from acp_agent.app import open_app
    from acp_agent.surfaces.cli.outcome import Form, Work, result_stream

    async with open_app(os.environ, Path.cwd()) as app:
        call_id = row.asked[0] if row.asked else None
        await app.batches.answer(row.run_id, answer, call_id=call_id, note=note)
        click.echo(f"{one_line(reference(found.batch_id, row))}: {answer}", err=True)
        if no_resume:
            click.echo(f"continue with: acp resume {found.batch_id}", err=True)
            return int(ExitCode.OK)
        form = Form(*how)
        records = open_records(os.environ)
        view = records.view(found.batch_id)
        with result_stream(form.out) as stream:
            return await Work(app, records, form, stream).carry_out([view])
