"""Undo of effects that are no files: the tool's own compensation, on record, and plain words about what stays."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from acp_agent.app import App
from acp_agent.domain.errors import NothingSelected
from acp_agent.domain.events import Fact, ToolStarted
from acp_agent.domain.events_effects import CompensationFinished, CompensationStarted
from acp_agent.domain.request import RunRequest
from acp_agent.domain.run import RunState
from acp_agent.fleet.compensating import TakenBack
from acp_agent.fleet.undo import UndoAsk
from acp_agent.surfaces.cli.undo import told
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.repos import git
from acp_agent.testing.script import Rule, Step

OpenAgent = Callable[..., AbstractAsyncContextManager[App]]
MakeRequest = Callable[..., RunRequest]
pytestmark = [pytest.mark.bwrap]

ALLOWED = """
[[policy.rules]]
verdict = "allow"
tool = "*"
[providers.openai.prices.test-model]
input = 1.0
output = 2.0
"""
# `world` is ignored by git, so that it stands for what no snapshot holds.
DEPLOY = """
[tools.deploy]
description = "Deploy."
risk = 3
parameters = "place: str"
command = ["sh", "-c", 'echo "made $0 $ACP_CALL_KEY" >> world; echo $0 > state.txt', "{place}"]
compensate = ["sh", "-c", 'test -f state.txt && echo "took $0 $ACP_CALL_KEY" >> world && rm state.txt', "{place}"]
[tools.announce]
description = "Announce."
risk = 3
parameters = "text: str"
command = ["sh", "-c", 'echo "said $0" >> world', "{text}"]
"""
PLACED = [Step(tools=[("deploy", {"place": place})]) for place in ("a", "b")]
SAID = Step(tools=[("announce", {"text": "done"})])
EDIT = Step(tools=[("write_file", {"path": "new.txt", "content": "x\n"})])


@pytest.fixture
def project(project: Path) -> Path:
    (project / ".gitignore").write_text("world\n")
    git(project, "init", "-q")
    return project


def script(*steps: Step) -> list[Rule]:
    return [Rule(turns=[*steps, Step(text="Done.")])]


async def driven(app: App, request: RunRequest) -> RunState:
    run_id = await app.runner.start(request)
    await app.engine.work(None, 1)
    while (state := await app.runner.state(run_id)).waiting_for == "approval":
        await app.runner.answer(app.engine, run_id, "allow")
        await app.engine.work(None, 1)
    assert state.reason == "end_turn"
    return state


def world(project: Path) -> list[str]:
    return (project / "world").read_text().splitlines()


async def facts(app: App, run_id: str) -> list[Fact]:
    return [event.data for event in await app.journal.events(run_id)]


async def test_effects_are_taken_back_the_last_first_and_what_cannot_be_is_said(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    with ModelServer(script(*PLACED[:1], EDIT, SAID, *PLACED[1:])) as server:
        async with open_agent(server, ALLOWED + DEPLOY) as app:
            state = await driven(app, request_in())
            keys = [one.intent.key for one in await facts(app, state.run_id) if isinstance(one, ToolStarted)]
            steps = await app.undo.steps(state.run_id)
            outcome = await app.undo.undo(state.run_id, UndoAsk())
            record = await facts(app, state.run_id)
            after = await app.runner.state(state.run_id)
    assert [one.outside for one in steps] == [
        (('deploy {"place": "a"}', True),),
        (),
        (('announce {"text": "done"}', False),),
        (('deploy {"place": "b"}', True),),
    ]
    # The first compensation removed the state that the second wants: it failed, and kept nothing else from going on.
    assert [(one.step, one.state) for one in outcome.outside] == [(4, "taken_back"), (3, "stays"), (1, "failed")]
    assert world(project) == [f"made a {keys[0]}", "said done", f"made b {keys[3]}", f"took b {keys[3]}"]
    assert not (project / "new.txt").exists()
    assert not (project / "state.txt").exists()
    began = [(one.step, one.key) for one in record if isinstance(one, CompensationStarted)]
    ended = [(one.step, one.result.status) for one in record if isinstance(one, CompensationFinished)]
    assert (began, ended) == ([(4, keys[3]), (1, keys[0])], [(4, "ok"), (1, "error")])
    notes = [message.text for message in after.messages[len(state.messages) :]]
    assert notes[0] == '[A person took back the effect of your call of deploy in step 4: deploy {"place": "b"}]'
    assert notes[1].startswith("[A person tried to take back your call of deploy in step 1, which failed")
    lines = told(outcome)
    assert lines[0] == "undone: 2 files"
    assert '  step 3 announce {"text": "done"}: NOT taken back: its tool declares no compensate' in lines
    assert '  step 4 deploy {"place": "b"}: taken back' in lines
    assert '  step 1 deploy {"place": "a"}: NOT taken back, it failed: exit_status: exit status 1' in lines


async def test_what_failed_is_tried_again_and_what_is_taken_back_is_not(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    with ModelServer(script(*PLACED)) as server:
        async with open_agent(server, ALLOWED + DEPLOY) as app:
            state = await driven(app, request_in())
            await app.undo.undo(state.run_id, UndoAsk())
            # A person makes good what it missed; only the one that failed is done again.
            (project / "state.txt").write_text("a\n")
            outcome = await app.undo.undo(state.run_id, UndoAsk(skip=True))
            assert [(one.step, one.state) for one in outcome.outside] == [(1, "taken_back")]
            with pytest.raises(NothingSelected):
                await app.undo.undo(state.run_id, UndoAsk())
    assert [line.split()[:2] for line in world(project)] == [["made", "a"], ["made", "b"], ["took", "b"], ["took", "a"]]


async def test_what_was_before_the_step_stays(open_agent: OpenAgent, request_in: MakeRequest, project: Path) -> None:
    with ModelServer(script(*PLACED)) as server:
        async with open_agent(server, ALLOWED + DEPLOY) as app:
            state = await driven(app, request_in())
            outcome = await app.undo.undo(state.run_id, UndoAsk(to_step=1))
    assert [(one.step, one.state) for one in outcome.outside] == [(2, "taken_back")]
    assert (project / "state.txt").read_text() == "a\n", "as step 1 left it, whatever the compensation made of it"
    assert len(world(project)) == 3


async def test_a_run_with_nothing_but_what_stays_is_said_to_have_that(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    with ModelServer(script(SAID)) as server:
        async with open_agent(server, ALLOWED + DEPLOY) as app:
            state = await driven(app, request_in())
            with pytest.raises(NothingSelected, match="has nothing to undo; what step 1 did outside stays: announce"):
                await app.undo.undo(state.run_id, UndoAsk())
    assert world(project) == ["said done"]


async def test_where_files_are_refused_nothing_outside_is_taken_back(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    with ModelServer(script(*PLACED[:1], EDIT)) as server:
        async with open_agent(server, ALLOWED + DEPLOY) as app:
            state = await driven(app, request_in())
            (project / "new.txt").write_text("a person's\n")
            with pytest.raises(Exception, match=r"nothing was changed: new\.txt"):
                await app.undo.undo(state.run_id, UndoAsk())
            record = await facts(app, state.run_id)
    assert len(world(project)) == 1
    assert not any(isinstance(one, CompensationStarted) for one in record)


async def test_one_whose_process_died_is_not_done_again_unless_somebody_says_so(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    with ModelServer(script(*PLACED[:1])) as server:
        async with open_agent(server, ALLOWED + DEPLOY) as app:
            state = await driven(app, request_in())
            (call,) = [one for one in await facts(app, state.run_id) if isinstance(one, ToolStarted)]
            begun = CompensationStarted(step=1, call_id=call.call_id, tool="deploy", key=call.intent.key)
            await app.journal.note(state.run_id, [begun], "test")
            outcome = await app.undo.undo(state.run_id, UndoAsk())
            assert outcome.outside == (
                TakenBack(
                    1,
                    'deploy {"place": "a"}',
                    "stays",
                    "nobody can tell whether it was taken back; --unsure takes it back all the same",
                ),
            )
            assert len(world(project)) == 1
            (project / "state.txt").write_text("a\n")
            outcome = await app.undo.undo(state.run_id, UndoAsk(unsure=True, skip=True))
            assert [one.state for one in outcome.outside] == ["taken_back"]
    assert len(world(project)) == 2


async def test_a_tool_that_is_declared_no_more_is_said(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    with ModelServer(script(*PLACED[:1])) as server:
        async with open_agent(server, ALLOWED + DEPLOY) as app:
            state = await driven(app, request_in())
        async with open_agent(server, ALLOWED) as app:
            outcome = await app.undo.undo(state.run_id, UndoAsk())
    assert [(one.state, one.detail) for one in outcome.outside] == [
        ("failed", "unknown_tool: There is no tool 'deploy'."),
    ]
    assert len(world(project)) == 1
