"""Things that happen between two lines of a driver: each was once lost, repeated or left booked."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from acp_agent.app import App
from acp_agent.domain.budget import Limits, Quote
from acp_agent.domain.errors import NotRecorded, Refused
from acp_agent.domain.events import CancelAsked, Event, Fact
from acp_agent.domain.events_session import SessionStarted
from acp_agent.domain.message import Reply, Word
from acp_agent.domain.policy import Mode
from acp_agent.domain.ports import Claim, Journal, ModelRequest
from acp_agent.domain.request import Gate, RunRequest
from acp_agent.domain.run import RunState
from acp_agent.engines.local import LocalEngine
from acp_agent.runs.conversations import Conversations
from acp_agent.runs.people import Turn
from acp_agent.runs.runner import Runner
from acp_agent.store.owner import owner_of_this_process
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.script import Rule, Step

OpenAgent = Callable[..., AbstractAsyncContextManager[App]]
MakeRequest = Callable[..., RunRequest]
CAPPED = Limits(max_cost=1.0, max_output=100)


class Meddled:
    """The journal of an app; `before_append` runs before facts are recorded, `before_note` before a note is."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.before_append: Callable[[Claim, Sequence[Fact]], Any] = lambda claim, facts: anyio.lowlevel.checkpoint()
        self.before_note: Callable[[str], Any] = lambda stream_id: anyio.lowlevel.checkpoint()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.journal, name)

    async def append(self, claim: Claim, facts: Sequence[Fact], **money: Any) -> list[Event]:
        await self.before_append(claim, facts)
        return await self.journal.append(claim, facts, **money)

    async def note(self, stream_id: str, facts: Sequence[Fact], actor: str) -> list[Event]:
        await self.before_note(stream_id)
        return await self.journal.note(stream_id, facts, actor)


def meddled(app: App) -> tuple[Meddled, Runner, LocalEngine]:
    """A runner and an engine over the app's own parts, with a journal that lets a test in between."""
    journal = Meddled(app.journal)
    runner = Runner(replace(app.runner._parts, journal=journal))
    return journal, runner, LocalEngine(journal, runner, owner_of_this_process())


async def cancelled_as(app: App, request: RunRequest, kind: str) -> RunState:
    """Drive a run whose cancellation comes on record right before the fact `kind` does."""
    journal, runner, engine = meddled(app)

    async def cancel_first(claim: Claim, facts: Sequence[Fact]) -> None:
        if any(fact.type == kind for fact in facts):
            await app.journal.note(claim.stream_id, [CancelAsked()], "test")

    journal.before_append = cancel_first
    run_id = await runner.start(request)
    with anyio.fail_after(60):
        return await engine.drive(run_id)


