"""`acp models`: which models were found and why, and whether they work."""

import os
import sys
from pathlib import Path

import click

from acp_agent.domain.errors import ExitCode, Refused
from acp_agent.llm.demonstration import EXAMPLE, MODEL
from acp_agent.surfaces.cli import complete, options
from acp_agent.surfaces.cli.formats import count, duration, money
from acp_agent.surfaces.cli.glyphs import label, speaks_unicode
from acp_agent.surfaces.cli.grid import Grid, is_terminal, names_of, painted, print_json
from acp_agent.surfaces.cli.group import Command, LazyGroup
from acp_agent.surfaces.cli.text import one_line

_TABLE = {
    "ls": (__name__ + ":ls", "Where models were looked for, what was found and why."),
    "test": (__name__ + ":test", "Ask models for one word and one tool call."),
    "fetch": (__name__ + ":fetch", "Install the demonstration model."),
}


@click.command(cls=LazyGroup, table=_TABLE, name="models")
def models() -> None:
    """Say which models were found and why, and try them."""


@click.command(cls=Command)
@options.as_json
def ls(output: str) -> int:
    """Where models were looked for, in the order of preference; the one in use is marked with *."""
    import anyio

    return anyio.run(_ls, output)


async def _ls(output: str) -> int:
    from acp_agent.app import open_app

    async with open_app(os.environ, Path.cwd()) as app:
        found = await app.models.survey()
    if output == "json":
        print_json({"v": 1, "places": [place.model_dump(mode="json") for place in found]})
    else:
        rows = tuple(
            ("*" if place.chosen else "", place.source, place.model or "", place.why, place.base_url or "")
            for place in found
        )
        grid = Grid(("", "looked in", "model", "why", "address"), rows)
        click.echo(painted(grid, terminal=is_terminal(sys.stdout)))
        for place in found:
            if len(place.models) > 1:
                click.echo(f"\n{one_line(place.source)}: {names_of(place.models, most=40)}")
    if any(place.chosen for place in found):
        return int(ExitCode.OK)
    click.echo("no model: set a provider's key, OPENAI_BASE_URL or ACP_MODEL, or start a local server", err=True)
    return int(ExitCode.NOTHING)


@click.command(cls=Command)
@click.argument("names", metavar="[MODEL]...", nargs=-1, shell_complete=complete.models)
@options.as_json
def test(names: tuple[str, ...], output: str) -> int:
    """Ask each MODEL or alias (default: the chain in use) for one word and one tool call; this costs a little."""
    import anyio

    return anyio.run(_test, names, output)


async def _test(names: tuple[str, ...], output: str) -> int:
    from acp_agent.app import open_app

    async with open_app(os.environ, Path.cwd()) as app:
        checks = await app.models.check(names)
    if output == "json":
        print_json({"v": 1, "models": [check.model_dump(mode="json") for check in checks]})
    else:
        unicode = speaks_unicode(sys.stdout)
        for check in checks:
            tools = {True: "uses tools", False: "uses no tools", None: ""}[check.tools]
            tokens = f"{count(check.tokens)} tokens" if check.tokens is not None else ""
            cost = money(check.cost or 0.0, check.cost is not None)
            about = ", ".join(part for part in (check.error or tools, tokens, cost, duration(check.seconds)) if part)
            click.echo(f"{label('ok' if check.ok else 'failed', unicode)}  {one_line(check.model)}: {one_line(about)}")
            if check.hint:
                click.echo(f"  hint: {one_line(check.hint)}")
    return int(ExitCode.OK if all(check.ok for check in checks) else ExitCode.FAILED)


@click.command(cls=Command)
@click.argument("what", metavar="demo", type=click.Choice(["demo"]))
@click.option("--yes", is_flag=True, help="Do not ask.")
def fetch(what: str, yes: bool) -> int:
    """Install the demonstration model, a very small one for a first look without any key, and try it.

    It answers only read-only runs with a closed --schema, and only where no other model is found.
    """
    import anyio

    from acp_agent.llm.demonstration import what_is_missing
    from acp_agent.llm.fetch import PACKAGES, install, install_command

    if what_is_missing():
        command = install_command()
        click.echo(f"downloads into {sys.prefix}:", err=True)
        for package in PACKAGES:
            click.echo(f"  {package}", err=True)
        asked = sys.stdin.isatty() and sys.stderr.isatty() and not yes
        if asked and not click.confirm("Go on?", default=True, err=True):
            raise Refused("nothing was installed", hint="acp models fetch demo")
        anyio.run(install, command)
    code = anyio.run(_test, (MODEL,), "text")
    if code == ExitCode.OK:
        click.echo(f"next: acp run 'What is this project?' . --read-only --schema '{EXAMPLE}'", err=True)
    return code
