"""Runs from start to end through the public face: a real store, real files, a real server of the model's wire."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import anyio
import pytest

from acp_agent.app import App
from acp_agent.domain.budget import Cap, Limits
from acp_agent.domain.events import Event
from acp_agent.domain.events_batch import BatchStarted
from acp_agent.domain.events_files import FilesSnapshot
from acp_agent.domain.message import Word
from acp_agent.domain.policy import Mode
from acp_agent.domain.ports import NewStream
from acp_agent.domain.request import Gate, RunRequest, Workplace
from acp_agent.domain.run import RunState
from acp_agent.runs.runner import new_run
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.repos import git, make_repo
from acp_agent.testing.script import Rule, Step
from acp_agent.tools.kept import Kept
from acp_agent.tools.workspace import digest

OpenAgent = Callable[..., AbstractAsyncContextManager[App]]
MakeRequest = Callable[..., RunRequest]
READ_BOTH = Step(tools=[("read_file", {"path": "a.txt"}), ("read_file", {"path": "b.txt"})])
EDIT = Step(tools=[("edit_file", {"path": "a.txt", "edits": [{"old": "alpha", "new": "ALPHA"}]})])


async def driven(app: App, request: RunRequest) -> RunState:
    run_id = await app.runner.start(request)
    await app.engine.work(None, 4)
    return await app.runner.state(run_id)


async def kinds(app: App, run_id: str) -> list[str]:
    return [event.data.type for event in await app.journal.events(run_id)]


def turns(*steps: Step) -> list[Rule]:
    return [Rule(turns=list(steps))]


async def test_a_run_reads_edits_and_says_what_it_did(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    with ModelServer(turns(READ_BOTH, EDIT, Step(text="Done."))) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in())
            assert await kinds(app, state.run_id) == [
                "run_started",
                "workspace_prepared",
                *("model_called", "model_replied", "tool_started", "tool_started", "tool_finished", "tool_finished"),
                *("model_called", "model_replied", "tool_started", "tool_finished"),
                *("model_called", "model_replied", "run_ended"),
            ]
    assert (state.reason, state.text, state.spent.steps, state.spent.tool_calls) == ("end_turn", "Done.", 3, 3)
    assert state.spent.cost > 0
    assert state.spent.cost_known
    assert (project / "a.txt").read_text() == "ALPHA\n"


async def test_the_next_model_of_the_chain_answers_when_the_first_has_no_quota(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    empty = Step(status=402, error={"message": "no credit", "code": "insufficient_quota"})
    rules = [Rule(model="test-model", reply=empty), Rule(model="other-model", reply=Step(text="I can."))]
    with ModelServer(rules) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in(models=("openai/test-model", "openai/other-model")))
    assert (state.reason, state.text) == ("end_turn", "I can.")


async def test_a_model_that_never_answers_ends_the_run_with_its_words(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    refusal = Step(status=401, error={"message": "bad key"})
    with ModelServer([Rule(reply=refusal)]) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in())
    assert state.ended is not None
    assert state.reason == "error"
    assert "bad key" in state.ended.message


async def test_a_step_limit_ends_with_a_summary_made_without_tools(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    with ModelServer(turns(READ_BOTH, EDIT, Step(text="Half of it."))) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in(limits=Limits(max_steps=2)))
        assert "tools" not in server.requests[-1].body
    assert (state.reason, state.text) == ("max_steps", "Half of it.")
    assert (project / "a.txt").read_text() == "ALPHA\n"


async def test_a_money_cap_is_never_overshot_and_leaves_room_for_the_last_words(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    endless = Rule(turns=[READ_BOTH], repeat_last=True)
    rules = [Rule(contains="A limit of this run", reply=Step(text="Out of money.")), endless]
    with ModelServer(rules) as server:
        async with open_agent(server) as app:
            cap = 0.03
            state = await driven(app, request_in(limits=Limits(max_cost=cap, max_output=1000)))
    assert (state.reason, state.text) == ("max_cost", "Out of money.")
    assert 0 < state.spent.cost <= cap


async def test_runs_that_share_a_budget_wait_for_what_the_others_give_back(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    cap = Cap(scope="batch:b_shared", cap=0.025)
    with ModelServer([Rule(reply=Step(text="Done.", delay=0.02))]) as server:
        async with open_agent(server) as app:
            request = request_in(scopes=("batch:b_shared",), limits=Limits(max_output=1000))
            batch = NewStream(
                stream_id="b_shared", kind="batch", facts=(BatchStarted(prompt="x", projects=()),), caps=(cap,)
            )
            runs = [new_run(request) for _ in range(6)]
            await app.journal.create([batch, *runs], "test")
            await app.engine.work(None, 6)
            states = [await app.runner.state(run.stream_id) for run in runs]
    assert {state.reason for state in states} == {"end_turn"}
    assert sum(state.spent.cost for state in states) <= 0.025


async def test_an_answer_that_does_not_fit_is_asked_for_once_more(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    schema = {"type": "object", "properties": {"files": {"type": "integer"}}, "required": ["files"]}
    with ModelServer(turns(Step(text="two files"), Step(text='```json\n{"files": 2}\n```'))) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in(answer_schema=schema))
    assert state.reason == "end_turn"
    assert state.answer is not None
    assert state.answer.value == {"files": 2}


async def test_a_call_that_needs_approval_waits_on_record_until_a_person_answers(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    with ModelServer(turns(READ_BOTH, EDIT, Step(text="Done."))) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in(mode=Mode.ASK))
            assert state.waiting is not None
            assert state.waiting_for == "approval"
            assert (project / "a.txt").read_text() == "alpha\n"
        async with open_agent(server) as app:
            await app.batches.answer(state.run_id, "allow")
            await app.engine.work(None, 1)
            state = await app.runner.state(state.run_id)
    assert state.reason == "end_turn"
    assert (project / "a.txt").read_text() == "ALPHA\n"


async def test_a_denied_call_is_told_to_the_model(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    with ModelServer(turns(READ_BOTH, EDIT, Step(text="Then not."))) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in(mode=Mode.ASK))
            await app.batches.answer(state.run_id, "deny")
            await app.engine.work(None, 1)
            state = await app.runner.state(state.run_id)
    assert (state.reason, state.text) == ("end_turn", "Then not.")
    assert (project / "a.txt").read_text() == "alpha\n"


async def test_a_cancelled_run_ends_while_its_model_is_silent(open_agent: OpenAgent, request_in: MakeRequest) -> None:
    silent = Step(text="never heard", delay=60.0)
    with ModelServer([Rule(reply=silent)]) as server:
        async with open_agent(server) as app:
            run_id = await app.runner.start(request_in())
            with anyio.fail_after(60):
                async with anyio.create_task_group() as group:
                    group.start_soon(app.engine.work, None, 1)
                    await server.requests_arrived(1)
                    await app.batches.cancel(run_id)
            state = await app.runner.state(run_id)
    assert state.reason == "cancelled"
    assert not state.spent.cost_known, "nobody can tell what a call without a cap cost that was cut off"


@pytest.mark.bwrap
async def test_a_cancelled_run_does_not_wait_for_its_gate(
    open_agent: OpenAgent, request_in: MakeRequest, tmp_path: Path
) -> None:
    repository = make_repo(tmp_path / "repository", {"a.txt": "alpha\n"})
    place = Workplace(
        kind="worktree",
        root=str(repository),
        worktree=str(tmp_path / "worktree"),
        branch="acp/x",
        base=git(repository, "rev-parse", "HEAD").strip(),
        target="main",
    )
    with ModelServer([Rule(reply=Step(text="Done."))]) as server:
        async with open_agent(server) as app:
            request = request_in(gates=(Gate(name="slow", run="sleep 300"),))
            run_id = await app.runner.start(request.model_copy(update={"workplace": place}))
            with anyio.fail_after(60):
                async with anyio.create_task_group() as group:
                    group.start_soon(app.engine.work, None, 1)
                    async for item in app.runner.watch(run_id):
                        if isinstance(item, Event) and item.data.type == "gate_started":
                            await app.batches.cancel(run_id)
            state = await app.runner.state(run_id)
    assert (state.reason, state.gates) == ("cancelled", ())


async def test_an_interrupted_process_leaves_a_run_that_goes_on(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    rules = [
        Rule(turns=[READ_BOTH, Step(text="late", delay=60.0)], times_each=1),
        *turns(READ_BOTH, EDIT, Step(text="Done.")),
    ]
    with ModelServer(rules, strict=False) as server:
        async with open_agent(server) as app:
            run_id = await app.runner.start(request_in())
            async with anyio.create_task_group() as group:
                group.start_soon(app.engine.work, None, 1)
                await server.requests_arrived(2)
                group.cancel_scope.cancel()
            state = await app.runner.state(run_id)
            assert (state.ended, state.model_call) == (None, None)
        async with open_agent(server) as app:
            await app.engine.work(None, 1)
            state = await app.runner.state(run_id)
            found = await kinds(app, run_id)
    assert state.reason == "end_turn"
    assert (found.count("resumed"), found.count("run_ended"), found.count("tool_finished")) == (1, 1, 3)
    assert (project / "a.txt").read_text() == "ALPHA\n"


async def test_watch_yields_every_fact_once_and_the_words_between(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    with ModelServer(turns(READ_BOTH, Step(text="one two three", chunk=4, gap=0.001))) as server:
        async with open_agent(server) as app:
            run_id = await app.runner.start(request_in())
            seen: list[Event | Word] = []

            async def watch() -> None:
                seen.extend([item async for item in app.runner.watch(run_id)])

            async with anyio.create_task_group() as group:
                group.start_soon(watch)
                await app.engine.work(None, 1)
            recorded = await app.journal.events(run_id)
    assert [item for item in seen if isinstance(item, Event)] == recorded
    assert "".join(item.text for item in seen if isinstance(item, Word)) == "one two three"


@pytest.mark.bwrap
async def test_the_time_of_a_run_stops_its_command_and_leaves_a_summary(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    sleep = Step(tools=[("shell", {"command": "sleep 300"})])
    with ModelServer(turns(sleep, Step(text="Too slow."))) as server:
        async with open_agent(server) as app:
            with anyio.fail_after(60):
                state = await driven(app, request_in(limits=Limits(max_time=0.5)))
    assert (state.reason, state.text) == ("max_time", "Too slow.")


async def test_a_bug_of_ours_ends_the_run_with_its_trace_on_record(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    with ModelServer(turns(Step(text="never asked")), strict=False) as server:
        async with open_agent(server) as app:
            run_id = await app.runner.start(request_in(models=()))
            await app.engine.work(None, 1)
            state = await app.runner.state(run_id)
    assert state.reason == "error"


@pytest.mark.bwrap
async def test_snapshots_stand_on_record_around_commands_and_not_around_edits(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path, tmp_path: Path
) -> None:
    command = Step(tools=[("shell", {"command": "echo new >new.txt; rm b.txt"})])
    with ModelServer(turns(READ_BOTH, EDIT, command, Step(text="Done."))) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in())
            events = [event.data for event in await app.journal.events(state.run_id)]
    found = [fact for fact in events if isinstance(fact, FilesSnapshot)]
    assert [(fact.moment, fact.paths, fact.files, fact.deleted) for fact in found] == [
        ("before", (), 0, 0),
        ("after", ("b.txt", "new.txt"), 2, 1),
    ]
    assert [fact.type for fact in events].count("files_snapshot") == 2
    assert events.index(found[0]) < events.index(found[1]) < len(events) - 1
    assert state.snapshots == {}
    kept = Kept.of(tmp_path / "state", state.run_id)
    assert [kept.get(digest(data)) for data in (b"alpha\n", b"beta\n")] == [b"alpha\n", b"beta\n"]