async def test_a_cancellation_that_comes_with_the_call_of_a_silent_model_ends_the_run(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    with ModelServer([Rule(reply=Step(text="never heard", delay=300.0))], strict=False) as server:
        async with open_agent(server) as app:
            state = await cancelled_as(app, request_in(), "model_called")
    assert (state.reason, state.text) == ("cancelled", "")


@pytest.mark.bwrap
async def test_a_cancellation_that_comes_with_the_start_of_a_command_ends_the_run(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    sleep = Step(tools=[("shell", {"command": "sleep 300"})])
    with ModelServer([Rule(turns=[sleep])], strict=False) as server:
        async with open_agent(server) as app:
            state = await cancelled_as(app, request_in(), "tool_started")
    assert state.reason == "cancelled"


@pytest.mark.bwrap
async def test_a_cancellation_that_comes_with_the_start_of_a_gate_ends_the_run(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    with ModelServer([Rule(reply=Step(text="Done."))]) as server:
        async with open_agent(server) as app:
            request = request_in(gates=(Gate(name="slow", run="sleep 300"),))
            state = await cancelled_as(app, request, "gate_started")
    assert (state.reason, state.gates) == ("cancelled", ())


async def test_a_cancellation_that_comes_with_the_question_ends_the_run_instead_of_waiting(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    edit = Step(tools=[("write_file", {"path": "new.txt", "content": "x"})])
    with ModelServer([Rule(turns=[edit])], strict=False) as server:
        async with open_agent(server) as app:
            state = await cancelled_as(app, request_in(mode=Mode.ASK), "approval_asked")
            # Parked by a driver that had not seen it: queued again at once, for whoever comes next.
            if state.ended is None:
                await app.engine.work(None, 1)
                state = await app.runner.state(state.run_id)
    assert state.reason == "cancelled"
    assert not (project / "new.txt").exists()


async def test_a_turn_that_ends_while_it_is_being_cancelled_has_ended(open_agent: OpenAgent, project: Path) -> None:
    with ModelServer([Rule(reply=Step(text="Done."))]) as server:
        async with open_agent(server) as app:
            journal, runner, engine = meddled(app)
            talks = Conversations(
                app.models, journal, app.sessions, runner, engine, app.conversations.bus, app.allowances
            )
            session = await app.sessions.state(await app.sessions.start(SessionStarted(cwd=str(project)), "test"))
            turn, ended = Turn(), anyio.Event()

            async def prompt() -> None:
                await talks.prompt(session, "hello", turn, lambda item: None, never_asked)
                ended.set()

            async def wait_for_the_end(stream_id: str) -> None:
                await ended.wait()

            async with anyio.create_task_group() as group:
                journal.before_append = once(lambda: group.start_soon(talks.cancel, turn))
                journal.before_note = wait_for_the_end
                group.start_soon(prompt)
            assert turn.run_id is not None
            events = await app.journal.events(turn.run_id)
    assert [event.data.type for event in events][-1] == "run_ended"
    assert "cancel_asked" not in [event.data.type for event in events]


async def never_asked(asked: Any) -> Any:
    raise AssertionError(f"nobody should be asked about {asked}")


def once(begin: Callable[[], None]) -> Callable[[Claim, Sequence[Fact]], Any]:
    """At the first fact of a driver."""
    left = [begin]

    async def meddle(claim: Claim, facts: Sequence[Fact]) -> None:
        if left:
            left.pop()()

    return meddle


async def test_an_answer_that_comes_after_another_one_is_refused_and_changes_nothing(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    edit = Step(tools=[("write_file", {"path": "new.txt", "content": "x"})])
    with ModelServer([Rule(turns=[edit, Step(text="Done.")])]) as server:
        async with open_agent(server) as app:
            journal, runner, engine = meddled(app)
            run_id = await runner.start(request_in(mode=Mode.ASK))
            await engine.drive(run_id)

            async def deny_first(stream_id: str) -> None:
                await app.runner.answer(app.engine, run_id, "deny")

            journal.before_note = deny_first
            with pytest.raises(Refused, match="does not wait"):
                await runner.answer(engine, run_id, "allow")
            state = await app.engine.drive(run_id)
            answers = [e.data for e in await app.journal.events(run_id) if e.data.type == "approval_given"]
    assert [answer.decision for answer in answers] == ["deny"]
    assert (state.reason, state.text) == ("end_turn", "Done.")


class Broken:
    """A model of ours with a bug: it fails as no adapter may."""

    async def reply(self, request: ModelRequest, on_word: Callable[[Word], None]) -> Reply:
        raise RuntimeError("a bug")

    def quote(self, request: ModelRequest) -> Quote:
        return Quote(worst=0.25)

    def cost(self, model: str, usage: Any) -> float | None:
        return 0.0


async def test_a_bug_within_a_call_leaves_no_money_set_aside(open_agent: OpenAgent, request_in: MakeRequest) -> None:
    with ModelServer([], strict=False) as server:
        async with open_agent(server) as app:
            runner = Runner(replace(app.runner._parts, model=Broken()))
            engine = LocalEngine(app.journal, runner, owner_of_this_process())
            state = await engine.drive(await runner.start(request_in(limits=CAPPED)))
            kinds = [event.data.type for event in await app.journal.events(state.run_id)]
    assert state.reason == "error"
    assert state.model_call is None
    assert state.spent.cost == 0.25, "a call that may have been answered is booked at its worst"
    assert kinds[-3:] == ["model_called", "model_failed", "run_ended"]


async def test_a_driver_whose_fact_cannot_be_recorded_leaves_a_run_that_goes_on(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    with ModelServer([Rule(reply=Step(text="Done."))]) as server:
        async with open_agent(server) as app:
            journal, runner, engine = meddled(app)

            async def fail(claim: Claim, facts: Sequence[Fact]) -> None:
                if facts[0].type == "model_replied":
                    raise NotRecorded("the disk is full")

            journal.before_append = fail
            run_id = await runner.start(request_in())
            with pytest.raises(NotRecorded):
                await engine.drive(run_id)
            assert (await app.runner.state(run_id)).ended is None
            await app.engine.work(None, 1)
            state = await app.runner.state(run_id)
    assert (state.reason, state.text) == ("end_turn", "Done.")
