"""`acp export` and `acp import`: the record of one thing as a file, and into another store."""

import os
import sys
import time
from pathlib import Path

import click

from acp_agent import __version__
from acp_agent.config.paths import database_location
from acp_agent.domain.errors import ExitCode, UsageError
from acp_agent.surfaces.cli import complete
from acp_agent.surfaces.cli.formats import some
from acp_agent.surfaces.cli.grid import print_json
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.options import as_json
from acp_agent.surfaces.cli.outcome import result_stream
from acp_agent.surfaces.cli.text import one_line


@click.command(cls=Command)
@click.argument("name", metavar="ID", shell_complete=complete.ids)
@click.option("--out", metavar="FILE", type=click.Path(dir_okay=False), help="Write it there, not to stdout.")
def export(name: str, out: str | None) -> int:
    """Write the record of a run, a batch, a loop or a session, with its runs, as JSON lines that acp import reads.

    It is what acp logs and acp show know. Commits and the contents kept for acp undo are not in it.
    """
    from acp_agent.fleet.forgetting import everything_of
    from acp_agent.store.reads import Reads
    from acp_agent.store.transfer import write_streams

    with Reads(database_location(os.environ)) as reads, reads.snapshot():
        streams = everything_of(reads, name)
        with result_stream(out) as stream:
            about = {"acp": __version__, "id": streams[0].id, "made": time.time()}
            events = write_streams(reads, streams, stream, about)
    click.echo(f"exported: {some(len(streams), 'stream')}, {some(events, 'event')}", err=True)
    return int(ExitCode.OK)


@click.command(cls=Command, name="import")
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True))
@as_json
def import_(file: str, output: str) -> int:
    """Take a record that acp export wrote into this store, under the same ids; `-` reads standard input.

    It can be looked at like any other. A run that was not over ends as cancelled here: nobody goes on with it.
    """
    import anyio

    from acp_agent.app import open_app
    from acp_agent.store.transfer import lines_of, read_streams

    lines = list(sys.stdin.buffer) if file == "-" else lines_of(Path(file))
    streams = read_streams(lines, file)
    if not streams:
        raise UsageError(f"{file}: it has no streams")

    async def put() -> int:
        async with open_app(os.environ, Path.cwd()) as app:
            return await app.journal.put(streams)

    events = anyio.run(put)
    if output == "json":
        print_json({"v": 1, "streams": [stream.stream_id for stream in streams], "events": events})
    else:
        click.echo(f"imported: {some(events, 'event')}: acp show {one_line(streams[0].stream_id)}")
    return int(ExitCode.OK)
