"""`acp approve`: answer what a run waits for; the answer is a fact, so it holds whoever drives the run."""

import os
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from acp_agent.config.paths import database_location
from acp_agent.config.person import person_name
from acp_agent.domain.errors import ExitCode, NothingSelected, Refused, UsageError
from acp_agent.fleet.view import Row
from acp_agent.store.reads import Reads
from acp_agent.surfaces.cli import complete, options
from acp_agent.surfaces.cli.formats import age
from acp_agent.surfaces.cli.grid import Grid, is_terminal, names_of, painted
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.records import Found, Records, is_turn, open_records
from acp_agent.surfaces.cli.report import ANSWERABLE, answer_command, question, reference
from acp_agent.surfaces.cli.text import one_line

if TYPE_CHECKING:
    from acp_agent.app import App
    from acp_agent.domain.events import Decision


RETRYABLE = frozenset({"crash_loop", "outcome_unknown", "budget"})
"""What a run waits for that `acp retry` answers."""


@click.command(cls=Command)
@click.argument("names", metavar="[ID[/PROJECT]]...", nargs=-1, shell_complete=complete.ids)
@click.option("--deny", "decision", flag_value="deny", help="Refuse the call; the model is told and goes on.")
@click.option("--done", "decision", flag_value="done", help="Outcome unknown: it did happen.")
@click.option("--retry", "decision", flag_value="retry", help="Outcome unknown: do it again.")
@click.option("--skip", "decision", flag_value="skip", help="Outcome unknown: it did not happen; go on without it.")
@click.option("--answer", "reply", metavar="TEXT", help="A question: answer it, in words or by the number of a choice.")
@click.option("--always", is_flag=True, help="Allow such calls of that role in that project from now on, too.")
@click.option("--list", "listing", is_flag=True, help="List what waits for an answer, and what is allowed always.")
@click.option("--revoke", metavar="NAME", help="Take back what is allowed always under that name; see --list.")
@click.option("-m", "--note", default="", metavar="TEXT", help="A word for the model and the record.")
@click.option("--no-resume", is_flag=True, help="Only record the answer; acp resume goes on later.")
@options.jobs
@options.output
def approve(
    names: tuple[str, ...],
    decision: "Decision | None",
    reply: str | None,
    always: bool,
    listing: bool,
    revoke: str | None,
    note: str,
    no_resume: bool,
    jobs: int,
    output: str,
    out: str | None,
) -> int:
    """Allow the one call a run waits for (or --deny it), or --answer its question, then go on as `acp resume` does.

    `acp show ID/PROJECT` shows what the call would change.
    """
    if always and decision is not None:
        raise UsageError("--always allows: it cannot stand beside another answer")
    if reply is not None and (always or decision is not None):
        raise UsageError("--answer answers a question: it cannot stand beside another answer")
    import anyio

    if revoke is not None:
        return anyio.run(_revoke, revoke)
    records = open_records(os.environ)
    if listing:
        code = _list([pair for found in _meant(records, names) for pair in _waiting(found)])
        _list_allowed()
        return code
    chosen = [_only(records, name) for name in names] if names else [_only(records, None)]
    answers = [(found, row, _fitting(found, row, decision, reply)) for found, row in chosen]
    return anyio.run(_answer, answers, note, always, no_resume, (output, out, jobs))


@click.command(cls=Command)
@click.argument("names", metavar="[ID[/PROJECT]]...", nargs=-1, shell_complete=complete.ids)
@click.option("-m", "--note", default="", metavar="TEXT", help="A word for the record.")
@click.option("--no-resume", is_flag=True, help="Only record it; acp resume goes on later.")
@options.jobs
@options.output
def retry(names: tuple[str, ...], note: str, no_resume: bool, jobs: int, output: str, out: str | None) -> int:
    """Try again what waits: a run that killed whoever drove it, a call whose outcome nobody knows, a used-up budget."""
    import anyio

    records = open_records(os.environ)
    chosen = [_only(records, name, RETRYABLE) for name in names or (None,)]
    answers: list[tuple[Found, Row, Decision]] = [(found, row, "retry") for found, row in chosen]
    return anyio.run(_answer, answers, note, False, no_resume, (output, out, jobs))


