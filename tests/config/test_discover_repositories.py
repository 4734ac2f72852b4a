# ruff: noqa: E501  (a table row is easier to read on one line)
"""`acp init`: repositories found, what they are, and the projects.toml written for them."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from acp_agent.config import discover_repositories
from acp_agent.config.discover_repositories import Discovery, Repository, discover, projects_text, write_projects
from acp_agent.config.guess import Guess, guess
from acp_agent.config.names import name_problem
from acp_agent.config.projects import load_projects
from acp_agent.domain.errors import ExitCode, NothingSelected, Refused, UsageError


def git(*arguments: str, cwd: Path) -> None:
    subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True)


def repository(path: Path, **files: str) -> Path:
    path.mkdir(parents=True)
    git("init", "-q", cwd=path)
    for name, text in files.items():
        (path / name).write_text(text)
    return path


@pytest.mark.parametrize(
    ("files", "texts", "expected"),
    [
        ([], {}, Guess((), None)),
        (["README.md", "guide/a.md"], {}, Guess(("docs",), None)),
        (
            ["pyproject.toml", "a.py", "tests/test_a.py"],
            {"pyproject.toml": "[tool.pytest]"},
            Guess(("python",), "pytest -q"),
        ),
        (["setup.py", "a.py", "tests/test_a.py"], {}, Guess(("python",), None)),
        (["a.py", "a_test.py", "tox.ini"], {"tox.ini": "[pytest]\n"}, Guess(("python",), "pytest -q")),
        (["pyproject.toml", "a.py"], {"pyproject.toml": "pytest"}, Guess(("python",), None)),
        (
            ["package.json", "a.js"],
            {"package.json": '{"scripts": {"test": "jest"}}'},
            Guess(("javascript",), "npm test"),
        ),
        (
            ["package.json", "a.js"],
            {"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'},
            Guess(("javascript",), None),
        ),
        (["package.json"], {"package.json": "{"}, Guess(("javascript",), None)),
        (["package.json"], {"package.json": '{"scripts": []}'}, Guess(("javascript",), None)),
        (["package.json", "tsconfig.json", "a.ts"], {}, Guess(("typescript",), None)),
        (["package.json", "tsconfig.json", "a.ts", "b.js"], {}, Guess(("typescript", "javascript"), None)),
        (["Cargo.toml", "src/main.rs", "README.md"], {}, Guess(("rust",), "cargo test")),
        (["go.mod", "main.go"], {}, Guess(("go",), "go test ./...")),
        (["pom.xml", "A.java"], {}, Guess(("java",), None)),
        (["Gemfile", "a.rb"], {}, Guess(("ruby",), None)),
        ([f"m{number}.py" for number in range(9)] + ["build.sh"], {}, Guess(("python",), None)),
        (["sub/package.json", "sub/Cargo.toml"], {}, Guess((), None)),
    ],
)
def test_tags_and_gate_are_told_from_files(files: list[str], texts: dict[str, str], expected: Guess) -> None:
    assert guess(files, texts) == expected


def test_main_repositories_are_found_and_nothing_else(tmp_path: Path) -> None:
    root = tmp_path / "root"
    api = repository(root / "api", **{"main.py": ""})
    git("add", ".", cwd=api)
    git("commit", "-qm", "first", cwd=api)
    repository(root / "group/web", **{"package.json": '{"scripts": {"test": "jest"}}'})
    repository(root / "group/api")
    repository(root / "a/b/c/four-deep")
    repository(root / "a/b/c/d/five-deep")
    repository(root / ".hidden/repo")
    repository(root / "node_modules/dependency")
    repository(api / "vendored")
    git("worktree", "add", "-q", str(root / "api-tree"), cwd=api)
    host = repository(root / "host")
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(api), "libs/api", cwd=host)
    (root / "separate").mkdir()
    git("init", "-q", "--separate-git-dir", str(tmp_path / "separate.git"), cwd=root / "separate")
    outside = repository(tmp_path / "outside")
    (root / "link").symlink_to(outside)
    (root / "loop").symlink_to(root)
    (root / "bare-marker").mkdir()
    (root / "bare-marker/.git").touch()
    (root / "empty").mkdir()
    found = discover(root)
    assert {entry.path.relative_to(root).as_posix(): (entry.name, entry.tags) for entry in found.repositories} == {
        "a/b/c/four-deep": ("four-deep", ()),
        "api": ("api", ("python",)),
        "group/api": ("group-api", ()),
        "group/web": ("web", ("javascript",)),
        "host": ("host", ()),
        "separate": ("separate", ()),
    }
    assert not found.capped
    assert discover(host / "libs") == Discovery((), False)


def test_the_folder_itself_may_be_a_repository_that_holds_clones(tmp_path: Path) -> None:
    root = repository(tmp_path / "meta")
    repository(root / "clone")
    assert [entry.path for entry in discover(root).repositories] == [root, root / "clone"]


def test_the_search_is_capped_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        (tmp_path / name / ".git").mkdir(parents=True)
        (tmp_path / name / ".git/HEAD").touch()
    monkeypatch.setattr(discover_repositories, "MAX_REPOSITORIES", 2)
    found = discover(tmp_path)
    assert ([entry.name for entry in found.repositories], found.capped) == (["a", "b"], True)


def test_a_folder_whose_name_no_file_could_hold_is_passed_over(tmp_path: Path) -> None:
    for name in (b"\xff", b" ", b"good"):
        try:
            os.makedirs(os.fsencode(tmp_path) + b"/" + name + b"/.git")
        except OSError:
            # Some file systems refuse such a name themselves.
            continue
        with open(os.fsencode(tmp_path) + b"/" + name + b"/.git/HEAD", "x"):
            pass
    found = discover(tmp_path)
    write_projects(tmp_path / "projects.toml", found.repositories)
    assert list(load_projects(tmp_path / "projects.toml").projects) == ["good"]


def test_a_folder_that_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="gone: no such folder"):
        discover(Path("gone"))


def test_what_is_written_reads_back_as_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    repository(tmp_path / "api", **{"pytest.ini": "", "test_a.py": ""})
    repository(tmp_path / "my tool", **{"Cargo.toml": "", "main.rs": ""})
    repository(tmp_path / "notes", **{"README.md": ""})
    found = discover(tmp_path)
    file = Path("projects.toml")
    write_projects(file, found.repositories)
    loaded = load_projects(file)
    assert [
        Repository(entry.name, entry.path, entry.tags, entry.gates[0].run if entry.gates else None)
        for entry in loaded.projects.values()
    ] == list(found.repositories)
    assert loaded.place_problems() == []
    assert file.read_text() == snapshot("""\
