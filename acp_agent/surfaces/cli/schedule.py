"""`acp schedule`: loops that this machine's own scheduler starts, or any worker."""

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from acp_agent.config.paths import shown_path, state_dir
from acp_agent.domain.errors import ExitCode, NothingSelected, UsageError
from acp_agent.surfaces.cli import options
from acp_agent.surfaces.cli.columns import aligned
from acp_agent.surfaces.cli.grid import print_json, terminal_width
from acp_agent.surfaces.cli.group import Command, LazyGroup
from acp_agent.surfaces.cli.text import one_line

if TYPE_CHECKING:
    from acp_agent.loops.calendar import Calendar
    from acp_agent.loops.resolve import Resolved

_TABLE = {
    "add": (__name__ + ":add", "Let a loop run at its times, by systemd, launchd, cron or workers."),
    "ls": (__name__ + ":ls", "List the schedules."),
    "rm": (__name__ + ":rm", "Take a loop's schedule away."),
    "run": (__name__ + ":run", "Run the slot that has come, once: what a timer calls."),
}
KINDS = ("systemd", "launchd", "cron")


@click.command(cls=LazyGroup, table=_TABLE, name="schedule")
def schedule() -> None:
    """Loops that run at their times: by this machine's own scheduler, or by workers."""


def _resolved(name: str, projects_file: str | None) -> "Resolved":
    from acp_agent.loops.resolve import LoopAsk, resolve

    return resolve(LoopAsk(name=name, projects_file=projects_file), Path.cwd(), os.environ)


def _calendar(resolved: "Resolved", at: str | None) -> "Calendar":
    from acp_agent.loops.calendar import HINT, calendar

    text = at or (resolved.table.schedule.at if resolved.table.schedule else None)
    if text is None:
        raise UsageError(
            f"{resolved.name} says nowhere when it runs", hint=f"acp schedule add {resolved.name} WHEN: {HINT}"
        )
    return calendar(text)


@click.command(cls=Command)
@click.argument("name", metavar="NAME")
@click.argument("at", metavar="[WHEN]", required=False)
@click.option("--kind", type=click.Choice(KINDS), help="Instead of this machine's usual scheduler.")
@click.option("--print", "only_print", is_flag=True, help="Print what would be written, and write nothing.")
@click.option("--worker", "by_worker", is_flag=True, help="Let whichever `acp worker` of the record run it.")
@click.option("--queue", metavar="QUEUE", help="With --worker: any, or host.NAME (default: this host's).")
@click.option("--zone", metavar="ZONE", help="With --worker: the time zone of WHEN (default: this machine's).")
@options.projects_file
def add(
    name: str,
    at: str | None,
    kind: Any,
    only_print: bool,
    by_worker: bool,
    queue: str | None,
    zone: str | None,
    projects_file: str | None,
) -> int:
    """Let a loop run at its times: 'Mon..Fri 02:00', 'daily 06:30,18:30', or five cron fields.

    Without WHEN those of `[schedule]` in the loop's file. A slot that was missed is caught up once. With --worker the
    schedule stands on record and needs no timer: a worker of its queue takes each slot, whichever is alive, once over
    all hosts.
    """
    if by_worker:
        if kind or only_print:
            raise UsageError("--worker writes no files", hint="leave --kind and --print away")
        from acp_agent.surfaces.cli.schedule_workers import add_for_workers

        resolved = _resolved(name, projects_file)
        resolved.require_trust(state_dir(os.environ))
        click.echo(add_for_workers(resolved, _calendar(resolved, at).text, queue, zone))
        return int(ExitCode.OK)
    if queue or zone:
        raise UsageError("--queue and --zone are for --worker", hint="a timer runs here, in this machine's time")
    return _add_timer(name, at, kind, only_print, projects_file)


