"""The life of runs in this process: start, drive, watch, answer, cancel, resume."""

from collections.abc import AsyncIterator, Sequence

from acp_agent.domain.approving import has_approved
from acp_agent.domain.budget import Cap
from acp_agent.domain.errors import Refused, UsageError
from acp_agent.domain.events import ApprovalGiven, CancelAsked, Decision, Event, Fact, RunStarted
from acp_agent.domain.events_person import PicturesGiven, PlanEdited, QuestionAnswered
from acp_agent.domain.message import Image, Word
from acp_agent.domain.ports import Claim, NewStream
from acp_agent.domain.question import answered
from acp_agent.domain.request import RunRequest
from acp_agent.domain.run import RunState, fold
from acp_agent.domain.work_plan import WorkPlan
from acp_agent.runs.driver import Driver
from acp_agent.runs.ids import new_id
from acp_agent.runs.parts import Parts
from acp_agent.runs.past import Past, Pasts
from acp_agent.runs.port import Engine

ANSWERS: dict[str, frozenset[str]] = {
    "approval": frozenset({"allow", "deny"}),
    "outcome_unknown": frozenset({"done", "retry", "skip"}),
    "crash_loop": frozenset({"retry"}),
    "breach": frozenset({"allow", "deny"}),
    "budget": frozenset({"retry"}),
}