# What acp works on; acp projects ls lists it. Paths are relative to this file.
version = 1

[gates]
test-pytest = {run = "pytest -q", timeout = "10m"}
test-cargo = {run = "cargo test", timeout = "10m"}

[projects.api]
path = "api"
tags = ["python"]
gates = ["test-pytest"]

[projects.my-tool]
path = "my tool"
tags = ["rust"]
gates = ["test-cargo"]

[projects.notes]
path = "notes"
tags = ["docs"]
""")


def test_an_existing_file_is_never_overwritten_and_what_it_lacks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    repository(tmp_path / "old")
    file = Path("projects.toml")
    write_projects(file, discover(tmp_path).repositories)
    found = []
    repository(tmp_path / "new")
    for text in (None, file.read_text() + '[projects.new]\npath = "new"\n', "broken ="):
        if text is not None:
            file.write_text(text)
        before = file.read_text()
        with pytest.raises(Refused) as error:
            write_projects(file, discover(tmp_path).repositories)
        found.append((error.value.what, error.value.hint, error.value.exit_code))
        assert file.read_text() == before
    assert found == snapshot(
        [
            (
                "projects.toml: exists and is not overwritten; it lacks new",
                "edit projects.toml, or move it away and run acp init again",
                ExitCode.REFUSED,
            ),
            (
                "projects.toml: exists and is not overwritten; it has every repository found",
                "edit projects.toml, or move it away and run acp init again",
                ExitCode.REFUSED,
            ),
            (
                "projects.toml: exists and is not overwritten; it cannot be read either: projects.toml:1: broken TOML: Invalid value",
                "edit projects.toml, or move it away and run acp init again",
                ExitCode.REFUSED,
            ),
        ]
    )


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    file = tmp_path / "projects.toml"
    file.symlink_to(tmp_path / "target")
    with pytest.raises(Refused):
        write_projects(file, [Repository("a", tmp_path / "a", (), None)])
    assert not (tmp_path / "target").exists()


def test_nothing_found_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(NothingSelected) as error:
        write_projects(tmp_path / "projects.toml", [])
    assert error.value.exit_code == ExitCode.NOTHING
    assert list(tmp_path.iterdir()) == []


folder_names = st.text(
    alphabet=st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=140
)


@given(st.lists(folder_names, max_size=6))
def test_every_folder_name_gives_a_unique_project_name(folders: list[str]) -> None:
    names: set[str] = set()
    found = [discover_repositories._unique(Path("/parent") / name, names) for name in folders]
    assert [name_problem(name) for name in found] == [None] * len(folders)
    assert len({name.lower() for name in found}) == len(folders)


@given(st.lists(folder_names.filter(lambda name: name not in (".", "..")), max_size=4, unique=True))
def test_any_folder_name_survives_the_file(folders: list[str]) -> None:
    import tomllib

    names: set[str] = set()
    paths = [Path("/somewhere") / name for name in folders]
    entries = [Repository(discover_repositories._unique(path, names), path, ("x",), "make t") for path in paths]
    data = tomllib.loads(projects_text(Path("/somewhere"), entries))
    assert [entry["path"] for entry in data.get("projects", {}).values()] == folders


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"cannot be written: {os.strerror(2)}"):
        write_projects(tmp_path / "gone/projects.toml", [Repository("a", tmp_path, (), None)])