def _add_timer(name: str, at: str | None, kind: Any, only_print: bool, projects_file: str | None) -> int:
    from acp_agent.loops import install
    from acp_agent.loops.units import Scheduled

    resolved = _resolved(name, projects_file)
    scheduled = Scheduled(
        name=name,
        calendar=_calendar(resolved, at),
        command=install.own_command(),
        projects_file=resolved.projects_file.path.absolute(),
        writes=install.writable_for(resolved.projects, state_dir(os.environ)),
        environment=install.environment_of(os.environ),
    )
    chosen = kind or install.kind_of()
    if only_print:
        for path, text in install.rendered(chosen, scheduled, os.environ).items():
            click.echo(f"# {path}\n{text}")
        return int(ExitCode.OK)
    resolved.require_trust(state_dir(os.environ))
    for path in install.add(chosen, scheduled, os.environ):
        click.echo(f"wrote {one_line(shown_path(Path(path)) if path != 'crontab' else path)}", err=True)
    slot = scheduled.calendar.after(datetime.now())
    click.echo(f"{one_line(name)} runs next at {slot:%a %Y-%m-%d %H:%M}" if slot else f"{one_line(name)}: never")
    return int(ExitCode.OK)


@click.command(cls=Command)
@options.as_json
def ls(output: str) -> int:
    """List the schedules on this machine, and those on record that workers serve."""
    from acp_agent.loops.install import installed
    from acp_agent.surfaces.cli.schedule_workers import for_workers

    found = installed(os.environ)
    timers = [{"loop": entry.name, "kind": entry.kind, "when": entry.when} for entry in found]
    rows: list[tuple[str, ...]] = [(entry.name, entry.when, entry.kind, entry.path) for entry in found]
    told: list[dict[str, object]] = []
    for state in for_workers():
        given = state.given
        assert given is not None
        when = {"when": given.when, "zone": given.zone, "queue": given.queue}
        ended = state.ended.model_dump(include={"slot", "loop_id", "why", "detail"}) if state.ended else None
        slots = {"slot": state.open, "ended": ended}
        told.append({"loop": state.name, "kind": "worker", **when, "projects_file": state.place, **slots})
        rows.append((state.name, f"{given.when} {given.zone}", f"worker of {given.queue}", state.place))
    if output == "json":
        print_json({"v": 1, "schedules": [*timers, *told]})
    elif rows:
        click.echo(aligned(("loop", "when", "by", "in"), rows, width=terminal_width()))
    else:
        click.echo("nothing is scheduled: acp schedule add NAME 'Mon..Fri 02:00'", err=True)
    return int(ExitCode.OK)


@click.command(cls=Command)
@click.argument("name", metavar="NAME")
@options.projects_file
def rm(name: str, projects_file: str | None) -> int:
    """Take a loop's schedule away, timers and what workers serve; the loop itself stays."""
    from acp_agent.loops.install import remove
    from acp_agent.surfaces.cli.schedule_workers import withdraw_named

    gone = remove(name, os.environ)
    if not (withdraw_named(name, projects_file) or gone):
        raise NothingSelected(f"{one_line(name)} is not scheduled", hint="acp schedule ls")
    click.echo(f"{one_line(name)}: not scheduled any more")
    return int(ExitCode.OK)


@click.command(cls=Command)
@click.argument("name", metavar="NAME")
@click.option("--at", metavar="WHEN", help="The times, where the loop's file does not say them.")
@click.option("--until", metavar="HH:MM", help="Begin no iteration after this time of day.")
@options.projects_file
@options.output
def run(name: str, at: str | None, until: str | None, projects_file: str | None, output: str, out: str | None) -> int:
    """Run the slot that has come, once, whoever else calls this; without one exits 5. This is what a timer calls."""
    import anyio

    from acp_agent.loops.resolve import LoopAsk
    from acp_agent.surfaces.cli.loop_run import Way, run_loop

    resolved = _resolved(name, projects_file)
    slot = anyio.run(_take, resolved, _calendar(resolved, at))
    click.echo(f"{one_line(name)}: the slot of {slot:%Y-%m-%d %H:%M}", err=True)
    sys.stderr.flush()
    return anyio.run(run_loop, LoopAsk(name=name, projects_file=projects_file), Way(output, out, until))


async def _take(resolved: "Resolved", when: "Calendar") -> datetime:
    from acp_agent.app import open_app
    from acp_agent.loops.slots import take_slot

    resolved.require_trust(state_dir(os.environ))
    async with open_app(os.environ, Path.cwd()) as app:
        return await take_slot(app.journal, app.engine, resolved.name, resolved.place, when, datetime.now())
