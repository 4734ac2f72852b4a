"""Schedules that workers serve, from the command line: put on record, listed, withdrawn."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from acp_agent.app import open_journal
from acp_agent.config.paths import database_location, find_projects_file
from acp_agent.config.person import person_name
from acp_agent.domain.errors import UsageError
from acp_agent.domain.events_loop import ScheduleGiven
from acp_agent.loops.schedules import following, give, own_zone, served, withdraw, zone_of
from acp_agent.surfaces.cli.run import queue_of
from acp_agent.surfaces.cli.text import one_line

if TYPE_CHECKING:
    from acp_agent.domain.schedule import ScheduleState
    from acp_agent.loops.resolve import Resolved


def add_for_workers(resolved: "Resolved", when: str, queue: str | None, zone: str | None) -> str:
    """Put the schedule on record; returns what to tell. Raises UsageError for a queue or a zone that is none."""
    named = zone or own_zone(os.environ)
    zone_of(named)
    given = ScheduleGiven(when=when, queue=queue_of(queue), zone=named)
    now = anyio.run(_give, resolved, given)
    slot = following(given, now)
    if slot is None:
        return f"{one_line(resolved.name)}: never"
    return f"{one_line(resolved.name)} runs next at {slot:%a %Y-%m-%d %H:%M} {named}, by a worker of {given.queue}"


def for_workers() -> "list[ScheduleState]":
    """Every schedule that workers serve; none where there is no record yet."""
    location = database_location(os.environ)
    if isinstance(location, Path) and not location.exists():
        return []
    return anyio.run(_served)


def withdraw_named(name: str, projects_file: str | None) -> bool:
    """Withdraw the schedule of a loop; False where workers serve none. Raises UsageError where several files do."""
    found = [state for state in for_workers() if state.name == name]
    if len(found) > 1 or (found and projects_file):
        place = str(find_projects_file(Path.cwd(), projects_file, os.environ).absolute())
        chosen = [state for state in found if state.place == place]
        if not chosen and not projects_file:
            raise UsageError(
                f"{one_line(name)} is scheduled for {len(found)} files: "
                + ", ".join(one_line(state.place) for state in found),
                hint="--projects FILE says which",
            )
        found = chosen
    for state in found:
        anyio.run(_withdraw, state)
    return bool(found)


async def _give(resolved: "Resolved", given: ScheduleGiven) -> float:
    async with open_journal(os.environ) as journal:
        await give(journal, resolved.name, resolved.place, given, f"cli:{person_name()}")
        return await journal.now()


async def _served() -> "list[ScheduleState]":
    async with open_journal(os.environ) as journal:
        return await served(journal)


async def _withdraw(state: "ScheduleState") -> None:
    async with open_journal(os.environ) as journal:
        await withdraw(journal, state, f"cli:{person_name()}")
