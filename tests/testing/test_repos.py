"""Git repositories made for tests."""

import tomllib
from pathlib import Path

import pytest

from acp_agent.testing.repos import GitFailed, commit, git, make_fleet, make_repo, tree, write_files

FILES: dict[str, str | bytes] = {"a.txt": "grün\n", "sub dir/run": "#!/bin/sh\n", "ü.bin": b"\xff\x00\n", "empty": ""}
CONTENTS = {"a.txt": "grün\n", "sub dir/run": "#!/bin/sh\n", "ü.bin": "\udcff\0\n", "empty": ""}


def test_a_repository_holds_its_files_in_one_commit(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", FILES, branch="trunk")
    assert tree(repo) == tree(repo, "trunk") == CONTENTS
    assert git(repo, "status", "--porcelain") == ""
    assert git(repo, "log", "--format=%an %s %D") == "Test first commit HEAD -> trunk"
    assert git(repo, "ls-files", "--stage", "sub dir/run").startswith("100755 ")


def test_the_same_files_make_the_same_commit(tmp_path: Path) -> None:
    one, two = (git(make_repo(tmp_path / name, FILES), "rev-parse", "HEAD") for name in ("one", "two"))
    assert one == two


def test_dirty_files_stay_out_of_the_commit(tmp_path: Path) -> None:
    repo = make_repo(tmp_path, FILES, dirty={"a.txt": "changed\n", "new/b.txt": "new\n", "empty": None})
    assert git(repo, "status", "--porcelain").splitlines() == [" M a.txt", " D empty", "?? new/"]
    assert tree(repo) == CONTENTS


def test_more_commits(tmp_path: Path) -> None:
    repo = make_repo(tmp_path, {"a": "1", ".gitignore": "b\n"})
    write_files(repo, {"a": None, "b": "2"})
    assert commit(repo, "second") == git(repo, "rev-parse", "HEAD")
    assert tree(repo) == {"b": "2", ".gitignore": "b\n"}
    assert tree(repo, "HEAD~") == {"a": "1", ".gitignore": "b\n"}


def test_a_repository_without_files_has_no_commit(tmp_path: Path) -> None:
    repo = make_repo(tmp_path, {})
    with pytest.raises(
        GitFailed, match=r"git rev-parse --verify HEAD in .*: exit 128: fatal: Needed a single revision"
    ):
        git(repo, "rev-parse", "--verify", "HEAD")


def test_the_users_configuration_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hooks = tmp_path / "hooks"
    write_files(hooks, {"pre-commit": "#!/bin/sh\nexit 1\n"})
    write_files(tmp_path, {"gitconfig": f"[core]\n\thooksPath = {hooks}\n"})
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert tree(make_repo(tmp_path / "repo", {"a": "1"})) == {"a": "1"}


def test_a_fleet_comes_with_its_projects_file(tmp_path: Path) -> None:
    fleet = make_fleet(
        tmp_path,
        ["api", "we.b"],
        {"api": ["python", 'odd "tag"']},
        files=lambda name: {"name": name},
        extra='[gates]\ntest = { run = "true" }',
    )
    assert tomllib.loads(fleet.projects_file.read_text()) == {
        "version": 1,
        "gates": {"test": {"run": "true"}},
        "projects": {
            "api": {"path": "api", "tags": ["python", 'odd "tag"']},
            "we.b": {"path": "we.b", "tags": []},
        },
    }
    assert {name: tree(repo) for name, repo in fleet.repos.items()} == {
        "api": {"name": "api"},
        "we.b": {"name": "we.b"},
    }


def test_a_fleet_may_share_its_tags(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path, ["a", "b"], ["x"])
    projects = tomllib.loads(fleet.projects_file.read_text())["projects"]
    assert [project["tags"] for project in projects.values()] == [["x"], ["x"]]
