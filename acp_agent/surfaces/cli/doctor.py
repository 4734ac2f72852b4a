"""`acp doctor`: what acp needs on this machine, each checked, with a hint where it is missing."""

import os
import sys
from pathlib import Path

import click

from acp_agent.config.paths import database_location
from acp_agent.domain.errors import ExitCode
from acp_agent.store.connection import SCHEMA_VERSION
from acp_agent.store.database import database_at
from acp_agent.surfaces.cli import options
from acp_agent.surfaces.cli.glyphs import speaks_unicode
from acp_agent.surfaces.cli.grid import print_json
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.text import one_line

WORDS = {True: ("✓", "+", "ok"), None: ("▲", "!", "note"), False: ("✗", "x", "fail")}


@click.command(cls=Command)
@click.option("--migrate", is_flag=True, help="Only bring the database to the schema of this version.")
@options.as_json
def doctor(migrate: bool, output: str) -> int:
    """Check git, the sandbox, the database, the configuration, the models and the trusted files.

    Exit code 1 when something that every run needs is broken. A SQLite file is upgraded by whatever uses it first, a
    PostgreSQL database only by --migrate: end the older workers and servers on all hosts before.
    """
    if migrate:
        return _migrate(output)
    import anyio

    return anyio.run(_doctor, output)


def _migrate(output: str) -> int:
    """Safe to run twice, or on two hosts at once: all of it in one transaction, under the lock of all writers."""
    database = database_at(database_location(os.environ))
    before = database.migrate()
    if output == "json":
        known = {"from": before or None, "to": SCHEMA_VERSION}
        print_json({"v": 1, "database": database.name, **known, "changed": before != SCHEMA_VERSION})
    elif before == SCHEMA_VERSION:
        click.echo(f"{one_line(database.name)}: schema {before}, nothing to upgrade")
    elif before == 0:
        click.echo(f"{one_line(database.name)}: created, schema {SCHEMA_VERSION}")
    else:
        click.echo(f"{one_line(database.name)}: upgraded from schema {before} to {SCHEMA_VERSION}")
    return int(ExitCode.OK)


async def _doctor(output: str) -> int:
    from acp_agent.fleet.doctor import diagnose

    checks = await diagnose(os.environ, Path.cwd())
    broken = any(ok is False for _, ok, _, _ in checks)
    if output == "json":
        rows = [{"name": name, "ok": ok, "detail": detail, "hint": hint} for name, ok, detail, hint in checks]
        print_json({"v": 1, "checks": rows, "ok": not broken})
    else:
        width = max((len(name) for name, *_ in checks), default=0)
        for name, ok, detail, hint in checks:
            glyph, ascii_glyph, word = WORDS[ok]
            mark = glyph if speaks_unicode(sys.stdout) else ascii_glyph
            click.echo(f"{mark} {word:4}  {name:{width}}  {one_line(detail)}".rstrip())
            if hint and ok is not True:
                click.echo(f"  hint: {one_line(hint)}")
    return int(ExitCode.FAILED if broken else ExitCode.OK)