def _meant(records: Records, names: Sequence[str]) -> list[Found]:
    return [records.find(name) for name in names] if names else records.waiting()


def _waiting(found: Found) -> list[tuple[Found, Row]]:
    return [(found, row) for row in found.rows() if row.waiting_for in ANSWERABLE]


@dataclass(frozen=True, slots=True)
class Words:
    """The answer to a question."""

    text: str


def _fitting(found: Found, row: Row, decision: "Decision | None", reply: str | None) -> "Decision | Words":
    """The answer, where it is one to what the run waits for."""
    name, asks = reference(found.batch_id, row), row.waiting_for == "answer"
    if asks and reply is None:
        what = f"--{decision} is no answer" if decision else "it wants an answer in words"
        raise UsageError(f"{name} asks: {question(row)}: {what}", hint=answer_command(found.batch_id, row))
    if not asks and reply is not None:
        raise UsageError(f"{name} asks no question", hint=answer_command(found.batch_id, row))
    return Words(reply) if reply is not None else decision or _usual_answer(found, row)


def _usual_answer(found: Found, row: Row) -> "Decision":
    answer = ANSWERABLE[row.waiting_for or ""]
    if answer is None and row.waiting_for == "crash_loop":
        raise UsageError(
            f"{reference(found.batch_id, row)} killed whoever drove it: {row.message}",
            hint=f"mend what does that, then: acp retry {reference(found.batch_id, row)}",
        )
    if answer is None:
        raise UsageError(
            f"{reference(found.batch_id, row)}: nobody knows whether it happened: {row.message}",
            hint="look, then answer with --done, --retry or --skip",
        )
    return answer


def _list(waiting: list[tuple[Found, Row]]) -> int:
    if not waiting:
        click.echo("nothing waits for an answer", err=True)
        return int(ExitCode.OK)
    now = time.time()
    rows = tuple(
        (
            reference(found.batch_id, row),
            row.waiting_for or "",
            question(row),
            age(found.runs[row.run_id].updated_at, now),
            answer_command(found.batch_id, row),
        )
        for found, row in waiting
    )
    grid = Grid(("run", "waits for", "question", "since", "answer with"), rows)
    click.echo(painted(grid, terminal=is_terminal(sys.stdout)))
    return int(ExitCode.OK)


def _only(records: Records, name: str | None, kinds: Collection[str] = ANSWERABLE) -> tuple[Found, Row]:
    """The one run that waits for something of `kinds`, of those that `name` means or of all."""
    meant = _meant(records, (name,) if name else ())
    waiting = [pair for found in meant for pair in _waiting(found) if pair[1].waiting_for in kinds]
    if not waiting:
        where = f"{one_line(name)} waits for no answer" if name else "nothing waits for an answer"
        if kinds is RETRYABLE:
            where = f"{one_line(name)} waits for no further try" if name else "nothing waits for a further try"
        raise NothingSelected(where, hint=f"acp show {one_line(name)}" if name else "acp ps")
    if len(waiting) > 1:
        choices = [reference(found.batch_id, row) for found, row in waiting]
        hint = f"acp approve --list, then name each that you have seen: acp approve {' '.join(choices[:2])}"
        raise UsageError(f"{len(waiting)} runs wait for an answer: {names_of(choices, 5)}", hint=hint)
    return waiting[0]


def _list_allowed() -> None:
    """What is allowed always, as lists show it; the name is what --revoke takes."""
    from acp_agent.domain.always import STREAM, in_force
    from acp_agent.domain.events import fact_of

    with Reads(database_location(os.environ)) as reads:
        rows = reads.events(STREAM)
    allowed = in_force(fact_of(row.data) for row in rows)
    if allowed:
        grid = Grid(("allowed always", "role", "project"), tuple((one.name, one.role, one.root) for one in allowed))
        click.echo(painted(grid, terminal=is_terminal(sys.stdout)))


