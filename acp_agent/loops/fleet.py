"""Loops over several projects: each has a loop of its own, they take turns, and one budget is spent on all of them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio

from acp_agent.config.paths import database_location
from acp_agent.domain.budget import Cap
from acp_agent.domain.errors import ExitCode, Fenced, Held, NothingSelected, Refused
from acp_agent.domain.events import Event, Fact
from acp_agent.domain.events_loop import (
    FleetStarted,
    LoopChanged,
    LoopEnded,
    LoopResumed,
    LoopStopAsked,
    TurnGiven,
    TurnTaken,
)
from acp_agent.domain.fleet_loop import FleetState, fold_fleet, next_project
from acp_agent.domain.loop import LoopState
from acp_agent.domain.loop_spec import LoopSpec
from acp_agent.domain.ports import Claim, NewStream
from acp_agent.loops.driver import LOOK, Invocation
from acp_agent.loops.loops import FINAL, Loops, forward
from acp_agent.loops.resolve import LoopAsk, Resolved
from acp_agent.loops.rules import flags_of, spec_of
from acp_agent.runs.ids import new_id
from acp_agent.store.reads import LoopRow, Reads

WAITS = "waiting"
"""Why a project takes no more turns for now: its run asks a person."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The fleet loops of a store."""

    loops: Loops

    async def ready(self, ask: LoopAsk, resolved: Resolved, *, fresh: bool = False) -> str:
        """Start the fleet loop or find the one to go on with; returns its id. Spends nothing."""
        row = None if fresh else self._open(resolved)
        if row is None:
            return await self._start(ask, resolved)
        if row.driven:
            raise Refused(f"{row.id} is worked on by another process", hint=f"acp logs -f {row.id}")
        state = await self.state(row.id)
        facts: list[Fact] = [LoopResumed(reopened=state.ended is not None, slot=ask.slot)]
        spec = _rules(resolved, ask)
        if state.spec != spec and flags_of(ask):
            facts.insert(0, LoopChanged(spec=spec, source="command line", flags=flags_of(ask)))
        await self.loops.journal.note(row.id, facts, "cli")
        return row.id

    async def state(self, loop_id: str) -> FleetState:
        """Where a fleet loop stands."""
        return fold_fleet(await self.loops.journal.events(loop_id))

    async def drive(
        self, loop_id: str, invocation: Invocation, on_event: Callable[[Event], None] | None = None
    ) -> tuple[FleetState, str]:
        """Give turns until a limit, until every project is over, or until somebody wants a pause; returns why."""
        async with self.loops.engine.hold(loop_id) as claim:
            driver = FleetDriver(claim, self.loops, invocation)
            with self.loops.bus.subscribe("*") as subscription:
                async with anyio.create_task_group() as group:
                    if on_event is not None:
                        group.start_soon(forward, subscription, on_event)
                    why = await driver.drive()
                    subscription.close()
            return driver.state, why

    def _open(self, resolved: Resolved) -> LoopRow | None:
        with Reads(database_location(self.loops.environ)) as reads:
            row = next(iter(reads.loops_named(resolved.name, resolved.place)), None)
        return None if row is None or row.landed or (row.status == "ended" and row.reason in FINAL) else row

    async def _start(self, ask: LoopAsk, resolved: Resolved) -> str:
        """The fleet loop and a loop for each project, in one transaction."""
        loop_id = new_id("l")
        spec = _rules(resolved, ask)
        children: list[NewStream] = []
        for project in resolved.projects:
            own = spec_of(resolved, project, flags_of(ask)).model_copy(update={"max_cost": None})
            children.append(await self.loops.new_stream(ask, resolved, project, own, parent=loop_id))
        names = [project.name for project in resolved.projects]
        started = FleetStarted(
            name=resolved.name,
            place=resolved.place,
            spec=spec,
            loops={name: child.stream_id for name, child in zip(names, children, strict=True)},
            slot=ask.slot,
        )
        cap = Cap(scope=f"loop:{loop_id}", cap=spec.max_cost)
        whole = NewStream(stream_id=loop_id, kind="loop", facts=(started,), caps=(cap,))
        await self.loops.journal.create([whole, *children], "cli")
        return loop_id


