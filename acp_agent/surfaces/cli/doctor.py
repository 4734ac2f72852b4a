"""`acp doctor`: what acp needs on this machine, each checked, with a hint where it is missing."""

import os
import sys
from pathlib import Path

import click

from acp_agent.domain.errors import ExitCode
from acp_agent.surfaces.cli import options
from acp_agent.surfaces.cli.glyphs import speaks_unicode
from acp_agent.surfaces.cli.grid import print_json
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.text import one_line

WORDS = {True: ("✓", "+", "ok"), None: ("▲", "!", "note"), False: ("✗", "x", "fail")}


@click.command(cls=Command)
@options.as_json
def doctor(output: str) -> int:
    """Check git, the sandbox, the database, the configuration, the models and the trusted files.

    Exit code 1 when something that every run needs is broken.
    """
    import anyio

    return anyio.run(_doctor, output)


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
