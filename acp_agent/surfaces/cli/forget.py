"""`acp forget`: erase what the record says of a run, while its chain of digests still verifies."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from acp_agent.domain.errors import ExitCode, NothingSelected, Refused, UsageError
from acp_agent.surfaces.cli import complete
from acp_agent.surfaces.cli.formats import some
from acp_agent.surfaces.cli.grid import print_json
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.options import as_json
from acp_agent.surfaces.cli.text import one_line

if TYPE_CHECKING:
    from acp_agent.fleet.forgetting import Forgetting, Forgotten
    from acp_agent.store.reads import Found

SHOWN = 20
STAYS = "commits, worktrees, exports and backups are yours: what they hold is still there"


@click.command(cls=Command)
@click.argument("name", metavar="[ID]", required=False, shell_complete=complete.ids)
@click.option("--match", "text", metavar="TEXT", help="Everything in whose record, or kept files, TEXT stands.")
@click.option("--reason", default="", metavar="WHY", help="Why, for the record; do not repeat there what is erased.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
def forget(name: str | None, text: str | None, reason: str, yes: bool, output: str) -> int:
    """Erase what is on record of a run, batch, loop or session, and the contents kept for it. There is no way back.

    What it cost, when it was and who did it stay, and acp audit verify still finds the chain whole and says why
    something is gone. All of a run is erased or nothing: it must be over, its result accepted or rejected.
    """
    import anyio

    if (name is None) == (text is None):
        raise UsageError("name one: an ID, or --match TEXT", hint="acp forget --help")
    return anyio.run(_forget, name, text, reason, yes, output)


async def _forget(name: str | None, text: str | None, reason: str, yes: bool, output: str) -> int:
    from acp_agent.app import open_app
    from acp_agent.config.person import person_name
    from acp_agent.fleet.forgetting import Forgetting

    async with open_app(os.environ, Path.cwd()) as app:
        forgetting = Forgetting(app.environ, app.journal)
        found = _found(forgetting, name, text)
        _confirm(found, yes)
        person = f"person:{person_name()}"
        why = reason.strip() or f"{person} asked for it"
        done = await forgetting.forget(found, why, person, text=text)
    if output == "json":
        erased = {"payloads": done.payloads, "files": done.files, "scrubbed": done.scrubbed}
        print_json({"v": 1, "forgotten": [one.id for one in found], **erased})
    else:
        _say(found, done)
    return int(ExitCode.OK)


def _found(forgetting: "Forgetting", name: str | None, text: str | None) -> "list[Found]":
    found = forgetting.of(name) if name is not None else forgetting.saying(text or "")
    if not found:
        raise NothingSelected(
            "that text stands nowhere on record", hint="it must be as it was written, whole words or not"
        )
    return found


def _confirm(found: "list[Found]", yes: bool) -> None:
    if yes:
        return
    names = [one.id for one in found]
    listed = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    if not sys.stdin.isatty():
        raise Refused(f"this would forget {listed}, for good", hint="say --yes")
    click.echo(f"This forgets {listed}.\n{STAYS}.", err=True)
    if not click.confirm("Forget for good?", default=False, err=True):
        raise Refused("nothing was forgotten")


def _say(found: "list[Found]", done: "Forgotten") -> None:
    kinds = ", ".join(f"{one.kind} {one_line(one.id)}" for one in found[:SHOWN])
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    click.echo(f"forgotten: {kinds}{more}: {some(done.payloads, 'payload')}, {some(done.files, 'kept file')}")
    click.echo(STAYS, err=True)
    if not done.scrubbed:
        click.echo("other processes use the database: old pages of it are overwritten by the next acp gc", err=True)