@dataclass(slots=True)
class FleetDriver:
    """One claimed fleet loop; it may die at any line, and goes on with the turn that was given."""

    claim: Claim
    loops: Loops
    invocation: Invocation
    state: FleetState = field(default_factory=FleetState)
    _at: float = field(default_factory=time.monotonic)

    async def drive(self) -> str:
        """Give turns; returns why it stopped, in one word."""
        self._take(await self.loops.journal.events(self.claim.stream_id))
        why = "lost"
        async with anyio.create_task_group() as group:
            group.start_soon(self._listen)
            try:
                while (why := await self._step()) == "":
                    pass
            except Fenced:
                why = "lost"
            except Held:
                why = "held"
            group.cancel_scope.cancel()
        return why

    async def _step(self) -> str:
        """One turn, or the end; empty while there is more to do."""
        state = self.state
        if state.ended or state.spec is None:
            return "ended"
        if state.turn is not None:
            await self._turn(state.turn)
            return ""
        if state.stop_asked:
            await self._record(LoopEnded(reason="cancelled", message=state.stop_asked.note))
            return ""
        if state.paused:
            return "paused"
        if (end := self._limit()) is not None:
            await self._record(end)
            return ""
        if self.invocation.until is not None and time.time() >= self.invocation.until:
            return "deadline"
        if self.invocation.over:
            return "once"
        project = next_project(state)
        if project is not None:
            await self._record(TurnGiven(project=project, loop_id=state.members[project].loop_id))
            return ""
        if any(member.over == WAITS for member in state.members.values()):
            return "parked"
        await self._record(self._all_over())
        return ""

    def _limit(self) -> LoopEnded | None:
        state, spec = self.state, self.state.spec
        assert spec is not None
        elapsed = state.active + time.monotonic() - self._at
        if state.iterations >= spec.max_iter:
            return LoopEnded(reason="max_iter", message=f"{state.iterations} of {spec.max_iter} iterations")
        broke = any(member.over == "max_cost" for member in state.members.values())
        if spec.max_cost is not None and (state.cost >= spec.max_cost or broke):
            return LoopEnded(reason="max_cost", message=f"${state.cost:.4f} of ${spec.max_cost:.2f}")
        if spec.max_tokens is not None and state.tokens >= spec.max_tokens:
            return LoopEnded(reason="max_tokens", message=f"{state.tokens} of {spec.max_tokens} tokens")
        if spec.max_time is not None and elapsed >= spec.max_time:
            return LoopEnded(reason="max_time", message=f"{elapsed:.0f} of {spec.max_time:.0f} seconds")
        return None

    def _all_over(self) -> LoopEnded:
        told = "; ".join(f"{project}: {member.over}" for project, member in self.state.members.items())
        reasons = {member.over for member in self.state.members.values()}
        if reasons == {"done"}:
            return LoopEnded(reason="done", message=told)
        return LoopEnded(reason="error" if reasons == {"error"} else "stagnation", message=told)

    async def _turn(self, project: str) -> None:
        """One iteration of a project; its loop's own record says what came of it."""
        loop_id = self.state.members[project].loop_id
        before = await self.loops.state(loop_id)
        await self.loops.journal.note(loop_id, [LoopResumed(reopened=before.ended is not None)], "loop")
        why = await self.loops.drive(loop_id, Invocation(until=self.invocation.until, turns=1))
        after = await self.loops.state(loop_id)
        await self._record(
            TurnTaken(
                project=project,
                iterations=after.iterations,
                accepted=after.accepted,
                cost=after.cost,
                tokens=after.tokens,
                over=_over(after, why),
            )
        )
        if self.invocation.turns is not None:
            self.invocation.turns -= 1

    async def _listen(self) -> None:
        """Hear what others record: a stop that is meant for now reaches the project under way too."""
        asked = False
        while True:
            await anyio.sleep(LOOK)
            self._take(await self.loops.journal.events(self.claim.stream_id, self.state.seq))
            stop, turn = self.state.stop_asked, self.state.turn
            if stop is not None and stop.now and turn is not None and not asked:
                asked = True
                told = LoopStopAsked(now=True, note=stop.note)
                await self.loops.journal.note(self.state.members[turn].loop_id, [told], "loop")

    async def _record(self, fact: Fact) -> None:
        events = await self.loops.journal.append(self.claim, [fact])
        if events[0].seq > self.state.seq + 1:
            with anyio.CancelScope(shield=True):
                events = await self.loops.journal.events(self.claim.stream_id, self.state.seq)
        self._take(events)

    def _take(self, events: Sequence[Event]) -> None:
        fresh = [event for event in events if event.seq > self.state.seq]
        self.state = fold_fleet(fresh, self.state)
        self._at = time.monotonic()
        for event in fresh:
            self.loops.bus.publish(self.claim.stream_id, event)


def _over(state: LoopState, why: str) -> str | None:
    if state.ended is not None:
        return state.ended.reason
    if state.parked is not None:
        return WAITS
    if state.ran is not None and state.ran.reason == "max_cost":
        return "max_cost"
    return "lost" if why == "lost" else None


def fleet_exit_of(state: FleetState, why: str) -> tuple[ExitCode, str]:
    """What the way a fleet loop stopped means for a script."""
    if why == "ended" and state.ended is not None:
        reason = state.ended.reason
        if reason == "done":
            return ExitCode.OK, reason
        return (ExitCode.LIMIT if reason.startswith("max_") else ExitCode.FAILED), reason
    codes = {"paused": ExitCode.WAITS, "parked": ExitCode.WAITS, "deadline": ExitCode.LIMIT, "once": ExitCode.OK}
    codes["held"] = ExitCode.WAITS
    return codes.get(why, ExitCode.REFUSED if why == "lost" else ExitCode.FAILED), why


def _rules(resolved: Resolved, ask: LoopAsk) -> LoopSpec:
    """The rules of the whole: limits and goal are shared, gates and protected files are each project's own."""
    if not resolved.projects:
        raise NothingSelected(f"{resolved.name} selects no project", hint="acp projects ls")
    return spec_of(resolved, resolved.projects[0], flags_of(ask)).model_copy(update={"gates": (), "judges": ()})
