"""`acp token`: give tokens of `acp serve --http` to others, and take them back."""

import os
from datetime import datetime

import click

from acp_agent.domain.errors import ExitCode, NothingSelected
from acp_agent.surfaces.cli.group import Command, LazyGroup

_HERE = "acp_agent.surfaces.cli.token:"
TABLE = {
    "add": (_HERE + "add", "Make a token and print it, once."),
    "ls": (_HERE + "ls", "List the tokens given to others."),
    "rm": (_HERE + "rm", "Take a token back."),
}
SCOPES = ("read", "run", "approve", "admin")


@click.command(cls=LazyGroup, table=TABLE)
def token() -> None:
    """Give tokens of `acp serve --http` to others. Your own stands in the file `token` of the state directory."""


@click.command(cls=Command)
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    default=("run", "approve"),
    show_default=True,
    help="What it opens: read is /metrics, /acp needs run and approve, admin is everything.",
)
def add(name: str, scopes: tuple[str, ...]) -> int:
    """Make a token called NAME and print it. Only its digest is kept: it cannot be shown again."""
    from acp_agent.config.tokens import Scope, give_token

    click.echo(give_token(os.environ, name, map(Scope, scopes)))
    return int(ExitCode.OK)


@click.command(cls=Command)
def ls() -> int:
    """List the tokens given to others: name, scopes, since when."""
    from acp_agent.config.tokens import given_tokens

    given = given_tokens(os.environ)
    if not given:
        click.echo("no token was given to others: acp token add NAME", err=True)
    for one in given:
        since = datetime.fromtimestamp(one.created).astimezone().isoformat(" ", "minutes")
        click.echo(f"{one.name}  {','.join(sorted(one.scopes))}  {since}")
    return int(ExitCode.OK)


@click.command(cls=Command)
@click.argument("name")
def rm(name: str) -> int:
    """Take the token NAME back. Servers know it at the next request; a WebSocket that is open stays open."""
    from acp_agent.config.tokens import take_token

    if not take_token(os.environ, name):
        raise NothingSelected(f"there is no token {name}", hint="acp token ls")
    click.echo(f"{name}: taken back")
    return int(ExitCode.OK)