class Runner:
    """What surfaces, batches and loops use to run agents, and what an engine uses to drive them (the Worker port)."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._drivers: dict[str, Driver] = {}
        self._pasts = Pasts(parts.journal)

    async def start(
        self, request: RunRequest, actor: str = "user", facts: Sequence[Fact] = (), run_id: str | None = None
    ) -> str:
        """Queue a new run, with `facts` that hold from its start, in one transaction; returns its id.

        Raises Refused for a `run_id` that exists already.
        """
        stream = new_run(request, facts, run_id)
        await self._parts.journal.create([stream], actor)
        return stream.stream_id

    async def state(self, run_id: str) -> RunState:
        """Where a run stands. Raises UsageError for an unknown id."""
        events = await self._parts.journal.events(run_id)
        if not events:
            raise UsageError(f"there is no run {run_id}", hint="acp ps")
        return fold(events)

    async def drive(self, claim: Claim) -> RunState:
        """Drive a claimed run until it ends or waits; the lease is given back in any case."""
        events = await self._parts.journal.events(claim.stream_id)
        driver = Driver(claim, self._parts, await self._past(claim.stream_id, events))
        self._drivers[claim.stream_id] = driver
        try:
            return await driver.drive(events)
        finally:
            del self._drivers[claim.stream_id]

    async def _past(self, run_id: str, events: Sequence[Event]) -> Past:
        """Nothing for a run of a batch: its session begins with it."""
        started = events[0].data
        if not isinstance(started, RunStarted) or started.request.batch_id is not None:
            return Past()
        return await self._pasts.before(started.request.session_id, run_id)

    async def past(self, session_id: str) -> Past:
        """What the runs of a session leave to its next one."""
        return await self._pasts.before(session_id)

    async def last(self, session_id: str) -> RunState | None:
        """Where the last run of a session stands; None before its first one."""
        return await self._pasts.last(session_id)

    async def poke(self, run_id: str, seq: int) -> None:
        """Facts up to `seq` are on record; the run's driver here reads those it has not seen."""
        driver = self._drivers.get(run_id)
        if driver is not None:
            await driver.refresh(seq)

    def abandon(self, run_id: str) -> None:
        """The lease of a run driven here is lost: stop what it does; its writes are refused by the fence."""
        driver = self._drivers.get(run_id)
        if driver is not None and driver.effect is not None:
            driver.effect.cancel()

    def halt(self, run_id: str) -> None:
        """A person stopped everything at once: end what the run does; the record says what came of it."""
        driver = self._drivers.get(run_id)
        if driver is not None:
            driver.halt()

    async def watch(self, run_id: str, after: int = 0) -> AsyncIterator[Event | Word]:
        """The facts of a run after `seq` in order, and the words of this process's driver, until it ends or waits."""
        with self._parts.bus.subscribe(run_id) as subscription:
            seq = after
            for event in await self._parts.journal.events(run_id, after):
                seq = event.seq
                yield event
            if _over(await self.state(run_id)):
                return
            async for item in subscription:
                if isinstance(item, Word):
                    yield item
                elif item.seq > seq:
                    seq = item.seq
                    yield item
                    if item.data.type in ("run_ended", "parked"):
                        return

    async def answer(
        self,
        engine: Engine,
        run_id: str,
        decision: Decision,
        *,
        call_id: str | None = None,
        binding: str | None = None,
        note: str = "",
        images: tuple[Image, ...] = (),
        actor: str = "",
    ) -> None:
        """A person's answer to what a run waits for, with `images` to its `note`; the run is queued again.

        Raises Refused where it waits for something else by now than the call, and the hash, that the person was shown.
        """
        await engine.lapse()
        state = await self.state(run_id)
        waiting = state.waiting
        if waiting is None:
            raise Refused(f"{run_id} does not wait for an answer", hint=f"acp show {run_id}")
        if decision not in ANSWERS.get(waiting.waiting, frozenset()):
            fitting = ", ".join(sorted(ANSWERS.get(waiting.waiting, frozenset()))) or "none"
            raise UsageError(f"{run_id} waits for {waiting.waiting}: {decision!r} is no answer to it", hint=fitting)
        if call_id is not None and waiting.call_id != call_id:
            raise Refused(f"{run_id} waits for call {waiting.call_id}, not {call_id}", hint=f"acp show {run_id}")
        asked = state.asked.binding if state.asked else ""
        if binding is not None and asked != binding:
            raise Refused(f"{run_id} asks about another call by now", hint=f"acp show {run_id}")
        if decision == "allow" and state.asked and state.asked.needed > 1 and has_approved(actor, state.asked.approved):
            raise Refused(
                f"{run_id}: you have approved this call already; it needs a second approver",
                hint="another person, or [roles.reviewer] in config.toml; acp approve --deny refuses the call",
            )
        given = ApprovalGiven(call_id=waiting.call_id or "", decision=decision, note=note, binding=asked)
        await self._parts.journal.note(run_id, [*_pictures(images), given], actor)
        await engine.wake(run_id)

    async def reply(
        self,
        engine: Engine,
        run_id: str,
        text: str,
        *,
        images: tuple[Image, ...] = (),
        call_id: str | None = None,
        actor: str = "",
    ) -> QuestionAnswered:
        """A person's answer to a question of the agent, by the number of a choice or in words; the run is queued again.

        Nothing at all takes the default. Raises Refused where the run waits for something else by now.
        """
        asked = (await self.state(run_id)).question
        if asked is None or call_id not in (None, asked.call_id):
            raise Refused(f"{run_id} does not wait for an answer to that question", hint=f"acp show {run_id}")
        fact = answered(asked, text)
        await self.record_reply(engine, run_id, fact, actor, images)
        return fact

    async def record_reply(
        self, engine: Engine, run_id: str, fact: QuestionAnswered, actor: str, images: tuple[Image, ...] = ()
    ) -> None:
        """Put an answer to the run's question on record; the run is queued again. Refused where it no longer waits."""
        await self._parts.journal.note(run_id, [*_pictures(images), fact], actor)
        await engine.wake(run_id)

    async def edit_plan(self, run_id: str, plan: WorkPlan, actor: str) -> None:
        """Change the plan that waits for approval. Raises Refused where none does."""
        state = await self.state(run_id)
        if state.proposed is None or state.waiting_for != "approval":
            raise Refused(f"{run_id} has no plan that waits", hint=f"acp show {run_id}")
        await self._parts.journal.note(run_id, [PlanEdited(call_id=state.proposed.call_id, plan=plan)], actor)

    async def cancel(self, engine: Engine, run_id: str, *, note: str = "", actor: str = "") -> None:
        """Ask a run to end: its effect is stopped, its partial result kept."""
        await self._parts.journal.note(run_id, [CancelAsked(note=note)], actor)
        await engine.cancel(run_id)

    async def resume(self, engine: Engine, run_ids: Sequence[str]) -> None:
        """Bring runs that nobody drives back to the engine; each goes on where its record stands."""
        await engine.submit(run_ids)


def new_run(request: RunRequest, facts: Sequence[Fact] = (), run_id: str | None = None) -> NewStream:
    """The stream of a new run: its first fact and then `facts`, a budget, and a session if it names none."""
    run_id = run_id or new_id("r")
    scope = f"run:{run_id}"
    scopes = (scope, *request.scopes)
    session = request.session_id or new_id("s")
    complete = request.model_copy(update={"scopes": scopes, "session_id": session})
    cap = Cap(scope=scope, cap=request.limits.max_cost)
    return NewStream(stream_id=run_id, kind="run", facts=(RunStarted(request=complete), *facts), caps=(cap,))


def _pictures(images: tuple[Image, ...]) -> tuple[PicturesGiven, ...]:
    return (PicturesGiven(images=images),) if images else ()


def _over(state: RunState) -> bool:
    return state.ended is not None or state.waiting is not None
