"""`acp worker`: drive the runs that others queued (`acp run --detach`), on one host or on many."""

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import click

from acp_agent.config.paths import host_queue, is_queue
from acp_agent.domain.errors import ExitCode, UsageError
from acp_agent.surfaces.cli import options
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.text import one_line

if TYPE_CHECKING:
    from acp_agent.domain.ports import Queues
    from acp_agent.fleet.serving import Serving
    from acp_agent.loops.serving import Schedules


@click.command(cls=Command)
@click.option(
    "--queues", metavar="LIST", help="What it takes, by commas: any, host.NAME (default: any and this host's)."
)
@options.jobs
def worker(queues: str | None, jobs: int) -> int:
    """Drive queued runs until it is told to stop; any number of workers share one store.

    `acp run --detach` queues a batch. The first SIGTERM or Ctrl-C lets what is under way come to its end and takes
    nothing more; the second stops it where it is, for another worker to go on. What a worker leaves that dies is taken
    over within seconds: where all are busy, they drive up to as many again for that. Beside these it drives as many
    loops whose slots have come (`acp schedule add NAME --worker`); at the first signal they end with their iteration.
    """
    return anyio.run(_work, queues_of(queues), jobs)


def queues_of(given: str | None) -> "Queues":
    """The queues a person named, else `any` and that of this host. Raises UsageError for a word that is none."""
    if given is None:
        return frozenset({"any", host_queue(os.environ)})
    names = [name.strip() for name in given.split(",")]
    for name in names:
        if not is_queue(name):
            raise UsageError(f"--queues: {name!r} is no queue", hint="any, host.NAME, or both by a comma")
    return frozenset(names)


async def _work(queues: "Queues", jobs: int) -> int:
    from acp_agent.app import open_app
    from acp_agent.fleet.serving import Serving
    from acp_agent.loops.serving import Schedules

    async with open_app(os.environ, Path.cwd()) as app:
        serving = Serving(app.batches, queues)
        click.echo(f"takes {one_line(', '.join(sorted(queues)))}, {jobs} at a time (process {os.getpid()})", err=True)
        return await _serve_until_told(serving, Schedules(app.loops(), queues, _say), jobs)


def _say(line: str) -> None:
    click.echo(one_line(line), err=True)


async def _serve_until_told(serving: "Serving", schedules: "Schedules", jobs: int) -> int:
    stop, told = anyio.Event(), 0
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as group:

            async def heed() -> None:
                nonlocal told
                async for number in signals:
                    if stop.is_set():
                        told = int(number)
                        group.cancel_scope.cancel()
                        return
                    click.echo("takes nothing more and ends with its runs; once more to stop them too", err=True)
                    stop.set()

            group.start_soon(heed)
            async with anyio.create_task_group() as served:
                served.start_soon(schedules.serve, jobs, stop)
                await serving.serve(jobs, stop)
            group.cancel_scope.cancel()
    if told:
        return int(ExitCode.TERMINATED if told == signal.SIGTERM else ExitCode.INTERRUPTED)
    return int(ExitCode.OK)
