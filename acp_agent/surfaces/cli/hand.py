"""`acp take` and `acp give`: work in the workplace of a run yourself, then let the run go on."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from acp_agent.config.person import person_name
from acp_agent.domain.errors import ExitCode, UsageError
from acp_agent.surfaces.cli import complete, options
from acp_agent.surfaces.cli.formats import changes, some
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.records import Found, open_records
from acp_agent.surfaces.cli.report import reference
from acp_agent.surfaces.cli.text import one_line

if TYPE_CHECKING:
    from acp_agent.fleet.view import Row


@click.command(cls=Command)
@click.argument("name", metavar="ID[/PROJECT]", shell_complete=complete.ids)
@click.option("-m", "--note", default="", metavar="WHY", help="Why, for the record.")
def take(name: str, note: str) -> int:
    """Pause a run of a batch and have its workplace for yourself; acp give lets it go on.

    What it does right now ends by itself, and is waited for. The directory is printed on stdout.
    """
    import anyio

    return anyio.run(_take, name, note)


async def _take(name: str, note: str) -> int:
    from acp_agent.app import open_app

    found, row = _one(name)
    async with open_app(os.environ, Path.cwd()) as app:
        path = await app.handing.take(row.run_id, note, f"cli:{person_name()}")
    click.echo(path)
    shown = one_line(reference(found.batch_id, row))
    click.echo(f"{shown} is paused and its workplace is yours; it goes on with: acp give {shown}", err=True)
    return int(ExitCode.OK)


@click.command(cls=Command)
@click.argument("name", metavar="ID[/PROJECT]", shell_complete=complete.ids)
@click.option("-m", "--note", default="", metavar="TEXT", help="A word for the model and the record.")
@click.option("--no-resume", is_flag=True, help="Only give it back; acp resume goes on later.")
@options.jobs
@options.output
def give(name: str, note: str, no_resume: bool, jobs: int, output: str, out: str | None) -> int:
    """Give a workplace back that acp take took: what you changed is recorded, the model is told, the run goes on."""
    import anyio

    return anyio.run(_give, name, note, no_resume, (output, out, jobs))


async def _give(name: str, note: str, no_resume: bool, how: tuple[str, str | None, int]) -> int:
    from acp_agent.app import open_app
    from acp_agent.surfaces.cli.outcome import Form, Work, result_stream

    found, row = _one(name)
    async with open_app(os.environ, Path.cwd()) as app:
        fact = await app.handing.give(row.run_id, note, f"cli:{person_name()}")
        lines = changes(fact.files, fact.added, fact.removed)
        told = fact.unknown or f"{some(fact.files, 'file')} changed {lines}".rstrip()
        click.echo(f"{one_line(reference(found.batch_id, row))}: given back: {one_line(told)}", err=True)
        records = open_records(os.environ)
        if no_resume or any(run.driven for run in records.find(found.batch_id).runs.values()):
            return int(ExitCode.OK)
        form = Form(*how)
        with result_stream(form.out) as stream:
            return await Work(app, records, form, stream).carry_out([records.view(found.batch_id)])


def _one(name: str) -> "tuple[Found, Row]":
    found = open_records(os.environ).find(name)
    rows = found.rows()
    if len(rows) != 1:
        raise UsageError(f"{one_line(name)} has {some(len(rows), 'run')}", hint=f"name one: {one_line(name)}/PROJECT")
    return found, rows[0]
