"""Schedules that workers serve: they stand on record, so any worker that is alive takes a slot, once over all hosts."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from acp_agent.domain.errors import UsageError
from acp_agent.domain.events_loop import ScheduleGiven, ScheduleWithdrawn
from acp_agent.domain.ports import Journal
from acp_agent.domain.schedule import ScheduleState, fold_schedule
from acp_agent.loops.calendar import calendar
from acp_agent.loops.slots import opened

LOCAL_TIME = "/etc/localtime"


async def give(journal: Journal, name: str, place: str, given: ScheduleGiven, actor: str) -> str:
    """Have the workers of a queue run a loop at its times from now on, instead of at those said before."""
    stream_id = await opened(journal, name, place)
    await journal.note(stream_id, [given], actor)
    return stream_id


async def withdraw(journal: Journal, state: ScheduleState, actor: str) -> None:
    """Have workers run it no more."""
    await journal.note(state.stream_id, [ScheduleWithdrawn()], actor)


async def served(journal: Journal) -> list[ScheduleState]:
    """Every schedule that workers run, in order of their names."""
    found = [fold_schedule(await journal.events(stream_id)) for stream_id in await journal.streams("schedule")]
    return sorted((state for state in found if state.given is not None), key=lambda state: (state.name, state.place))


def due(state: ScheduleState, now: float) -> float | None:
    """The slot that is to be run at `now`: one that a worker has left open, else the last one that has come.

    That makes up for all before it; none from before the schedule was given.
    """
    if state.given is None or state.open is not None:
        return state.open
    zone = zone_of(state.given.zone)
    slot = calendar(state.given.when).before(datetime.fromtimestamp(now, zone).replace(tzinfo=None))
    if slot is None:
        return None
    moment = slot.replace(tzinfo=zone).timestamp()
    return moment if moment > max(state.last, state.since) else None


def following(given: ScheduleGiven, now: float) -> datetime | None:
    """The next slot after `now`, in the schedule's zone."""
    zone = zone_of(given.zone)
    slot = calendar(given.when).after(datetime.fromtimestamp(now, zone).replace(tzinfo=None))
    # By way of Unix time, for an hour that is left out in spring.
    return datetime.fromtimestamp(slot.replace(tzinfo=zone).timestamp(), zone) if slot is not None else None


def zone_of(name: str) -> tzinfo:
    """The zone of an IANA name. Raises UsageError for one that this machine does not know."""
    if name == "UTC":
        # Known without a database of zones, which small images have not.
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise UsageError(
            f"there is no time zone {name!r} on this machine", hint="write it as Europe/Berlin; install tzdata"
        ) from error


def own_zone(environ: Mapping[str, str]) -> str:
    """The name of this machine's time zone: TZ, else what /etc/localtime is a link to, else UTC."""
    if chosen := environ.get("TZ", "").removeprefix(":"):
        zone_of(chosen)
        return chosen
    _, found, name = os.path.realpath(LOCAL_TIME).partition("zoneinfo/")
    return name if found and name else "UTC"
