"""The driver of one claimed run: decide, do, record, until it ends or waits."""

import time
import traceback
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import assert_never

import anyio

from acp_agent.agent.actions import (
    Act,
    Action,
    Adopt,
    Answer,
    Ask,
    Check,
    Commit,
    Consult,
    Finish,
    Forget,
    Inquire,
    Limit,
    Park,
    Prepare,
    Propose,
    Recover,
    Stop,
    Tell,
    Think,
    Verify,
)
from acp_agent.agent.calls import Scene
from acp_agent.agent.decide import next_action
from acp_agent.agent.lookup import is_guess
from acp_agent.domain.budget import Reservation, Settlement
from acp_agent.domain.errors import AcpAgentError, Fenced, Held, NotRecorded
from acp_agent.domain.events import (
    AnswerChecked,
    Event,
    Fact,
    GateStarted,
    LimitReached,
    Resumed,
    RunEnded,
    ToolRefused,
    WorkspacePrepared,
)
from acp_agent.domain.policy import InForce
from acp_agent.domain.ports import Claim, Prepared, Tools
from acp_agent.domain.request import Gate, RunRequest
from acp_agent.domain.run import OpenCall, RunState, fold
from acp_agent.domain.weight import Weights
from acp_agent.runs.acting import act, recover
from acp_agent.runs.answer import check_answer
from acp_agent.runs.asking import ask, put_question
from acp_agent.runs.breach import parked
from acp_agent.runs.holding import stopped
from acp_agent.runs.hooking import before_end, settle
from acp_agent.runs.keeping import snapshot_after, snapshot_before
from acp_agent.runs.parts import Parts
from acp_agent.runs.past import Past
from acp_agent.runs.reviewing import consult
from acp_agent.runs.thinking import Thinking


