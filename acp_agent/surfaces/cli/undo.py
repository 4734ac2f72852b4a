"""`acp undo`: take back what a run changed, path by path, or by a commit that reverts what was accepted."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from acp_agent.domain.errors import AcpAgentError, ExitCode, NothingSelected, UsageError
from acp_agent.surfaces.cli import complete
from acp_agent.surfaces.cli.entry import complain
from acp_agent.surfaces.cli.formats import some
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.records import open_records
from acp_agent.surfaces.cli.report import reference
from acp_agent.surfaces.cli.text import cut, one_line

if TYPE_CHECKING:
    from acp_agent.app import App
    from acp_agent.fleet.compensating import TakenBack
    from acp_agent.fleet.undo import Outcome, UndoAsk

SHOWN = 10
"""Paths named of one undo."""
LONGEST = 200


@click.command(cls=Command)
@click.argument("name", metavar="ID[/PROJECT]", shell_complete=complete.ids)
@click.option(
    "--to", "to_step", type=click.IntRange(0), default=0, metavar="STEP", help="Keep what it did up to there."
)
@click.option("--list", "listing", is_flag=True, help="List the steps that changed something.")
@click.option("--redo", is_flag=True, help="Take the last undo back.")
@click.option("--skip", is_flag=True, help="Leave out the paths that cannot be undone, and undo the others.")
@click.option("--unsure", is_flag=True, help="Also what nobody can tell of, after a process died.")
def undo(name: str, to_step: int, listing: bool, redo: bool, skip: bool, unsure: bool) -> int:
    """Take back what a run changed, byte for byte; of a batch, of each of its runs.

    Only paths that the run touched are changed. Where somebody changed one of them since, nothing is, and they are
    named. An accepted result is reverted by a commit on the branch it was accepted into. Effects outside are taken back
    by the compensate of their tool, the last first; what none takes back is said. Exit status 1 where one failed.
    """
    import anyio

    if redo and (to_step or listing):
        raise UsageError("--redo takes the last undo back: no --to and no --list beside it")
    return anyio.run(_undo, name, to_step, listing, redo, skip, unsure)


async def _undo(name: str, to_step: int, listing: bool, redo: bool, skip: bool, unsure: bool) -> int:
    from acp_agent.app import open_app
    from acp_agent.fleet.undo import UndoAsk

    found = open_records(os.environ).find(name)
    rows = found.rows()
    if len(rows) > 1 and to_step:
        raise UsageError(
            f"{one_line(name)} has {len(rows)} runs, each with steps of its own", hint="name one: ID/PROJECT"
        )
    ask = UndoAsk(to_step=to_step, skip=skip, unsure=unsure)
    code, nothing = int(ExitCode.OK), 0
    async with open_app(os.environ, Path.cwd()) as app:
        for row in rows:
            shown = one_line(reference(found.batch_id, row))
            try:
                lines, came = await (_listed(app, row.run_id) if listing else _done(app, row.run_id, ask, redo))
                code = code or int(came)
            except NothingSelected as error:
                if len(rows) == 1:
                    raise
                nothing += 1
                click.echo(f"{shown}: {one_line(error.what)}", err=True)
                continue
            except AcpAgentError as error:
                if len(rows) == 1:
                    raise
                failed = complain(f"{shown}: {error.what}", error.hint, error.exit_code)
                code = code or failed
                continue
            click.echo("\n".join(f"{shown}: {line}" if not line.startswith(" ") else line for line in lines))
    return int(ExitCode.NOTHING) if nothing == len(rows) else code


async def _done(app: "App", run_id: str, ask: "UndoAsk", redo: bool) -> tuple[list[str], ExitCode]:
    outcome = await (app.undo.redo(run_id, skip=ask.skip) if redo else app.undo.undo(run_id, ask))
    failed = any(one.state == "failed" for one in outcome.outside)
    return told(outcome, redo), ExitCode.FAILED if failed else ExitCode.OK


def told(outcome: "Outcome", redone: bool = False) -> list[str]:
    """What came of an undo, for a person; lines about single paths are indented."""
    outside = [_outside(one) for one in outcome.outside]
    if outcome.commit is not None:
        return [f"reverted on {one_line(outcome.target or '')}, now at {outcome.commit[:12]}", *outside]
    verb = "brought back" if redone else "undone"
    lines = [f"{verb}: {some(len(outcome.paths), 'file')}"]
    lines += [f"  {one_line(path)}" for path in outcome.paths[:SHOWN]]
    if len(outcome.paths) > SHOWN:
        lines.append(f"  and {len(outcome.paths) - SHOWN} more")
    lines += [f"  left as it is: {one_line(path)}: {why}" for path, why in outcome.left]
    lines += outside
    lines += [
        f"  step {step} ran `{one_line(title)}` without a snapshot ({one_line(why)}): what it changed is not known"
        for step, title, why in outcome.unrecorded
    ]
    return lines


def _outside(one: "TakenBack") -> str:
    """One effect that is no file: taken back, or plainly not."""
    said = f": {cut(one_line(one.detail.strip()), LONGEST)}" if one.detail.strip() else ""
    state = {"taken_back": "taken back", "failed": "NOT taken back, it failed", "stays": "NOT taken back"}[one.state]
    return f"  step {one.step} {cut(one_line(one.title), LONGEST)}: {state}{said}"


async def _listed(app: "App", run_id: str) -> tuple[list[str], ExitCode]:
    steps = await app.undo.steps(run_id)
    if not steps:
        raise NothingSelected(f"{run_id} changed nothing", hint=f"acp show {run_id}")
    lines = [f"{some(len(steps), 'step')} changed something; acp undo {run_id} --to STEP keeps all up to STEP"]
    for step in steps:
        paths = ", ".join(one_line(path) for path in step.paths[:SHOWN])
        more = f" and {len(step.paths) - SHOWN} more" if len(step.paths) > SHOWN else ""
        if step.paths:
            lines.append(f"  {step.step:>4}  {'; '.join(one_line(title) for title in step.titles)}: {paths}{more}")
        for title, is_due in step.outside:
            what = "outside, can be taken back" if is_due else "outside, cannot be taken back"
            lines.append(f"  {step.step:>4}  {cut(one_line(title), LONGEST)}: {what}")
    return lines, ExitCode.OK
