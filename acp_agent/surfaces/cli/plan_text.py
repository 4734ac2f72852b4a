"""A plan as a person reads it in a terminal and changes it in their text editor; `acp show ID --plan [--edit]`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from acp_agent.domain.errors import ExitCode, NothingSelected, Refused, UsageError
from acp_agent.surfaces.cli.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from acp_agent.domain.work_plan import WorkPlan
    from acp_agent.surfaces.cli.records import Record

HELP = "\n<!-- '# ' and the goal; steps as '1. text'; indented below one: role:, files: a, b and acceptance:. -->\n"
_PLANS = frozenset({"plan_proposed", "plan_edited", "plan_approved"})


def edited_plan(plan: "WorkPlan") -> "WorkPlan":
    """The plan as the person left it in $VISUAL or $EDITOR. Raises UsageError for a text that is no plan."""
    from acp_agent.domain.work_plan import plan_of, plan_text

    try:
        text = click.edit(plan_text(plan) + HELP, extension=".md")
    except click.ClickException as error:
        raise UsageError(error.format_message().rstrip("."), hint="set EDITOR to your text editor") from None
    if text is None:
        return plan
    try:
        return plan_of(text.replace(HELP.strip(), ""))
    except ValueError as error:
        raise UsageError(f"this is no plan: {error}", hint="the plan stays as it was; edit it again") from None


def show_plan(run_id: str, events: "Sequence[Record]", *, edit: bool) -> int:
    """Print the last plan of a run, or have it edited while it waits. Raises NothingSelected, Refused, UsageError."""
    from acp_agent.domain.work_plan import WorkPlan, plan_text

    told = next((event.data for event in reversed(events) if event.data["type"] in _PLANS), None)
    if told is None:
        raise NothingSelected(f"{one_line(run_id)} has no plan", hint=f"acp show {one_line(run_id)}")
    plan = WorkPlan.model_validate(told["plan"])
    if not edit:
        click.echo(plan_text(plan), nl=False)
        return int(ExitCode.OK)
    if told["type"] == "plan_approved":
        raise Refused(
            f"the plan of {one_line(run_id)} is approved already", hint="say in the session what should change"
        )
    import anyio

    mine = edited_plan(plan)
    if mine == plan:
        click.echo("the plan stays as it is", err=True)
        return int(ExitCode.OK)
    anyio.run(_record, run_id, mine)
    click.echo(f"edited; approve it with: acp approve {one_line(run_id)}", err=True)
    return int(ExitCode.OK)


async def _record(run_id: str, plan: "WorkPlan") -> None:
    from acp_agent.app import open_app
    from acp_agent.surfaces.cli.approve import actor

    async with open_app(os.environ, Path.cwd()) as app:
        await app.runner.edit_plan(run_id, plan, actor())
