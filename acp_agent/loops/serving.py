"""Serves the schedules of some queues: takes slots that have come, and goes on with those that a dead worker left."""

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio

from acp_agent.config.paths import database_location
from acp_agent.domain.errors import AcpAgentError, Fenced, Held, NothingSelected, Refused
from acp_agent.domain.events_loop import FleetStarted, LoopResumed, LoopStarted, SlotEnded, SlotTaken
from acp_agent.domain.ports import Queues
from acp_agent.domain.schedule import ScheduleState, fold_schedule
from acp_agent.loops.driver import Invocation
from acp_agent.loops.fleet import Fleet
from acp_agent.loops.loops import Loops
from acp_agent.loops.resolve import LoopAsk, Resolved
from acp_agent.loops.schedules import due
from acp_agent.store.reads import Reads

LOOK = 1.0
"""Seconds between two looks for slots that have come."""
MAX_TAKEOVERS = 3
POISON = f"{MAX_TAKEOVERS} workers died over it"
GOES_ON = frozenset({"held", "lost", "once"})
"""Ways in which driving stops that do not end a slot: whoever can goes on."""


@dataclass(slots=True)
class Schedules:
    """The schedules that one worker serves. `say` tells whoever started it why it leaves one for others."""

    loops: Loops
    queues: Queues
    say: Callable[[str], None]
    _known: dict[str, ScheduleState] = field(default_factory=dict)
    _under_way: set[str] = field(default_factory=set)
    _said: dict[str, str] = field(default_factory=dict)

    async def serve(self, most: int, stop: anyio.Event) -> None:
        """Drive up to `most` loops at once, each at its times; once `stop` is set, to the ends of their iterations."""
        async with anyio.create_task_group() as group:
            while not stop.is_set():
                for state in await self.come():
                    if len(self._under_way) < most:
                        self._under_way.add(state.stream_id)
                        group.start_soon(self._serve, state, stop)
                with anyio.move_on_after(LOOK):
                    await stop.wait()

    async def come(self) -> list[ScheduleState]:
        """The schedules with a slot to run that nobody runs."""
        journal = self.loops.journal
        if await journal.hold() is not None:
            return []
        found = []
        now = await journal.now()
        for stream_id in await journal.streams("schedule"):
            state = await self._state(stream_id)
            if state.given is None or state.given.queue not in self.queues or stream_id in self._under_way:
                continue
            try:
                slot = due(state, now)
            except AcpAgentError as error:
                self._tell(state, error)
                continue
            if slot is not None and await journal.is_free(stream_id):
                found.append(state)
        return found

    async def _state(self, stream_id: str) -> ScheduleState:
        known = self._known.get(stream_id, ScheduleState())
        state = fold_schedule(await self.loops.journal.events(stream_id, known.seq), known)
        self._known[stream_id] = state
        return state

    async def _serve(self, state: ScheduleState, stop: anyio.Event) -> None:
        try:
            # Before the slot is taken: what cannot be run here is left for others.
            resolved = await self.loops.resolved(LoopAsk(name=state.name, projects_file=state.place))
            await self._hold(state.stream_id, resolved, stop)
        except AcpAgentError as error:
            self._tell(state, error)
        finally:
            self._under_way.discard(state.stream_id)

    async def _hold(self, stream_id: str, resolved: Resolved, stop: anyio.Event) -> None:
        """Run the slot that is due under the lease of the schedule; nothing where another process was faster."""
        try:
            async with self.loops.engine.hold(stream_id) as claim:
                state = await self._state(stream_id)
                slot = due(state, await self.loops.journal.now())
                if slot is None or state.given is None or stop.is_set():
                    return
                if state.open is None:
                    taken = SlotTaken(slot=slot, when=state.given.when, worker=True)
                    await self.loops.journal.append(claim, [taken])
                if claim.takeovers >= MAX_TAKEOVERS:
                    ended: SlotEnded | None = SlotEnded(slot=slot, why="crash_loop", detail=POISON)
                else:
                    ended = await self._run(state, slot, resolved, stop)
                if ended is not None:
                    await self.loops.journal.append(claim, [ended])
        except (Refused, Fenced):
            # Held by a person, or by another worker: a slot that is open stays so, for whoever comes first.
            return

    async def _run(self, state: ScheduleState, slot: float, resolved: Resolved, stop: anyio.Event) -> SlotEnded | None:
        """Start the loop or go on with it, unless that was done for this slot before; None while it is not over."""
        loop_id = await self._begun(state, slot) if state.open is not None else ""
        ask = LoopAsk(name=state.name, projects_file=state.place, slot=slot)
        try:
            if loop_id:
                # The lease of whoever died may outlive that of the schedule by a moment.
                while not stop.is_set() and not await self.loops.journal.is_free(loop_id):
                    with anyio.move_on_after(LOOK):
                        await stop.wait()
                if stop.is_set():
                    return None
            else:
                loop_id = await self._ready(ask, resolved)
            why = await self._drive(loop_id, resolved, Invocation(stop=stop))
        except Held:
            raise
        except NothingSelected as error:
            return SlotEnded(slot=slot, loop_id=loop_id, why="nothing", detail=error.what)
        except Refused as error:
            return SlotEnded(slot=slot, loop_id=loop_id, why="refused", detail=error.what)
        return None if why in GOES_ON else SlotEnded(slot=slot, loop_id=loop_id, why=why)

    async def _begun(self, state: ScheduleState, slot: float) -> str:
        """The loop that a worker began or went on with for this slot before it died."""
        with Reads(database_location(self.loops.environ)) as reads:
            row = next(iter(reads.loops_named(state.name, state.place)), None)
        if row is None:
            return ""
        facts = [event.data for event in await self.loops.journal.events(row.id)]
        for_slots = [fact.slot for fact in facts if isinstance(fact, LoopStarted | FleetStarted | LoopResumed)]
        return row.id if slot in for_slots else ""

    async def _ready(self, ask: LoopAsk, resolved: Resolved) -> str:
        if resolved.many:
            return await Fleet(self.loops).ready(ask, resolved)
        return (await self.loops.ready(ask)).loop_id

    async def _drive(self, loop_id: str, resolved: Resolved, invocation: Invocation) -> str:
        if resolved.many:
            _, why = await Fleet(self.loops).drive(loop_id, invocation)
            return why
        return await self.loops.drive(loop_id, invocation)

    def _tell(self, state: ScheduleState, error: AcpAgentError) -> None:
        """Say once why a schedule is left for others."""
        if self._said.get(state.stream_id) != error.what:
            self._said[state.stream_id] = error.what
            self.say(f"{state.name}: its slot is left for others: {error.what}")