class Driver:
    """One claimed run. Everything it knows is the fold of the run's events; it may die at any line."""

    def __init__(self, claim: Claim, parts: Parts, past: Past) -> None:
        self.claim = claim
        self.parts = parts
        self.past = past
        self.state = RunState(seen=past.seen, skills=past.skills, taint=past.taint, approved=past.plan)
        self.tools: Tools | None = None
        self.weights: Weights = {}
        self.effect: anyio.CancelScope | None = None
        self.halted = False
        self.kept: set[str] = set()
        self._at = time.monotonic()
        # In a ring the driver would stay, with all that its run said, until the collector comes.
        self._thinking = Thinking(weakref.proxy(self))

    @property
    def request(self) -> RunRequest:
        """What the run was asked."""
        if self.state.request is None:
            raise ValueError(f"{self.claim.stream_id} has no first event")
        return self.state.request

    @property
    def elapsed(self) -> float:
        """Seconds that drivers have spent on the run."""
        return self.state.active + time.monotonic() - self._at

    async def drive(self, events: Sequence[Event]) -> RunState:
        """Go on from `events`, the run's up to now, until it ends or waits.

        A lost lease ends the drive quietly, since another driver has the run, and so does a hold.
        """
        try:
            self._take(events)
            if self.claim.fence > 1:
                await self.record(Resumed(fence=self.claim.fence))
            while not isinstance(action := await self._next(), Stop):
                await self._guarded(action)
        except (Fenced, Held):
            return self.state
        finally:
            if self.tools is not None:
                self.tools.release()
        return self.state

    async def refresh(self, seq: int) -> None:
        """Read facts that others recorded; a cancellation stops the effect under way."""
        if seq > self.state.seq:
            self._take(await self.parts.journal.events(self.claim.stream_id, self.state.seq))
        if self.state.cancel_asked and self.effect is not None:
            self.effect.cancel()

    async def record(
        self, *facts: Fact, reserve: Sequence[Reservation] = (), settle: Sequence[Settlement] = ()
    ) -> None:
        """Put facts on record, fold them, and tell who watches."""
        events = await self.parts.journal.append(self.claim, facts, reserve=reserve, settle=settle)
        if events[0].seq > self.state.seq + 1:
            # What is on record is folded, whatever cancels us: no fact may be booked twice.
            with anyio.CancelScope(shield=True):
                events = await self.parts.journal.events(self.claim.stream_id, self.state.seq)
        self._take(events)

    def begin(self, scope: anyio.CancelScope) -> None:
        """An effect begins that a cancellation stops, also one that came while its intent was put on record."""
        self.effect = scope
        if self.state.cancel_asked or self.halted:
            scope.cancel()

    def halt(self) -> None:
        """End the effect under way, and begin no other."""
        self.halted = True
        if self.effect is not None:
            self.effect.cancel()

    def budget_left(self) -> float | None:
        """Seconds until the run's time is up; None without a limit."""
        limit = self.request.limits.max_time
        return None if limit is None else max(0.0, limit - self.elapsed)

    def _take(self, events: Sequence[Event]) -> None:
        fresh = [event for event in events if event.seq > self.state.seq]
        self.state = fold(fresh, self.state)
        self._at = time.monotonic()
        for event in fresh:
            self.parts.bus.publish(self.claim.stream_id, event)

    async def _next(self) -> Action:
        # The record refuses intents while a hold is on; what has none (a worktree, hooks, a commit) is kept back here.
        if self.state.ended is None and (held := await self.parts.journal.hold()) is not None:
            raise stopped(held)
        # One that was lifted again before we looked has ended an effect, and no more than that.
        self.halted = False
        await settle(self)
        await self._open_tools()
        policy = InForce()
        if self.tools is not None:
            await self.tools.refresh()
        if self.tools is not None and self.state.calls:
            calls = [open_call.call for open_call in self.state.calls]
            self.weights = {call.call_id: await self.tools.weigh(call) for call in calls}
            # Looked up each time: what a person revokes holds no longer, also for a run under way.
            policy = await self.parts.policy(self.request)
        # Weighing a call may have waited for the server of its tool: what there is to call is asked after it.
        specs = self.tools.specs() if self.tools else {}
        return next_action(self.state, Scene(specs, self.weights, policy), self.elapsed)

    async def _open_tools(self) -> None:
        if self.tools is None and self.state.path is not None and not self.state.ended:
            try:
                self.tools = await self.parts.tools(self.request, self.state.path)
            except OSError as error:
                await self.record(RunEnded(reason="error", message=f"{self.state.path}: {error.strerror}"))

    async def _guarded(self, action: Action) -> None:
        """Do `action`; what goes wrong beyond tools and models ends the run with the reason on record."""
        try:
            await self._do(action)
        except (Fenced, Held, NotRecorded):
            raise
        except AcpAgentError as error:
            await self._thinking.give_up(error)
            hint = f" ({error.hint})" if error.hint else ""
            await self._end(RunEnded(reason="error", message=f"{error.what}{hint}"))
        except Exception as error:
            await self._thinking.give_up(error)
            message = f"internal error: {type(error).__name__}: {error}"
            await self._end(RunEnded(reason="error", message=message, trace=traceback.format_exc()))

    async def _do(self, action: Action) -> None:
        match action:
            case Think() | Forget():
                await self._thinking.do(action)
            case Act(calls):
                await act(self, calls)
            case Recover(call):
                await recover(self, call)
            case Answer(call, result):
                await self.record(ToolRefused(call_id=call.call.call_id, tool=call.call.name, result=result))
            case Ask() | Inquire() | Propose() | Adopt():
                await ask(self, action)
            case Consult():
                await consult(self, action)
            case Limit(limit):
                await self.record(LimitReached(limit=limit, detail=f"The limit {limit} of this run is reached."))
            case Park(exceeds):
                await self.record(parked(exceeds, ""))
            case Check() | Tell() | Prepare() | Verify() | Commit() | Finish() | Stop():
                await self._frame(action)
            case _:
                assert_never(action)

    async def _frame(self, action: Check | Tell | Prepare | Verify | Commit | Finish | Stop) -> None:
        request, places = self.request, self.parts.places
        match action:
            case Prepare():
                with self.stoppable():
                    path = await places.prepare(self.claim.stream_id, request.workplace, request.setup)
                    await self.record(WorkspacePrepared(path=path, base=request.workplace.base))
            case Check():
                await self.record(check_answer(request, self.state.text, is_guess(self.state, request)))
            case Tell(answer):
                await self.record(AnswerChecked(value=answer))
            case Verify(gate):
                await self._verify(gate)
            case Commit():
                message = commit_message(request, self.state.text)
                await self.record(await places.commit(self.claim.stream_id, request.workplace, message))
            case Finish(reason, message):
                await self._end(RunEnded(reason=reason, message=message))
            case Stop():
                return
            case _:
                assert_never(action)

    async def _end(self, ended: RunEnded) -> None:
        await before_end(self, ended)
        await self.record(ended)

    async def _verify(self, gate: Gate) -> None:
        of = f"gate:{gate.name}"
        await self.record(*await snapshot_before(self, of), GateStarted(gate=gate.name, command=gate.run))
        finished: list[Fact] = []
        with self.stoppable():
            finished.append(await self.parts.places.check(self.request.workplace, gate, self.request.protect))
        if facts := [*await snapshot_after(self, of), *finished]:
            await self.record(*facts)

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """Work that a cancellation stops where it is; the next decision sees why."""
        with anyio.CancelScope() as scope:
            self.begin(scope)
            yield
        self.effect = None

    async def put_question(self, open_call: OpenCall, prepared: Prepared, why: str) -> None:
        """Ask a person about a valid call because a hook says so, and wait."""
        await put_question(self, Ask(open_call, prepared.weight, why), prepared)


def commit_message(request: RunRequest, text: str) -> str:
    """The message of the result's commit: the first line of the prompt, then what the model said of it."""
    subject = (request.title or request.prompt).strip().splitlines()[0][:72]
    return f"{subject}\n\n{text.strip()[:4000]}\n" if text.strip() else f"{subject}\n"
