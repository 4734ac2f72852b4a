"""`acp resume` and `acp cancel`: go on with interrupted work, or end it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from acp_agent.config.person import person_name
from acp_agent.domain.errors import AcpAgentError, ExitCode, NothingSelected, UsageError
from acp_agent.surfaces.cli import complete, options
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.loop_review import cancel_loop, loop_meant, resume_loop
from acp_agent.surfaces.cli.records import Found, Records, is_turn, open_records
from acp_agent.surfaces.cli.report import ANSWERABLE, answer_command, reference
from acp_agent.surfaces.cli.stop import lift
from acp_agent.surfaces.cli.text import one_line

if TYPE_CHECKING:
    from acp_agent.app import App
    from acp_agent.fleet.view import BatchView


@click.command(cls=Command)
@click.argument("name", metavar="[ID]", required=False, shell_complete=complete.ids)
@click.option("--all", "everything", is_flag=True, help="Lift what acp stop holds; then all interrupted batches.")
@options.jobs
@options.output
def resume(name: str | None, everything: bool, jobs: int, output: str, out: str | None) -> int:
    """Go on with interrupted work, where its record stands; without ID with the newest batch.

    ID is that of a batch, a loop, or a run: a turn of a conversation that was cut off goes on by its run.

    Nothing that was finished is done again. --all ends what acp stop --all began.
    """
    import anyio

    if name and everything:
        raise UsageError("ID and --all were both given", hint="give one of them")
    if (row := loop_meant(name)) is not None:
        return resume_loop(row, output, out)
    if not everything:
        return anyio.run(_resume, name, False, jobs, output, out)
    lifted = anyio.run(lift)
    try:
        return anyio.run(_resume, name, True, jobs, output, out)
    except NothingSelected:
        if not lifted:
            raise
        return int(ExitCode.OK)


async def _resume(name: str | None, everything: bool, jobs: int, output: str, out: str | None) -> int:
    records = open_records(os.environ)
    found = records.find(name) if name else None
    wanted = found.batch_id if found else None
    from acp_agent.app import open_app
    from acp_agent.surfaces.cli.outcome import Form, Work, result_stream

    async with open_app(os.environ, Path.cwd()) as app:
        await app.engine.lapse()
        if found is not None and not found.batch_id:
            turn = _turn_to_go_on_with(records, found)
            with result_stream(out) as stream:
                return await Work(app, records, Form(output, out, jobs), stream).carry_out([turn])
        await _try_budgets_again(app, records, wanted, everything)
        batches = await app.batches.unfinished(wanted, everything)
        if not batches:
            raise _nothing(name, records)
        views = [records.view(batch_id) for batch_id in batches]
        with result_stream(out) as stream:
            return await Work(app, records, Form(output, out, jobs), stream).carry_out(views)


def _turn_to_go_on_with(records: Records, found: Found) -> "BatchView":
    """A turn of a conversation that a process left, or that has its answer now."""
    run = next(iter(found.runs.values()))
    if not is_turn(run):
        what = f"{one_line(run.id)} is an attempt of a loop, not a run of a batch"
        raise UsageError(what, hint="acp loop ls")
    if run.status not in ("queued", "running"):
        raise _nothing(run.id, records)
    return found.view


async def _try_budgets_again(app: "App", records: Records, wanted: str | None, everything: bool) -> None:
    """Queue again what waits for a budget: whether there is room by now shows at its next call."""
    waiting = [(found.batch_id, row) for found in records.waiting() for row in found.rows()]
    due = [(batch_id, row) for batch_id, row in waiting if row.waiting_for == "budget" and batch_id]
    batches = {wanted} if wanted else {batch_id for batch_id, _ in (due if everything else due[:1])}
    for batch_id, row in due:
        if batch_id in batches:
            await app.batches.answer(row.run_id, "retry", actor=f"cli:{person_name()}")


def _nothing(name: str | None, records: Records) -> AcpAgentError:
    """The error where nothing can be driven on: runs that wait for a person are answered, not resumed."""
    found = [records.find(name)] if name else records.waiting()
    waiting = [(each, row) for each in found for row in each.rows() if row.waiting_for in ANSWERABLE]
    what = f"{one_line(name)} has nothing to go on with" if name else "nothing was interrupted"
    if waiting:
        number = "1 run waits" if len(waiting) == 1 else f"{len(waiting)} runs wait"
        each, row = waiting[0]
        hint = answer_command(each.batch_id, row) if len(waiting) == 1 else "acp approve --list"
        return AcpAgentError(f"{what}: {number} for your answer", hint=hint, exit_code=ExitCode.WAITS)
    return NothingSelected(what, hint=f"acp show {one_line(name)}" if name else "acp ps")


@click.command(cls=Command)
@click.argument("name", metavar="ID[/PROJECT]", shell_complete=complete.ids)
@click.option("-m", "--note", default="", metavar="WHY", help="Why, for the record.")
@click.option("--after-iteration", is_flag=True, help="Of a loop: let it end the iteration under way.")
def cancel(name: str, note: str, after_iteration: bool) -> int:
    """End a run, all of a batch, or a loop, wherever it is driven; what it did so far is kept."""
    import anyio

    if (row := loop_meant(name)) is not None:
        return cancel_loop(row, note, after_iteration)
    return anyio.run(_cancel, name, note)


async def _cancel(name: str, note: str) -> int:
    records = open_records(os.environ)
    found = records.find(name)
    rows = [row for row in found.rows() if row.status != "ended"]
    if not rows:
        raise NothingSelected(f"{one_line(name)} has ended already", hint=f"acp show {one_line(name)}")
    from acp_agent.app import open_app

    async with open_app(os.environ, Path.cwd()) as app:
        for row in rows:
            await app.batches.cancel(row.run_id, note=note)
        ended = {row.run_id for row in records.find(name).rows() if row.status == "ended"}
    for row in rows:
        # One that another process drives ends a moment later.
        click.echo(
            f"{one_line(reference(found.batch_id, row))}: {'cancelled' if row.run_id in ended else 'cancel asked'}"
        )
    return int(ExitCode.OK)
