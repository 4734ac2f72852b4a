"""Undo: what a run did is taken back byte for byte, and nothing else is touched."""

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import anyio
import pytest

from acp_agent.app import App
from acp_agent.domain.errors import AcpAgentError, NothingSelected, Refused, UsageError
from acp_agent.domain.events_files import Undone
from acp_agent.domain.policy import Mode
from acp_agent.domain.request import RunRequest, Workplace
from acp_agent.domain.run import RunState
from acp_agent.fleet.undo import UndoAsk
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.repos import git, make_repo
from acp_agent.testing.script import Rule, Step
from tests.runs.standing import standing

OpenAgent = Callable[..., AbstractAsyncContextManager[App]]
MakeRequest = Callable[..., RunRequest]

READ = Step(tools=[("read_file", {"path": "a.txt"})])
EDIT = Step(tools=[("edit_file", {"path": "a.txt", "edits": [{"old": "alpha", "new": "ALPHA"}]})])
WRITE = Step(tools=[("write_file", {"path": "deep/er/new.txt", "content": "new\n"})])
COMMAND = Step(
    tools=[("shell", {"command": "rm b.txt; chmod 700 run.sh; ln -sfn nowhere link; echo y >>a.txt; echo o >out.log"})]
)


@pytest.fixture
def project(project: Path) -> Path:
    (project / "a.txt").write_bytes(b"alpha\r\nline\r\n")
    (project / "run.sh").write_text("#!/bin/sh\n")
    (project / "run.sh").chmod(0o640)
    os.symlink("a.txt", project / "link")
    (project / ".gitignore").write_text("*.log\n")
    git(project, "init", "-q")
    return project


async def driven(app: App, request: RunRequest) -> RunState:
    run_id = await app.runner.start(request)
    await app.engine.work(None, 4)
    return await app.runner.state(run_id)


def script(*steps: Step) -> list[Rule]:
    return [Rule(turns=[*steps, Step(text="Done.")])]


@pytest.mark.bwrap
async def test_all_that_a_run_did_is_taken_back_and_brought_back(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    before = standing(project)
    with ModelServer(script(READ, EDIT, WRITE, COMMAND)) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in())
            after = standing(project)
            assert state.reason == "end_turn"
            assert set(after) - set(before) == {"deep", "deep/er", "deep/er/new.txt", "out.log"}
            (project / "mine.txt").write_text("a person's\n")
            outcome = await app.undo.undo(state.run_id, UndoAsk())
            assert set(outcome.paths) == {"a.txt", "b.txt", "deep/er/new.txt", "link", "run.sh"}
            now = dict(standing(project))
            assert (now.pop("mine.txt")[2], now.pop("out.log")[2]) == (b"a person's\n", b"o\n")
            assert now == before
            with pytest.raises(NothingSelected, match="nothing to undo"):
                await app.undo.undo(state.run_id, UndoAsk())
            await app.undo.redo(state.run_id)
            assert {**after, "mine.txt": ("file", 0o644, b"a person's\n")} == standing(project)
            with pytest.raises(NothingSelected, match="brought back"):
                await app.undo.redo(state.run_id)
            await app.undo.undo(state.run_id, UndoAsk())
            assert standing(project).items() >= before.items()


@pytest.mark.bwrap
async def test_a_run_goes_back_to_a_step(open_agent: OpenAgent, request_in: MakeRequest, project: Path) -> None:
    with ModelServer(script(READ, EDIT, WRITE, COMMAND)) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in())
            steps = await app.undo.steps(state.run_id)
            assert [(step.step, len(step.paths)) for step in steps] == [(2, 1), (3, 1), (4, 4)]
            await app.undo.undo(state.run_id, UndoAsk(to_step=3))
            assert (project / "a.txt").read_bytes() == b"ALPHA\r\nline\r\n"
            assert (project / "deep" / "er" / "new.txt").exists()
            assert (project / "b.txt").read_text() == "beta\n"
            await app.undo.undo(state.run_id, UndoAsk(to_step=1))
            assert (project / "a.txt").read_bytes() == b"alpha\r\nline\r\n"
            assert not (project / "deep").exists()
            with pytest.raises(UsageError, match="took 5 steps, not 6"):
                await app.undo.undo(state.run_id, UndoAsk(to_step=6))


