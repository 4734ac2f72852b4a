"""Killed between a snapshot, its command and the record, or during an undo: what was changed is still undone."""

import os
import subprocess
from pathlib import Path

import pytest

from acp_agent.testing import warm
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.repos import git, make_repo
from acp_agent.testing.script import Rule, Step

STEPS = [
    Step(tools=[("read_file", {"path": "a.txt"})]),
    Step(tools=[("edit_file", {"path": "a.txt", "edits": [{"old": "alpha", "new": "ALPHA"}]})]),
    Step(tools=[("shell", {"command": "echo new >new.txt; rm b.txt"})]),
    Step(text="Done."),
]


def acp(server: ModelServer, cwd: Path, *words: str, crash: str = "") -> subprocess.CompletedProcess[str]:
    model = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-x"}
    crashing = {"ACP_CRASH_AT": crash} if crash else {}
    return warm.run(*words, cwd=cwd, environment={**os.environ, **model, **crashing})


def worktree_of(repository: Path) -> Path | None:
    listed = git(repository, "worktree", "list", "--porcelain").split("\n\n")
    paths = [Path(entry.split("\n")[0].removeprefix("worktree ")) for entry in listed if entry.strip()]
    return next((path for path in paths if path != repository), None)


def files(place: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in place.iterdir() if path.is_file() and path.name != ".git"}


@pytest.mark.crash
@pytest.mark.bwrap
@pytest.mark.slow
@pytest.mark.parametrize("commit", [13, 14])
def test_a_run_that_was_killed_is_undone_where_it_stands(tmp_path: Path, commit: int) -> None:
    """The commits around the command: its intent, its result, the next call of the model."""
    before = {"a.txt": "alpha\n", "b.txt": "beta\n"}
    repository = make_repo(tmp_path / "project", before)
    with ModelServer([Rule(turns=STEPS)], strict=False) as server:
        killed = acp(server, repository, "run", "do it", ".", crash=f"journal.after_commit:{commit}")
        assert killed.returncode == -9, killed.stderr
        worktree = worktree_of(repository)
        assert worktree is not None
        batch = worktree.parent.name
        undone = acp(server, repository, "undo", batch, "--unsure")
        if undone.returncode == 5:
            # What a command did that nobody recorded is found when the run is taken up again.
            assert acp(server, repository, "resume", batch).returncode in (0, 4)
            undone = acp(server, repository, "undo", batch, "--unsure")
        assert undone.returncode == 0, undone.stderr
        left = files(worktree)
        if left != before:
            acp(server, repository, "resume", batch)
            undone = acp(server, repository, "undo", batch, "--unsure")
            left = files(worktree)
    assert left == before


@pytest.mark.crash
@pytest.mark.bwrap
@pytest.mark.slow
def test_an_undo_that_was_killed_goes_on(tmp_path: Path) -> None:
    before = {"a.txt": "alpha\n", "b.txt": "beta\n"}
    repository = make_repo(tmp_path / "project", before)
    with ModelServer([Rule(turns=STEPS)], strict=False) as server:
        assert acp(server, repository, "run", "do it", ".").returncode == 0
        worktree = worktree_of(repository)
        assert worktree is not None
        batch = worktree.parent.name
        killed = acp(server, repository, "undo", batch, crash="journal.before_commit:1")
        assert killed.returncode == -9
        # The files may be back already, and nothing says so; half of them may be as the run left them.
        (worktree / "new.txt").write_text("new\n")
        undone = acp(server, repository, "undo", batch)
        assert (undone.returncode, "undone: 3 files" in undone.stdout) == (0, True), undone.stderr
        assert files(worktree) == before
        assert acp(server, repository, "undo", batch).returncode == 5
        assert acp(server, repository, "undo", batch, "--redo").returncode == 0
    assert files(worktree) == {"a.txt": "ALPHA\n", "new.txt": "new\n"}
