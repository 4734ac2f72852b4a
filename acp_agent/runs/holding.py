"""Stopping everything, and letting it go on: a hold in a stream of its own, which every process heeds."""

from acp_agent.domain.errors import ExitCode, Held, NothingSelected, Refused
from acp_agent.domain.events_hold import HoldLifted, HoldSet
from acp_agent.domain.hold import HOLD, LIFT, Hold
from acp_agent.domain.ports import Journal
from acp_agent.runs.standing import tell


async def set_hold(journal: Journal, actor: str, *, now: bool, note: str) -> Hold:
    """Nothing begins from here on, also after restarts; with `now` what is under way is ended. Returns what holds."""
    await tell(journal, HOLD, HoldSet(now=now, note=note), actor)
    held = await journal.hold()
    if held is None:
        raise Refused("somebody lifted the hold at once", hint="acp stop --all")
    return held


async def lift_hold(journal: Journal, actor: str, note: str = "") -> Hold:
    """Let everything go on; returns the hold that was on. Raises NothingSelected where there is none."""
    held = await journal.hold()
    if held is None:
        raise NothingSelected("nothing is stopped", hint="acp ps")
    await journal.note(HOLD, [HoldLifted(note=note)], actor)
    return held


def stopped(held: Hold) -> Held:
    """What work that was under way says when a hold ended it."""
    return Held(held.what, hint=LIFT, exit_code=ExitCode.WAITS)
