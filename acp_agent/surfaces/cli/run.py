"""`acp run`: one prompt to a directory or to many projects."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from acp_agent.config.paths import host_queue, is_queue
from acp_agent.domain.errors import ExitCode, Refused, UsageError
from acp_agent.fleet.ask import RunAsk
from acp_agent.fleet.select import Selection
from acp_agent.surfaces.cli import complete, options
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.prompt import prompt_of

if TYPE_CHECKING:
    from acp_agent.app import App
    from acp_agent.fleet.plan import Plan

EXAMPLES = """\b
Examples:
  acp run "add type hints" --tags=python
  acp run "which dependencies are outdated?" --all --read-only --schema 'outdated: list[str]'
  acp run -f task.md ../api --max-cost 0.50
  acp run @outdated --plan"""

limits = options.stacked(
    click.option("--read-only", is_flag=True, help="Offer no tool that edits or runs anything."),
    click.option(
        "--schema", metavar="FILE|TEXT", help="Every answer fits it: a JSON Schema, or 'kind: a|b, files: int'."
    ),
    click.option("--max-steps", type=click.IntRange(min=1), metavar="N", help="Model calls per project."),
    click.option("--max-cost", type=options.Money(), metavar="USD", help="Money for the whole batch."),
    click.option("--max-cost-each", type=options.Money(), metavar="USD", help="Money per project."),
    click.option("--timeout", type=options.Duration(), metavar="TIME", help="Time per project: 90s, 30m, 1h30m."),
)

how = options.stacked(
    click.option("--model", metavar="MODEL", shell_complete=complete.models, help="A model or an alias of the config."),
    click.option("--role", metavar="ROLE", help="A role of the config (default: coder)."),
    click.option("--commit/--no-commit", default=True, help="Commit each result on its branch (default), or leave it."),
    click.option(
        "--plan", "plan_only", is_flag=True, help="Show selection, order, model and cost range; start nothing."
    ),
    click.option("--detach", is_flag=True, help="Queue it for a worker (acp worker) and end at once."),
    click.option("--queue", metavar="QUEUE", help="With --detach: any, or host.NAME (default: this host's)."),
    click.option("--yes", is_flag=True, help="Do not ask before spending."),
)


@click.command(cls=Command, epilog=EXAMPLES, options_metavar="[OPTIONS]")
@click.argument("words", nargs=-1, metavar="[PROMPT|@TASK] [DIR]")
@click.option(
    "-f", "--file", metavar="FILE", type=click.Path(), help="Read the prompt from FILE (- is standard input)."
)
@options.selection
@options.projects_file
@options.jobs
@limits
@how
@options.output
def run(**given: Any) -> int:
    """Give one prompt to a directory or to many projects.

    Each project works in a worktree and on a branch of its own; your checkouts stay as they are until `acp accept`.
    """
    import anyio

    return anyio.run(_run, ask_of(given), given)


def ask_of(given: Mapping[str, Any]) -> RunAsk:
    """What was asked, from the values of the options. Raises UsageError."""
    prompt, directory = prompt_of(given["words"], given["file"])
    selection = options.selection_of(given)
    if directory is not None:
        _check_directory(directory, selection)
    is_task = given["file"] is None and prompt.startswith("@") and len(prompt.split()) == 1
    return RunAsk(
        prompt=None if is_task else prompt,
        task=prompt.strip()[1:] if is_task else None,
        directory=directory,
        projects_file=given["projects_file"],
        select=selection,
        model=given["model"],
        role=given["role"],
        read_only=given["read_only"] or None,
        answer_schema=_schema(given["schema"]),
        max_steps=given["max_steps"],
        max_cost=given["max_cost"],
        max_cost_each=given["max_cost_each"],
        timeout=given["timeout"],
        commit=given["commit"],
    )


def _check_directory(directory: str, selection: Selection) -> None:
    if not Path(directory).is_dir():
        raise UsageError(f"{directory!r} is not a directory", hint='quote the prompt: acp run "what to do" [DIR]')
    if selection.given:
        raise UsageError("a directory and a selection of projects were both given", hint="give one of them")


def _schema(given: str | None) -> dict[str, Any] | None:
    if given is None:
        return None
    from acp_agent.config.schema_text import load_schema

    return load_schema(given, Path.cwd())


async def _run(ask: RunAsk, given: Mapping[str, Any]) -> int:
    from acp_agent.app import open_app
    from acp_agent.surfaces.cli import plan as plans
    from acp_agent.surfaces.cli.outcome import Form, Work, result_stream
    from acp_agent.surfaces.cli.records import open_records

    if given["queue"] and not given["detach"]:
        raise UsageError("--queue is for --detach", hint="without --detach this process does the work")
    form = Form(given["output"], given["out"], given["jobs"])
    async with open_app(os.environ, Path.cwd()) as app:
        plan = await app.batches.plan(ask)
        if given["plan_only"]:
            with result_stream(form.out) as stream:
                plans.write_plan(plan, form.output, stream)
            return int(ExitCode.OK)
        if form.output not in ("quiet", "jsonl"):
            click.echo(plans.summary(plan), err=True)
        if not given["yes"]:
            _confirm(plans.costs_or_edits(plan))
        if given["detach"]:
            return await _detach(app, plan, queue_of(given["queue"]))
        with result_stream(form.out) as stream:
            batch_id = await app.batches.start(plan)
            if form.output not in ("quiet", "jsonl"):
                click.echo(f"batch: {batch_id}", err=True)
            records = open_records(os.environ)
            view = plans.empty_view(batch_id, plan)
            return await Work(app, records, form, stream).carry_out([view], new=records.records_of(batch_id))


async def _detach(app: "App", plan: "Plan", queue: str) -> int:
    batch_id = await app.batches.start(plan, queue=queue)
    click.echo(batch_id)
    click.echo(f"queued for {queue}: acp worker drives it, acp logs -f {batch_id} follows", err=True)
    return int(ExitCode.OK)


def queue_of(given: str | None) -> str:
    """The queue a person named, else that of this host. Raises UsageError for a word that is none."""
    queue = given or host_queue(os.environ)
    if not is_queue(queue):
        raise UsageError(f"--queue: {queue!r} is no queue", hint="any, or host.NAME")
    return queue


def _confirm(needed: bool) -> None:
    """Ask a person; where nobody can answer, the policy and the limits decide alone."""
    if not needed or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    if not click.confirm("Start?", default=True, err=True):
        raise Refused("nothing was started", hint="acp run ... --plan shows what would be done")
