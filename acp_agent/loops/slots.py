"""One slot, one run: whoever comes first puts it on record, on any number of hosts that share the store."""

import hashlib
from datetime import datetime

from acp_agent.domain.errors import Held, NothingSelected, Refused
from acp_agent.domain.events_loop import ScheduleStarted, SlotTaken
from acp_agent.domain.ports import Journal, NewStream
from acp_agent.loops.calendar import Calendar
from acp_agent.runs.port import Engine


def stream_of(name: str, place: str) -> str:
    """The stream of a loop's slots: the same for every process that means the same loop."""
    digest = hashlib.sha256("\0".join((place, name)).encode("utf-8", "surrogateescape"))
    return f"t_{digest.hexdigest()[:16]}"


async def opened(journal: Journal, name: str, place: str) -> str:
    """The stream of a loop's slots, begun where there is none."""
    stream_id = stream_of(name, place)
    if not await journal.events(stream_id):
        try:
            started = ScheduleStarted(name=name, place=place)
            await journal.create([NewStream(stream_id=stream_id, kind="schedule", facts=(started,))], "schedule")
        except Refused:
            # Another process was faster; its stream is ours.
            if not await journal.events(stream_id):
                raise
    return stream_id


async def take_slot(journal: Journal, engine: Engine, name: str, place: str, when: Calendar, now: datetime) -> datetime:
    """The last slot that has come, taken for us: one run makes up for all that were missed before it.

    Raises NothingSelected where it is taken already, or is being taken by another process right now.
    """
    slot = when.before(now)
    if slot is None:
        raise NothingSelected(f"no slot of {when.text!r} has come yet", hint="acp schedule ls")
    stream_id = await opened(journal, name, place)
    shown = f"the slot of {slot:%Y-%m-%d %H:%M}"
    try:
        async with engine.hold(stream_id) as claim:
            facts = [event.data for event in await journal.events(stream_id)]
            last = max((fact.slot for fact in facts if isinstance(fact, SlotTaken)), default=0.0)
            if last < slot.timestamp():
                await journal.append(claim, [SlotTaken(slot=slot.timestamp(), when=when.text)])
    except Held:
        raise
    except Refused as error:
        raise NothingSelected(f"{shown} is being taken: {error.what}") from None
    if last >= slot.timestamp():
        raise NothingSelected(f"{shown} is taken", hint=f"acp loop {name} runs it now")
    return slot