@pytest.mark.bwrap
async def test_nothing_is_undone_where_a_person_changed_a_file_since(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    with ModelServer(script(READ, EDIT, WRITE, COMMAND)) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in())
            (project / "deep" / "er" / "new.txt").write_text("a person's\n")
            (project / "run.sh").chmod(0o755)
            stood = standing(project)
            with pytest.raises(Refused, match=r"deep/er/new\.txt \(it was changed since\); run\.sh \(it was changed"):
                await app.undo.undo(state.run_id, UndoAsk())
            assert standing(project) == stood
            outcome = await app.undo.undo(state.run_id, UndoAsk(skip=True))
            assert [path for path, _ in outcome.left] == ["deep/er/new.txt", "run.sh"]
    assert (project / "deep" / "er" / "new.txt").read_text() == "a person's\n"
    assert (project / "a.txt").read_bytes() == b"alpha\r\nline\r\n"


async def test_a_change_between_two_edits_of_the_run_is_not_lost(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    again = Step(tools=[("edit_file", {"path": "a.txt", "edits": [{"old": "line", "new": "LINE"}]})])
    with ModelServer(script(READ, EDIT, again, READ, again)) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in(mode=Mode.ASK))
            await app.batches.answer(state.run_id, "allow")
            await app.engine.work(None, 1)
            # While the second edit waits, a person adds a line: it is stale, so the model reads and edits again.
            (project / "a.txt").write_bytes(b"ALPHA\r\nline\r\nmine\r\n")
            await app.batches.answer(state.run_id, "allow")
            await app.engine.work(None, 1)
            await app.batches.answer(state.run_id, "allow")
            await app.engine.work(None, 1)
            assert (await app.runner.state(state.run_id)).reason == "end_turn"
            stood = standing(project)
            with pytest.raises(Refused, match="somebody else changed it between step 2 and step 5"):
                await app.undo.undo(state.run_id, UndoAsk())
            assert standing(project) == stood
            await app.undo.undo(state.run_id, UndoAsk(to_step=2))
    assert (project / "a.txt").read_bytes() == b"ALPHA\r\nline\r\nmine\r\n"


async def test_the_next_turn_of_a_session_is_told_and_must_read_again(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    with ModelServer(script(READ, EDIT, Step(text="Done."), EDIT)) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in())
            assert state.request is not None
            assert await app.undo.last_of(state.request.session_id) == state.run_id
            await app.undo.undo(state.run_id, UndoAsk())
            assert await app.undo.last_of(state.request.session_id) is None
            assert await app.undo.last_undone_of(state.request.session_id) == state.run_id
            again = await driven(app, request_in(prompt="go on", session_id=state.request.session_id))
        told = [message["content"] for message in server.requests[-1].body["messages"] if message["role"] == "user"]
    assert "[A person undid your changes: a.txt. Read these files again before you change them.]" in told
    refused = [message.text for message in again.messages if message.role == "tool"]
    assert refused == ["error (unread): a.txt has not been read yet.\nHint: Read it first, then change it."]
    assert (project / "a.txt").read_bytes() == b"alpha\r\nline\r\n"


async def test_an_undo_while_a_call_waits_is_told_after_its_result(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    both = Step(
        tools=[("write_file", {"path": "one.txt", "content": "1"}), ("write_file", {"path": "two.txt", "content": "2"})]
    )
    with ModelServer(script(both)) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in(mode=Mode.ASK))
            await app.batches.answer(state.run_id, "allow")
            await app.engine.work(None, 1)
            assert (await app.runner.state(state.run_id)).waiting_for == "approval"
            await app.undo.undo(state.run_id, UndoAsk())
            assert not (project / "one.txt").exists()
            await app.batches.answer(state.run_id, "allow")
            await app.engine.work(None, 1)
            state = await app.runner.state(state.run_id)
    assert state.reason == "end_turn"
    assert [message.role for message in state.messages] == ["user", "assistant", "tool", "tool", "user", "assistant"]
    assert (project / "two.txt").read_text() == "2"


