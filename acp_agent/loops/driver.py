"""The driver of one loop: decide, do, record, until it ends, waits, or somebody wants a pause."""

import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

import anyio

from acp_agent.domain.errors import AcpAgentError, Fenced, Held, NotRecorded
from acp_agent.domain.events import Event, Fact
from acp_agent.domain.events_loop import (
    IterationPlanned,
    IterationPrepared,
    IterationStarted,
    LoopAgent,
    LoopChanged,
    LoopChangeRefused,
    LoopEnded,
    LoopParked,
    LoopResumed,
    Rotated,
    StagnationMet,
)
from acp_agent.domain.loop import LoopState, fold_loop
from acp_agent.domain.loop_spec import LoopSpec
from acp_agent.domain.ports import Claim, Journal
from acp_agent.domain.skill import SkillEntry
from acp_agent.fleet.worktree import CommandRunner, GitWorkplaces
from acp_agent.loops import steps
from acp_agent.loops.bounds import Bounds
from acp_agent.loops.decide import Moment, next_step
from acp_agent.loops.handover import handover
from acp_agent.loops.hooking import settle
from acp_agent.loops.judging import Judging
from acp_agent.loops.place import LoopPlace
from acp_agent.loops.steps import Step
from acp_agent.loops.working import Working
from acp_agent.runs.bus import Bus
from acp_agent.runs.hooks import Hooks
from acp_agent.runs.ids import new_id
from acp_agent.runs.port import Engine
from acp_agent.runs.runner import Runner

LOOK = 1.0
"""Seconds between two looks at what others recorded meanwhile."""

Reread = Callable[[LoopState], Awaitable[LoopSpec | str | None]]
"""The rules as the loop's file has them now: changed ones, why they cannot be used, or None for the same."""


@dataclass(frozen=True, slots=True)
class LoopParts:
    """The collaborators of every loop in this process. `agent` is who works as a role, after an escalation."""

    journal: Journal
    runner: Runner
    engine: Engine
    bus: Bus
    places: GitWorkplaces
    commands: CommandRunner
    redact: Callable[[str], str]
    agent: Callable[[LoopState, str], Awaitable[LoopAgent]]
    reread: Reread
    bounds: Callable[[LoopState], Bounds]
    environ: Mapping[str, str]
    hooks: Hooks = field(default_factory=Hooks)
    skills: Callable[[str], tuple[SkillEntry, ...]] = lambda cwd: ()


@dataclass(slots=True)
class Invocation:
    """How long one process may drive: until a Unix time, for so many iterations, and until `stop` is set."""

    until: float | None = None
    turns: int | None = None
    stop: anyio.Event | None = None

    @property
    def over(self) -> bool:
        """Whether no further iteration may begin."""
        return (self.turns is not None and self.turns <= 0) or (self.stop is not None and self.stop.is_set())


