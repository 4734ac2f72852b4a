"""`acp loop NAME --watch`: an iteration whenever the checkout, the loop's file or projects.toml has changed."""

import time
from dataclasses import replace

import anyio

from acp_agent.fleet.repository import repository
from acp_agent.loops.changes import Checkout, Sight, changes_told
from acp_agent.loops.driver import Invocation
from acp_agent.loops.loops import Ready
from acp_agent.loops.resolve import LoopAsk
from acp_agent.surfaces.cli.drive import Driven, heed_signals
from acp_agent.surfaces.cli.loop_run import Seat, Turn
from acp_agent.surfaces.cli.text import cut, one_line

WIDTH = 160


async def watch_loop(seat: Seat, ask: LoopAsk, until: float | None, *, fresh: bool) -> Turn:
    """Bring an iteration that was cut off to its end, then one for each change, until the loop or the person ends it.

    The lease is held while an iteration runs, not while nothing happens.
    """
    loops = seat.app.loops()
    ready = await loops.ready(ask, fresh=fresh)
    checkout = await _checkout(ready)
    # Seen before anything runs, so that no change is missed.
    sight = await checkout.look()
    turn = await seat.drive(ready, Invocation(until=until, turns=0))
    while turn.driven.exit_code is None and turn.why == "once":
        seat.say(f"watching {one_line(str(checkout.path))}; Ctrl-C ends it")
        found = await _next_change(checkout, sight, turn, until)
        if isinstance(found, Turn):
            return found
        sight, paths = found
        seat.say(cut(f"changed: {one_line(', '.join(paths))}", WIDTH))
        ready = await loops.ready(ask)
        await loops.steer(ready.loop_id, changes_told(paths))
        turn = await seat.drive(ready, Invocation(until=until, turns=1))
    return turn


async def _checkout(ready: Ready) -> Checkout:
    resolved = ready.resolved
    project = resolved.projects[0]
    own = () if resolved.file is None else (resolved.file.source.path.absolute(),)
    besides = (*own, resolved.projects_file.path.absolute())
    return Checkout(project.path, await repository(project.path, project.name), besides)


async def _next_change(
    checkout: Checkout, sight: Sight, turn: Turn, until: float | None
) -> tuple[Sight, tuple[str, ...]] | Turn:
    """The next change, or how the watch ended before one came."""
    driven, work = Driven(), anyio.CancelScope()
    if until is not None:
        work.deadline = anyio.current_time() + max(0.0, until - time.time())
    found: tuple[Sight, tuple[str, ...]] | None = None
    async with anyio.create_task_group() as helpers:
        await helpers.start(heed_signals, driven, work, lambda line: None)
        with work:
            found = await checkout.next_change(sight, turn.state.base)
        helpers.cancel_scope.cancel()
    if found is not None:
        return found
    return replace(turn, driven=driven, why="interrupted" if driven.signal else "deadline")