async def test_a_run_that_is_driven_is_not_undone(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    with ModelServer([Rule(turns=[READ, EDIT, Step(text="late", delay=60.0)])], strict=False) as server:
        async with open_agent(server) as app:
            run_id = await app.runner.start(request_in())
            async with anyio.create_task_group() as group:
                group.start_soon(app.engine.work, None, 1)
                await server.requests_arrived(3)
                with pytest.raises(Refused, match="worked on by another process"):
                    await app.undo.undo(run_id, UndoAsk())
                group.cancel_scope.cancel()
            await app.undo.undo(run_id, UndoAsk())
    assert (project / "a.txt").read_bytes() == b"alpha\r\nline\r\n"


# In worktrees, and after accept


def placed(repository: Path, worktree: Path) -> Workplace:
    base = git(repository, "rev-parse", "HEAD").strip()
    return Workplace(
        kind="worktree", root=str(repository), worktree=str(worktree), branch="acp/x", base=base, target="main"
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repository", {"a.txt": "alpha\n" + "x\n" * 20 + "end\n", "other.txt": "other\n"})


async def test_the_commit_of_a_worktree_follows_an_undo(
    open_agent: OpenAgent, request_in: MakeRequest, repository: Path, tmp_path: Path
) -> None:
    with ModelServer(script(READ, EDIT, WRITE)) as server:
        async with open_agent(server) as app:
            request = request_in().model_copy(update={"workplace": placed(repository, tmp_path / "tree")})
            state = await driven(app, request)
            assert state.committed is not None
            assert state.committed.files == 2
            await app.undo.undo(state.run_id, UndoAsk(to_step=2))
            state = await app.runner.state(state.run_id)
            assert state.committed is not None
            assert (state.committed.files, git(repository, "rev-parse", "acp/x").strip()) == (1, state.committed.commit)
            await app.undo.undo(state.run_id, UndoAsk())
            state = await app.runner.state(state.run_id)
            assert state.committed is not None
            assert state.committed.commit is None
            assert git(repository, "rev-parse", "acp/x") == git(repository, "rev-parse", "main")
            await app.undo.redo(state.run_id)
            head = await app.batches.accept(state.run_id)
    assert git(repository, "show", "--stat", "--format=", head).count("|") == 1
    assert not (tmp_path / "state" / "undo" / state.run_id).exists(), "what was kept goes with its worktree"


@pytest.mark.parametrize("merged", [False, True])
async def test_an_accepted_result_is_reverted_by_a_commit(
    open_agent: OpenAgent, request_in: MakeRequest, repository: Path, tmp_path: Path, merged: bool
) -> None:
    with ModelServer(script(READ, EDIT, WRITE)) as server:
        async with open_agent(server) as app:
            request = request_in().model_copy(update={"workplace": placed(repository, tmp_path / "tree")})
            state = await driven(app, request)
            if merged:
                (repository / "other.txt").write_text("changed before\n")
                git(repository, "commit", "-qam", "before")
            await app.batches.accept(state.run_id)
            (repository / "a.txt").write_text((repository / "a.txt").read_text().replace("end", "END"))
            stood = standing(repository)
            with pytest.raises(Refused, match=r"has uncommitted changes: a\.txt"):
                await app.undo.undo(state.run_id, UndoAsk())
            assert standing(repository) == stood
            git(repository, "commit", "-qam", "after")
            with pytest.raises(UsageError, match="only be taken back as a whole"):
                await app.undo.undo(state.run_id, UndoAsk(to_step=1))
            outcome = await app.undo.undo(state.run_id, UndoAsk())
            assert (outcome.commit, outcome.target) == (git(repository, "rev-parse", "main").strip(), "main")
            with pytest.raises(NothingSelected, match="reverted already"):
                await app.undo.undo(state.run_id, UndoAsk())
            events = [event.data for event in await app.journal.events(state.run_id)]
    assert events[-1] == Undone(commit=outcome.commit, target="main")
    assert git(repository, "status", "--porcelain") == ""
    assert (repository / "a.txt").read_text() == "alpha\n" + "x\n" * 20 + "END\n"
    assert not (repository / "deep").exists()
    assert (repository / "other.txt").read_text() == ("changed before\n" if merged else "other\n")
    assert git(repository, "log", "-1", "--format=%s").strip() == 'Revert "do it"'


async def test_a_revert_that_conflicts_changes_nothing(
    open_agent: OpenAgent, request_in: MakeRequest, repository: Path, tmp_path: Path
) -> None:
    with ModelServer(script(READ, EDIT)) as server:
        async with open_agent(server) as app:
            request = request_in().model_copy(update={"workplace": placed(repository, tmp_path / "tree")})
            state = await driven(app, request)
            await app.batches.accept(state.run_id)
            (repository / "a.txt").write_text((repository / "a.txt").read_text().replace("ALPHA", "a person's"))
            git(repository, "commit", "-qam", "after")
            stood, head = standing(repository), git(repository, "rev-parse", "main")
            with pytest.raises(AcpAgentError, match=r"changed since in the same places: a\.txt") as raised:
                await app.undo.undo(state.run_id, UndoAsk())
    assert raised.value.exit_code == 1
    assert (standing(repository), git(repository, "rev-parse", "main")) == (stood, head)
