"""Whoever watches the runs of a session: asked what a run waits for while it waits, and what they say put on record."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

import anyio

from acp_agent.domain.always import allowance_of
from acp_agent.domain.approving import has_approved
from acp_agent.domain.errors import Refused
from acp_agent.domain.events import ApprovalAsked, Event
from acp_agent.domain.events_person import PlanProposed, QuestionAnswered, QuestionAsked
from acp_agent.domain.events_session import SessionChanged
from acp_agent.domain.message import Image, Word
from acp_agent.domain.policy import Mode
from acp_agent.domain.ports import Journal
from acp_agent.domain.question import answered, unanswered
from acp_agent.domain.run import RunState
from acp_agent.domain.tool import Risk
from acp_agent.domain.work_plan import PROPOSE_PLAN, WorkPlan
from acp_agent.runs.allowances import Allowances
from acp_agent.runs.port import Engine
from acp_agent.runs.runner import Runner
from acp_agent.runs.sessions import Sessions

T = TypeVar("T")
Verdict = Literal["allow", "always", "deny"]
Ask = Callable[[ApprovalAsked], Awaitable[Verdict]]
Reply = Callable[[QuestionAsked], Awaitable[str | None]]
"""What a person answers to a question, empty where they decline; None ends the turn, and the next prompt answers."""
Tell = Callable[[Event | Word], None]
LOOK_AGAIN = 1.0
"""Seconds after which a person who is being asked is looked after: another surface may have answered for them."""

LIMITS = "limits"
"""Stands for a tool where a person is asked about no call."""


class Elsewhere(Exception):
    """Nobody needs to say anything here any more: the turn was cancelled, or another surface was faster."""


async def later(asked: QuestionAsked) -> None:
    """No answer now: the next prompt gives it."""


@dataclass(frozen=True, slots=True)
class PlanVerdict:
    """What a person says of a plan: `ask` and `edit` approve it, for the mode of that name; `note` are their words.

    `plan` is the one they made of it, None as it was proposed.
    """

    decision: Literal["ask", "edit", "reject"]
    plan: WorkPlan | None = None
    note: str = ""


Judge = Callable[[WorkPlan], Awaitable[PlanVerdict | None]]
"""What a person says of a plan; None ends the turn, and the plan waits."""


async def unjudged(plan: WorkPlan) -> None:
    """Nobody says anything: the plan waits."""


@dataclass(frozen=True, slots=True)
class Person:
    """Whoever watches a turn: asked for approvals, for answers to questions of the agent, and about its plans."""

    approve: Ask
    answer: Reply = later
    judge: Judge = unjudged


class Turn:
    """One prompt on its way: may be cancelled at any moment, also before its run exists and while a person is asked.

    `images` came with it.
    """

    def __init__(self) -> None:
        self.run_id: str | None = None
        self.is_cancelled = False
        self.asking: anyio.CancelScope | None = None
        self.images: tuple[Image, ...] = ()


@dataclass(frozen=True, slots=True)
class People:
    """Drives the runs of a session past everything that a person must say."""

    journal: Journal
    sessions: Sessions
    runner: Runner
    engine: Engine
    allowances: Allowances
    actor: str

    async def drive(self, session_id: str, turn: Turn, run_id: str, person: Person, *, is_new: bool) -> RunState:
        """Drive a run until it ends, or waits for what nobody says now; one that `is_new` waits for nothing yet."""
        while True:
            state = await (self.engine.drive(run_id) if is_new else self._driven(run_id))
            is_new = False
            asked, question = asked_of(state), state.question if state.waiting_for == "answer" else None
            try:
                if (proposed := plan_of_run(state)) is not None:
                    said = await self._said(turn, state, partial(person.judge, proposed.plan))
                    if said is None:
                        return state
                    await self._judged(session_id, run_id, proposed, said)
                elif asked is not None:
                    verdict = await self._said(turn, state, partial(self._verdict, session_id, asked, person.approve))
                    await self._answer(run_id, asked, verdict)
                elif question is not None:
                    fact = await self._said(turn, state, partial(_replied, question, person.answer))
                    if fact is None:
                        return state
                    await self._reply(run_id, fact)
                else:
                    return state
            except Elsewhere:
                continue

    async def _driven(self, run_id: str) -> RunState:
        """Where the run stops next; where it stands, while it still waits: a plan may have been edited meanwhile."""
        state = await self.runner.state(run_id)
        still = state.waiting is not None and not state.cancel_asked and plan_of_run(state) is not None
        return state if still else await self.engine.drive(run_id)

    async def _judged(self, session_id: str, run_id: str, proposed: PlanProposed, said: PlanVerdict) -> None:
        """Put a verdict about a plan on record; the session goes on in the mode that it was approved for."""
        decision: Literal["allow", "deny"] = "deny" if said.decision == "reject" else "allow"
        note = said.note if said.decision == "reject" else said.decision
        try:
            if said.plan is not None and said.plan != proposed.plan and decision == "allow":
                await self.runner.edit_plan(run_id, said.plan, self.actor)
            await self.runner.answer(
                self.engine, run_id, decision, call_id=proposed.call_id, note=note, actor=self.actor
            )
        except Refused:
            state = await self.runner.state(run_id)
            if plan_of_run(state) is not None and not state.cancel_asked:
                raise
            return
        if decision == "allow":
            await self.sessions.change(session_id, SessionChanged(mode=Mode(said.decision)), self.actor)

    async def _said(self, turn: Turn, state: RunState, asking: Callable[[], Awaitable[T]]) -> T:
        """What a person says. Raises Elsewhere."""
        said: list[T] = []
        with anyio.CancelScope() as scope:
            turn.asking = scope
            if (await self.runner.state(state.run_id)).cancel_asked:
                scope.cancel()
            async with anyio.create_task_group() as group:
                group.start_soon(self._look, state, scope)
                said.append(await asking())
                group.cancel_scope.cancel()
        turn.asking = None
        if not said:
            raise Elsewhere
        return said[0]

    async def _look(self, state: RunState, scope: anyio.CancelScope) -> None:
        """Call the question off once the run has gone on."""
        while not await self.journal.events(state.run_id, state.seq):  # noqa: ASYNC110  (another process records them)
            await anyio.sleep(LOOK_AGAIN)
        scope.cancel()

    async def _reply(self, run_id: str, fact: QuestionAnswered) -> None:
        try:
            await self.runner.record_reply(self.engine, run_id, fact, self.actor)
        except Refused:
            # As with approvals: a cancellation, or another surface, was faster.
            state = await self.runner.state(run_id)
            if state.waiting_for == "answer" and not state.cancel_asked:
                raise

    async def _verdict(self, session_id: str, asked: ApprovalAsked, ask: Ask) -> Verdict:
        session = await self.sessions.state(session_id)
        if asked.known_as and asked.known_as in session.allowed:
            # Allowed by its name in a session of an earlier version.
            return "always"
        if asked.needed > 1 and has_approved(self.actor, asked.approved):
            # Nobody else can be asked here, and a turn must end: a run that needs two people is one for `acp run`.
            return "deny"
        verdict = await ask(asked)
        if verdict != "always":
            return verdict
        allowed = allowance_of(asked.tool, asked.name, asked.patterns, session.role, session.cwd)
        if allowed is None:
            return "allow"
        await self.allowances.add(allowed, self.actor)
        return "always"

    async def _answer(self, run_id: str, asked: ApprovalAsked, verdict: Verdict) -> None:
        decision: Literal["allow", "deny"] = "deny" if verdict == "deny" else "allow"
        try:
            await self.runner.answer(
                self.engine,
                run_id,
                decision,
                call_id=None if asked.tool == LIMITS else asked.call_id,
                binding=None if asked.tool == LIMITS else asked.binding,
                note=verdict,
                actor=self.actor,
            )
        except Refused:
            # A cancellation, or another surface, was faster: the next look at the run shows what holds.
            state = await self.runner.state(run_id)
            if asked_of(state) is not None and not state.cancel_asked:
                raise


def plan_of_run(state: RunState) -> PlanProposed | None:
    """The plan that waits to be approved, as it stands after edits."""
    waits = state.waiting_for == "approval" and state.asked is not None and state.asked.tool == PROPOSE_PLAN
    return state.proposed if waits else None


def asked_of(state: RunState) -> ApprovalAsked | None:
    """What a person who watches is asked about a run that waits: a call, or whether it may go beyond its limits."""
    if state.waiting_for == "approval":
        return state.asked
    if state.waiting is None or state.waiting.waiting != "breach":
        return None
    title = f"Go beyond the limits of a run: {state.waiting.detail}"
    call_id = state.waiting.call_id or f"{LIMITS}-{state.seq}"
    return ApprovalAsked(call_id=call_id, tool=LIMITS, risk=Risk.LOCAL, title=title)


async def _replied(asked: QuestionAsked, answer: Reply) -> QuestionAnswered | None:
    """What a person answers in the time they have; None where the next prompt is to be the answer."""
    with anyio.move_on_after(asked.deadline):
        text = await answer(asked)
        return None if text is None else answered(asked, text)
    return unanswered(asked, "deadline")


def label_of(asked: ApprovalAsked) -> str:
    """What a person reads on the button that allows such a call always."""
    return asked.name or asked.tool
