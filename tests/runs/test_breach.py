"""A run that would reach too far waits for a person, with a report, and nothing more happens until then."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from acp_agent.app import App
from acp_agent.domain.blast import BlastLimits, batch_scope
from acp_agent.domain.budget import Cap
from acp_agent.domain.events import Decision
from acp_agent.domain.events_batch import BatchStarted
from acp_agent.domain.ports import NewStream
from acp_agent.domain.request import RunRequest
from acp_agent.domain.run import RunState
from acp_agent.runs.runner import new_run
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.repos import git
from acp_agent.testing.script import Rule, Step

OpenAgent = Callable[..., AbstractAsyncContextManager[App]]
MakeRequest = Callable[..., RunRequest]


def write(name: str) -> Step:
    return Step(tools=[("write_file", {"path": name, "content": "1\n"})])


def script(*steps: Step) -> list[Rule]:
    return [Rule(turns=[*steps, Step(text="Done.")])]


async def answered(app: App, state: RunState, decision: Decision) -> RunState:
    await app.batches.answer(state.run_id, decision)
    await app.engine.work(None, 1)
    return await app.runner.state(state.run_id)


async def driven(app: App, request: RunRequest) -> RunState:
    run_id = await app.runner.start(request)
    await app.engine.work(None, 1)
    return await app.runner.state(run_id)


def said(state: RunState) -> tuple[str | None, str]:
    return state.waiting_for, state.waiting.detail if state.waiting else ""


async def test_a_write_beyond_the_limit_waits_and_goes_on_when_it_is_allowed(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    with ModelServer(script(write("one"), write("two"), write("three"), write("four"))) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in(blast=BlastLimits(files=1)))
            assert said(state) == ("breach", "2 files changed, the limit is 1 (Write two)")
            assert not (project / "two").exists(), "before, not after"
            state = await answered(app, state, "allow")
            assert said(state) == ("breach", "4 files changed, the limit is 1 (Write four)")
            assert (project / "three").exists()
            state = await answered(app, state, "deny")
    assert (state.reason, (project / "four").exists()) == ("cancelled", False)


@pytest.mark.bwrap
async def test_a_command_that_did_too_much_stops_the_run_before_anything_follows(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    for number in range(4):
        (project / f"old{number}").write_text("old\n")
    command = Step(tools=[("shell", {"command": "rm old*"}), ("write_file", {"path": "new", "content": "1"})])
    with ModelServer(script(command)) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in(blast=BlastLimits(deletions=3)))
            assert said(state) == ("breach", "4 files deleted, the limit is 3")
            assert not (project / "new").exists()
            state = await answered(app, state, "allow")
    assert (state.reason, (project / "new").exists()) == ("end_turn", True)


@pytest.mark.bwrap
async def test_deleted_files_that_git_ignores_are_counted_where_no_undo_reaches(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    git(project, "init", "-q")
    (project / ".gitignore").write_text("data/\nnode_modules/\n*.log\n")
    for folder in ("data/deep", "node_modules/x"):
        (project / folder).mkdir(parents=True)
        for number in range(30):
            (project / folder / f"{number}.bin").write_bytes(b"x")
    (project / "a.log").write_text("log")
    commands = ["rm -rf node_modules", "touch data/new; rm a.log", "rm -rf data"]
    steps = [Step(tools=[("shell", {"command": command})]) for command in commands]
    with ModelServer(script(*steps)) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in(blast=BlastLimits(ignored_deletions=5)))
    # The log and what was in data, the new file too: it was there when the command began.
    what = "32 ignored files deleted, which no undo brings back, the limit is 5"
    assert said(state) == ("breach", what)


@pytest.mark.bwrap
async def test_protected_ignored_folders_cannot_be_emptied(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    git(project, "init", "-q")
    (project / ".gitignore").write_text("data/\nbuild/\n")
    for folder in ("data", "build"):
        (project / folder).mkdir()
        (project / folder / "kept.bin").write_bytes(b"x")
    command = Step(tools=[("shell", {"command": "rm -rf build; rm -rf data; mv data away; echo done"})])
    with ModelServer(script(command)) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in(protect_ignored=True))
    (told,) = (message.text for message in state.messages if message.role == "tool")
    assert "Read-only file system" in told
    assert (project / "data" / "kept.bin").read_bytes() == b"x"
    assert not (project / "build").exists()


async def test_the_runs_of_a_batch_share_its_limits(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    shared = {"files": 3, "repositories": 2}
    caps = tuple(Cap(scope=batch_scope("b_x", name), cap=limit) for name, limit in shared.items())
    batch = NewStream(stream_id="b_x", kind="batch", facts=(BatchStarted(prompt="x", projects=()),), caps=caps)
    rules = [
        Rule(contains=f"number {number}", turns=[write(f"{number}a"), write(f"{number}b"), Step(text="Done.")])
        for number in range(2)
    ]
    with ModelServer(rules) as server:
        async with open_agent(server) as app:
            limits = BlastLimits(shared=shared)
            requests = [request_in(prompt=f"number {number}", batch_id="b_x", blast=limits) for number in range(2)]
            runs = [new_run(request) for request in requests]
            await app.journal.create([batch, *runs], "test")
            await app.engine.work(None, 1)
            states = [await app.runner.state(run.stream_id) for run in runs]
            assert [state.reason for state in states] == ["end_turn", None]
            assert said(states[1]) == ("breach", "4 files changed, the limit of the batch is 3 (Write 1b)")
            state = await answered(app, states[1], "allow")
    assert state.reason == "end_turn"
    assert sorted(path.name for path in project.glob("[01]*")) == ["0a", "0b", "1a", "1b"]


@pytest.mark.bwrap
async def test_what_the_project_protects_is_refused_where_nobody_watches_and_the_run_goes_on(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    steps = [write("a.txt"), Step(tools=[("shell", {"command": "echo evil > a.txt; rm -f a.txt; mv a.txt b.txt"})])]
    with ModelServer(script(*steps, write("new"))) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in(protect=("a.txt", "*.lock")))
    told = [message.text for message in state.messages if message.role == "tool"]
    assert state.reason == "end_turn"
    assert told[0].startswith("refused (protected): a.txt is protected. No agent may change it by itself")
    assert "Read-only file system" in told[1]
    assert (project / "a.txt").read_text() == "alpha\n"
    assert (project / "new").exists()
