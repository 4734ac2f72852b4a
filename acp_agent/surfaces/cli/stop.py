"""`acp stop --all`: nothing begins any more, in any process, until `acp resume --all`."""

import os
from typing import TYPE_CHECKING

import click

from acp_agent.config.paths import database_location
from acp_agent.config.person import person_name
from acp_agent.domain.errors import ExitCode, NothingSelected, UsageError
from acp_agent.domain.hold import LIFT
from acp_agent.store.reads import Reads
from acp_agent.surfaces.cli.formats import moment, some
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.text import one_line

if TYPE_CHECKING:
    from acp_agent.domain.hold import Hold


@click.command(cls=Command)
@click.option("--all", "everything", is_flag=True, help="Everything: this is the one thing that it stops.")
@click.option("--now", is_flag=True, help="End the tools and model calls that are under way, too.")
@click.option("-m", "--note", default="", metavar="WHY", help="Why, for the record and for whoever wonders.")
def stop(everything: bool, now: bool, note: str) -> int:
    """Stop everything that works on this record: runs, batches, loops, schedules and workers, in all processes.

    Nothing begins from then on, restarts included, until acp resume --all. What is under way ends by itself and its
    result is kept; with --now it is ended within about a second.
    """
    if not everything:
        raise UsageError("say --all: acp stop stops everything", hint="acp cancel ID ends one run, batch or loop")
    import anyio

    hold = anyio.run(_stop, now, note)
    with Reads(database_location(os.environ)) as reads:
        driven = sum(run.driven for run in reads.runs(status="running", limit=10_000))
    if driven:
        how = "is ended now" if hold.now else "begins nothing more; what it does ends by itself (--now ends it)"
        click.echo(f"{some(driven, 'run')} under way: each {how}", err=True)
    click.echo(f"stopped since {moment(hold.since)} by {one_line(hold.actor)}; {LIFT}")
    return int(ExitCode.OK)


async def _stop(now: bool, note: str) -> "Hold":
    from acp_agent.app import open_journal
    from acp_agent.runs.holding import set_hold

    async with open_journal(os.environ) as journal:
        return await set_hold(journal, f"cli:{person_name()}", now=now, note=note)


async def lift() -> bool:
    """Let everything go on; False where nothing was stopped."""
    from acp_agent.app import open_journal
    from acp_agent.runs.holding import lift_hold

    try:
        async with open_journal(os.environ) as journal:
            held = await lift_hold(journal, f"cli:{person_name()}")
    except NothingSelected:
        return False
    click.echo(f"everything may go on; it was stopped since {moment(held.since)} by {one_line(held.actor)}", err=True)
    return True


def hold_of_record() -> "Hold | None":
    """The hold in force."""
    with Reads(database_location(os.environ)) as reads:
        return reads.hold()


def hold_line() -> str | None:
    """What is stopped, since when and by whom, in one line; None where nothing is."""
    held = hold_of_record()
    if held is None:
        return None
    return f"{one_line(held.what)} (since {moment(held.since)}); {LIFT}"
