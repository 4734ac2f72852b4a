"""How git is called, and what is learned of a repository."""

import os
from pathlib import Path

import pytest

from acp_agent.domain.errors import AcpAgentError, ExitCode, UsageError
from acp_agent.fleet.git import GitFailed, git, git_as_somebody
from acp_agent.fleet.repository import Repository, common_directory, dirty_files, repository
from acp_agent.testing import repos

pytestmark = pytest.mark.anyio


async def test_facts_of_a_repository_in_any_of_its_directories(tmp_path: Path) -> None:
    repo = repos.make_repo(tmp_path / "a repo -ü", {"sub dir/deep/f": "1"})
    head = repos.git(repo, "rev-parse", "HEAD")
    common = str(repo / ".git")
    assert await repository(repo, "api") == Repository(str(repo), common, "", head, "main")
    assert await repository(repo / "sub dir/deep", "api") == Repository(str(repo), common, "sub dir/deep", head, "main")
    repos.git(repo, "checkout", "--quiet", "--detach")
    assert (await repository(repo, "api")).branch is None


async def test_facts_of_a_linked_worktree(tmp_path: Path) -> None:
    repo = repos.make_repo(tmp_path / "repo")
    repos.git(repo, "worktree", "add", "-q", "-b", "x/y", str(tmp_path / "linked"))
    head = repos.git(repo, "rev-parse", "HEAD")
    expected = Repository(str(tmp_path / "linked"), str(repo / ".git"), "", head, "x/y")
    assert await repository(tmp_path / "linked", "api") == expected
    assert common_directory(tmp_path / "linked") == common_directory(repo) == repo / ".git"


async def test_what_is_no_place_to_work_names_project_and_path(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "file").touch()
    repos.make_repo(tmp_path / "unborn", {})
    repos.git(tmp_path, "init", "--quiet", "--bare", "bare")
    said = {}
    for name in ("plain", "file", "unborn", "bare", "missing"):
        with pytest.raises(UsageError) as caught:
            await repository(tmp_path / name, "api")
        said[name] = caught.value.what
    assert said == {
        "plain": f"project api: {tmp_path}/plain is not in a git repository",
        "file": f"project api: {tmp_path}/file is not a directory",
        "unborn": f"project api: {tmp_path}/unborn has no commit yet",
        "bare": f"project api: {tmp_path}/bare has no working tree (bare)",
        "missing": f"project api: {tmp_path}/missing does not exist",
    }


async def test_dirty_files_are_named_from_the_top_of_the_repository(tmp_path: Path) -> None:
    repo = repos.make_repo(tmp_path / "repo", {"a": "1", "sub/b": "1", ".gitignore": "*.log\n"})
    assert await dirty_files(repo) == []
    repos.write_files(repo, {"a": "2", "sub/b": None, "sub/new ü": "x", "x.log": "ignored"})
    assert await dirty_files(repo) == ["a", "sub/b", "sub/new ü"]
    assert await dirty_files(repo / "sub", untracked=False) == ["sub/b"]


async def test_a_failure_is_one_line_of_what_git_said(tmp_path: Path) -> None:
    repo = repos.make_repo(tmp_path / "repo")
    with pytest.raises(GitFailed) as caught:
        await git(repo, "rev-parse", "--verify", "nonsense")
    assert caught.value.what == f"git rev-parse in {repo}: Needed a single revision"
    assert caught.value.exit_code is ExitCode.FAILED
    with pytest.raises(AcpAgentError, match="no such directory"):
        await git(tmp_path / "missing", "status")


async def test_a_missing_git_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="git was not found"):
        await git(tmp_path, "status")


async def test_neither_hooks_nor_a_surrounding_git_reach_our_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = repos.make_repo(tmp_path / "repo")
    other = repos.make_repo(tmp_path / "other", {"o": "1"})
    repos.write_files(repo, {".git/hooks/pre-commit": "#!/bin/sh\ntouch ../ran\nexit 1\n"})
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    await git_as_somebody(repo, "commit", "--allow-empty", "-q", "-m", "x")
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_INDEX_FILE")
    assert repos.git(repo, "rev-list", "--count", "HEAD") == "2"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("known", [True, False])
async def test_commits_carry_the_users_identity_or_ours_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    repo = repos.make_repo(tmp_path / "repo")
    for name in [name for name in os.environ if name.startswith(("GIT_AUTHOR_", "GIT_COMMITTER_", "EMAIL"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    if not known:
        repos.git(repo, "config", "--remove-section", "user")
    await git_as_somebody(repo, "commit", "--allow-empty", "-q", "-m", "x")
    whose = "Test <test@example.org>" if known else "acp-agent <acp-agent@localhost>"
    assert repos.git(repo, "log", "-1", "--format=%an <%ae>|%cn <%ce>") == f"{whose}|{whose}"
