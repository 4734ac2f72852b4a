"""The agent's part of an iteration: its run is an ordinary one, in the loop's tree, without gates and commit."""

from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread

from acp_agent.domain.errors import AcpAgentError
from acp_agent.domain.events import ApprovalAsked, ApprovalGiven, CancelAsked, Event, ModelReplied, ToolRefused
from acp_agent.domain.events_loop import IterationRan, LoopParked
from acp_agent.domain.request import RunRequest, Workplace
from acp_agent.domain.run import RunState, fold
from acp_agent.domain.tool import Risk
from acp_agent.loops.decide import INTERRUPTED
from acp_agent.loops.handover import cut, prompt_for
from acp_agent.loops.hooking import hooks_of_project
from acp_agent.runs.instructions import instructions_for

if TYPE_CHECKING:
    from acp_agent.loops.driver import LoopDriver

EDITS = frozenset({"write_file", "edit_file", "apply_patch"})
NEVER = "no iteration of a loop may change the files that govern it"
GIVEN_UP = "interrupted; the iteration begins again"
NOTE = 6_000
"""Bytes of an agent's last words that the loop's own record keeps; the run's has them all."""


class Working:
    """Drives the run under way to its end, or brings one that its process left to it."""

    def __init__(self, driver: "LoopDriver") -> None:
        self._driver = driver

    async def do(self) -> None:
        """The run of this iteration, until it ends or waits for a person."""
        driver = self._driver
        parts = driver.parts
        run_id = driver.state.run_id
        if run_id is None:
            raise ValueError("an iteration that was started names its run")
        events = await parts.journal.events(run_id)
        mine = run_id == driver.begun
        driver.begun = run_id
        if not events:
            # It was named and never begun: nothing was spent, nothing was touched.
            await parts.runner.start(await self._request(), "loop", run_id=run_id)
        else:
            run = fold(events)
            answered = driver.state.parked is not None and driver.state.parked.run_id == run_id
            if run.waiting_for == "budget" and driver.state.parked is None:
                # Somebody had the loop go on: there may be room again.
                await parts.runner.answer(parts.engine, run_id, "retry", actor="loop")
                run = await self._driven(run_id)
                await self._over(run_id, run, await parts.journal.events(run_id), run.reason or "")
                return
            if run.ended or run.waiting:
                await self._over(run_id, run, events, INTERRUPTED if _given_up(events) else run.reason or "")
                return
            if not mine and not answered:
                await self._abandon(run_id)
                return
        run = await self._driven(run_id)
        await self._over(run_id, run, await parts.journal.events(run_id), run.reason or "")

    async def _driven(self, run_id: str) -> RunState:
        """Drive the run; to change what governs the agent is refused without asking, since no loop may keep it."""
        parts = self._driver.parts
        while True:
            run = await parts.engine.drive(run_id)
            asked = run.asked
            if run.waiting_for != "approval" or asked is None or not _governs(asked):
                return run
            await parts.runner.answer(parts.engine, run_id, "deny", call_id=asked.call_id, note=NEVER, actor="loop")

    async def _abandon(self, run_id: str) -> None:
        """A run that its process left half-way: book what it spent, and count nothing of what it did."""
        parts = self._driver.parts
        await parts.runner.cancel(parts.engine, run_id, note=GIVEN_UP, actor="loop")
        events = await parts.journal.events(run_id)
        run = fold(events)
        if not run.ended:
            raise AcpAgentError(f"run {run_id} is driven by another process", hint=f"acp cancel {run_id}")
        await self._over(run_id, run, events, INTERRUPTED)

    async def _over(self, run_id: str, run: RunState, events: list[Event], reason: str) -> None:
        driver = self._driver
        if run.waiting is not None and not run.ended:
            parked = driver.state.parked
            if parked is None or parked.run_id != run_id:
                what = LoopParked(waiting=run.waiting.waiting, detail=run.waiting.detail, run_id=run_id)
                await driver.record(what)
            return
        spent = run.spent
        failed = run.failures[-1] if reason == "error" and run.failures else None
        ran = IterationRan(
            iteration=driver.state.iteration,
            run_id=run_id,
            reason=reason,
            message=cut(run.ended.message if run.ended else "", NOTE),
            text=cut(run.text, NOTE),
            cost=spent.cost,
            cost_known=spent.cost_known,
            tokens_in=spent.input_tokens,
            tokens_out=spent.output_tokens,
            context_tokens=_context(events),
            refused=_refused(events),
            fault=failed.fault if failed else None,
            retry_after=failed.retry_after if failed else None,
        )
        await driver.record(ran)

    async def _request(self) -> RunRequest:
        driver = self._driver
        state, spec, agent = driver.state, driver.spec, driver.state.agent
        if agent is None:
            raise ValueError("a loop begins with its agent")
        path = driver.place.path()
        top = state.work.worktree if state.work else None
        # What a person has checked out and trusted, never what an iteration may have changed.
        own = str(Path(state.work.root) / state.work.subdir) if state.work else path
        bounds = await anyio.to_thread.run_sync(driver.parts.bounds, state)
        return RunRequest(
            prompt=prompt_for(state, spec),
            title=f"{state.name}: iteration {state.iteration}",
            workplace=Workplace(kind="inplace", root=path),
            models=agent.models,
            session_id=state.session_id,
            project=state.project,
            loop_id=driver.claim.stream_id,
            iteration=state.iteration,
            role=agent.role,
            role_prompt=agent.role_prompt,
            instructions=await instructions_for(path, top),
            mode=agent.mode,
            commit=False,
            limits=agent.limits,
            egress=bounds.egress,
            blast=bounds.blast,
            protect_ignored=bounds.protect_ignored,
            rules=bounds.rules,
            tags=bounds.tags,
            caps=bounds.caps,
            scopes=(f"loop:{driver.claim.stream_id}", *state.scopes),
            skills=await anyio.to_thread.run_sync(driver.parts.skills, own),
            hooks=await hooks_of_project(driver),
        )


def _given_up(events: list[Event]) -> bool:
    """Whether a process before us gave up the run, and was gone before it could put that on the loop's record."""
    cancellations = [(event.actor, event.data.note) for event in events if isinstance(event.data, CancelAsked)]
    return ("loop", GIVEN_UP) in cancellations


def _governs(asked: ApprovalAsked) -> bool:
    """Whether a call would change a file that governs the agent: an edit is never so risky otherwise."""
    return asked.tool in EDITS and asked.risk >= Risk.IRREVERSIBLE


def _refused(events: list[Event]) -> tuple[str, ...]:
    """What the agent tried to change of the files that govern it."""
    asked = {event.data.call_id: event.data.title for event in events if isinstance(event.data, ApprovalAsked)}
    answers = [event.data for event in events if isinstance(event.data, ApprovalGiven)]
    denied = [asked.get(answer.call_id, answer.call_id) for answer in answers if answer.note == NEVER]
    results = [event.data.result for event in events if isinstance(event.data, ToolRefused)]
    # Where nobody is asked the policy refuses by itself, and begins with the names of the files.
    told = [one.output for one in results if (one.status, one.kind) == ("refused", "protected")]
    return (*denied, *(text.partition(" is protected.")[0] for text in told))


def _context(events: list[Event]) -> int:
    """What the model had read and said at its last reply, in tokens."""
    for event in reversed(events):
        if isinstance(event.data, ModelReplied) and event.data.reply.usage:
            usage = event.data.reply.usage
            return usage.input_tokens + usage.output_tokens
    return 0