@dataclass(slots=True)
class LoopDriver:
    """One claimed loop. Everything it knows is the fold of the loop's events; it may die at any line."""

    claim: Claim
    parts: LoopParts
    invocation: Invocation
    state: LoopState = field(default_factory=LoopState)
    begun: str | None = None
    _effect: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    _at: float = field(default_factory=time.monotonic)
    _news: anyio.Event = field(default_factory=anyio.Event)

    @property
    def elapsed(self) -> float:
        """Seconds that drivers have spent on the loop."""
        return self.state.active + time.monotonic() - self._at

    @property
    def spec(self) -> LoopSpec:
        """The rules in force."""
        if self.state.spec is None:
            raise ValueError(f"{self.claim.stream_id} has no first event")
        return self.state.spec

    @property
    def place(self) -> LoopPlace:
        """Its two working trees."""
        work, judge = self.state.work, self.state.judge
        if work is None or judge is None:
            raise ValueError(f"{self.claim.stream_id} has no first event")
        return LoopPlace(self.claim.stream_id, work, judge)

    async def drive(self) -> str:
        """Go on until nothing more can be done now; returns why, in one word. `lost` says that another process drives.

        The lease is held by the caller.
        """
        self.take(await self.parts.journal.events(self.claim.stream_id))
        why = "lost"
        async with anyio.create_task_group() as group:
            group.start_soon(self._listen)
            try:
                why = await self._go_on()
            except Fenced:
                why = "lost"
            except Held:
                why = "held"
            group.cancel_scope.cancel()
        return why

    async def _go_on(self) -> str:
        while await self.parts.journal.hold() is None:
            await settle(self)
            step = next_step(self.state, self._moment())
            if isinstance(step, steps.Plan) and await self._has_changed():
                continue
            if isinstance(step, steps.Leave):
                return step.why
            with anyio.CancelScope() as self._effect:
                await self._guarded(step)
        return "held"

    async def record(self, *facts: Fact) -> None:
        """Put facts on record, fold them, and tell who watches."""
        decided = self.state.iterations
        events = await self.parts.journal.append(self.claim, facts)
        if events[0].seq > self.state.seq + 1:
            with anyio.CancelScope(shield=True):
                events = await self.parts.journal.events(self.claim.stream_id, self.state.seq)
        self.take(events)
        if self.invocation.turns is not None:
            self.invocation.turns -= self.state.iterations - decided

    def take(self, events: Sequence[Event]) -> None:
        """Fold what is on record."""
        fresh = [event for event in events if event.seq > self.state.seq]
        self.state = fold_loop(fresh, self.state)
        self._at = time.monotonic()
        for event in fresh:
            self.parts.bus.publish(self.claim.stream_id, event)

    def _moment(self) -> Moment:
        now = time.time()
        local = time.localtime(now)
        return Moment(
            now=now,
            elapsed=self.elapsed,
            second=local.tm_hour * 3600 + local.tm_min * 60 + local.tm_sec,
            mine=self.state.run_id is not None and self.state.run_id == self.begun,
            until=self.invocation.until,
            turns=0 if self.invocation.over else self.invocation.turns,
        )

    async def _listen(self) -> None:
        """Hear what others record: a stop that is meant for now ends the run under way."""
        asked = False
        while True:
            await anyio.sleep(LOOK)
            news = await self.parts.journal.events(self.claim.stream_id, self.state.seq)
            self.take(news)
            if news or self.invocation.over:
                self._news.set()
            held = await self.parts.journal.hold()
            if held is not None and held.now and self.state.phase != "started":
                # What a run does its own driver ends; measuring and checking are ours, and begin again.
                self._effect.cancel()
            stop, run_id = self.state.stop_asked, self.state.run_id
            if stop is not None and stop.now and not asked and self.state.phase == "started" and run_id:
                asked = True
                await self.parts.runner.cancel(self.parts.engine, run_id, note=stop.note or "the loop was stopped")

    async def _has_changed(self) -> bool:
        """Whether the loop's file has other rules now; they hold from this iteration on."""
        found = await self.parts.reread(self.state)
        if isinstance(found, LoopSpec):
            await self.record(LoopChanged(spec=found, source="file", flags=self.state.flags))
            return True
        if found is not None and found != self.state.change_refused:
            await self.record(LoopChangeRefused(why=found))
        return False

    async def _guarded(self, step: Step) -> None:
        """Do `step`; what goes wrong beyond runs and checks ends the loop with the reason on record."""
        try:
            await self._do(step)
        except (Fenced, Held, NotRecorded):
            raise
        except AcpAgentError as error:
            hint = f" ({error.hint})" if error.hint else ""
            await self.record(LoopEnded(reason="error", message=f"{error.what}{hint}"))
        except Exception as error:
            message = f"internal error: {type(error).__name__}: {error}"
            await self.record(LoopEnded(reason="error", message=message, trace=traceback.format_exc()))

    async def _do(self, step: Step) -> None:
        match step:
            case steps.Measure() | steps.CheckDone() | steps.Capture() | steps.Verify() | steps.Accept():
                await Judging(self).do(step)
            case steps.Reject() | steps.Salvage():
                await Judging(self).do(step)
            case steps.Work():
                await Working(self).do()
            case steps.Plan() | steps.Prepare() | steps.Start() | steps.Rotate() | steps.Stagnate():
                await self._begin(step)
            case steps.Wait():
                await self._wait(step)
            case steps.Park(waiting, detail):
                await self.record(LoopParked(waiting=waiting, detail=detail))
            case steps.End(reason, message):
                await self.record(LoopEnded(reason=reason, message=message))
            case steps.Leave():
                return
            case _:
                assert_never(step)

    async def _begin(self, step: steps.Plan | steps.Prepare | steps.Start | steps.Rotate | steps.Stagnate) -> None:
        state = self.state
        match step:
            case steps.Plan(iteration, attempt):
                await self.record(IterationPlanned(iteration=iteration, attempt=attempt))
            case steps.Prepare():
                await self.place.prepare(self.parts.places, state.setup)
                await self.place.reset(state.base)
                await self.record(IterationPrepared(iteration=state.iteration, base=state.base))
            case steps.Start():
                self.begun = new_id("r")
                started = IterationStarted(iteration=state.iteration, attempt=state.attempt, run_id=self.begun)
                await self.record(started)
            case steps.Rotate(why):
                await self.record(self._rotated(why))
            case steps.Stagnate():
                await self._stagnate(step)
            case _:
                assert_never(step)

    def _rotated(self, why: str) -> Rotated:
        text = handover(self.state, self.spec, self.elapsed) if self.state.attempts else ""
        return Rotated(rotation=self.state.rotation + 1, session_id=new_id("s"), handover=text, why=why)

    async def _stagnate(self, step: steps.Stagnate) -> None:
        met = StagnationMet(step=step.step, why=step.why)
        if step.step == "ask":
            detail = f"{step.why}: say what to do next"
            await self.record(met, LoopParked(waiting="answer", detail=detail))
            return
        if step.step.startswith("escalate:"):
            agent = await self.parts.agent(self.state, step.step.removeprefix("escalate:"))
            met = met.model_copy(update={"agent": agent})
        # Whoever comes now shall not begin in the rut of the one before.
        await self.record(met, self._rotated(step.why))

    async def _wait(self, step: steps.Wait) -> None:
        """Sleep until it is time, or somebody says something; a wait is no work."""
        deadline = min(step.until, self.invocation.until or step.until)
        while time.time() < deadline and not self._is_called():
            self._news = anyio.Event()
            with anyio.move_on_after(max(0.0, deadline - time.time())):
                await self._news.wait()
        if not self._is_called():
            await self.record(LoopResumed())

    def _is_called(self) -> bool:
        state = self.state
        return state.paused or state.stop_asked is not None or self.invocation.over