async def _revoke(name: str) -> int:
    from acp_agent.app import open_app

    async with open_app(os.environ, Path.cwd()) as app:
        revoked = await app.allowances.revoke(name, None, actor())
    if not revoked:
        raise NothingSelected(f"nothing is allowed always under the name {one_line(name)}", hint="acp approve --list")
    for one in revoked:
        click.echo(f"revoked: {one_line(one.name)} (role {one.role}, {one_line(one.root)})", err=True)
    return int(ExitCode.OK)


def actor() -> str:
    """Who answers: the user of this machine. Nobody proves it; whoever can write the record can write any name."""
    return f"cli:{person_name()}"


async def _allow_always(app: "App", run_id: str) -> None:
    """Put on record what "always" means for the call that a run asks about."""
    from acp_agent.domain.always import allowance_of

    state = await app.runner.state(run_id)
    asked, request = state.asked, state.request
    allowed = None
    if asked is not None and request is not None:
        root = request.workplace.root
        allowed = allowance_of(asked.tool, asked.name, asked.patterns, request.role, root)
    if allowed is None:
        raise UsageError(f"{run_id}: this call cannot be allowed always, only once", hint="leave out --always")
    await app.allowances.add(allowed, actor())
    click.echo(f"allowed always: {one_line(allowed.name)}", err=True)


async def _recorded(app: "App", row: Row, answer: "Decision | Words", note: str) -> str:
    """Put one answer on record; returns it in a word."""
    call_id = row.asked[0] if row.asked else None
    if isinstance(answer, Words):
        fact = await app.runner.reply(app.engine, row.run_id, answer.text, call_id=call_id, actor=actor())
        return f"{fact.by} answers {fact.text or 'nothing'}"
    await app.batches.answer(row.run_id, answer, call_id=call_id, note=note, binding=row.binding, actor=actor())
    return answer


def _driven_as(found: Found) -> str | None:
    """The batch, or the run of a conversation, that goes on once it has its answer; None for an attempt of a loop."""
    run = next(iter(found.runs.values()))
    return found.batch_id or (run.id if is_turn(run) else None)


async def _is_held(app: "App", found: Found) -> bool:
    """Whether another process has the conversation, with a person in front of it or not."""
    if found.batch_id:
        return False
    try:
        async with app.engine.hold(next(iter(found.runs.values())).session_id):
            return False
    except Refused:
        return True


async def _answer(
    answers: "Sequence[tuple[Found, Row, Decision | Words]]",
    note: str,
    always: bool,
    no_resume: bool,
    how: tuple[str, str | None, int],
) -> int:
    from acp_agent.app import open_app
    from acp_agent.surfaces.cli.outcome import Form, Work, result_stream

    async with open_app(os.environ, Path.cwd()) as app:
        for found, row, answer in answers:
            if always:
                await _allow_always(app, row.run_id)
            told = await _recorded(app, row, answer, note)
            click.echo(f"{one_line(reference(found.batch_id, row))}: {one_line(told)}: {question(row)}", err=True)
        records = open_records(os.environ)
        ours = []
        for name in dict.fromkeys(_driven_as(found) for found, _, _ in answers):
            if name is None:
                continue
            meant = records.find(name)
            if no_resume:
                click.echo(f"continue with: acp resume {name}", err=True)
            elif any(run.driven for run in meant.runs.values()) or await _is_held(app, meant):
                click.echo(f"the process that works on {name} goes on with it: acp logs -f {name}", err=True)
            else:
                ours.append(meant.view)
        if not ours:
            return int(ExitCode.OK)
        form = Form(*how)
        with result_stream(form.out) as stream:
            return await Work(app, records, form, stream).carry_out(ours)
