"""`acp init`, `acp trust` and `acp projects`: the files a person keeps."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot

from acp_agent.testing.repos import make_repo

Acp = Callable[..., Any]


@pytest.fixture(autouse=True)
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two repositories, and the test in it."""
    folder = tmp_path / "code"
    make_repo(folder / "api", {"pyproject.toml": "[tool.pytest.ini_options]\n", "tests/test_a.py": "", "a.py": ""})
    make_repo(folder / "web", {"package.json": '{"scripts": {"test": "jest"}}', "index.js": ""})
    monkeypatch.chdir(folder)
    return folder


def test_init_writes_a_file_that_projects_can_use(acp: Acp) -> None:
    said = acp("init")
    assert said.code == 0
    assert [line.split()[0] for line in said.stdout.splitlines()] == ["project", "api", "web"]
    assert "not trusted yet; read them, then: acp trust projects.toml" in said.stderr
    assert acp("projects", "ls").stdout == snapshot("""\
project  tags        directory
api      python      api
web      javascript  web
""")


def test_init_never_overwrites(acp: Acp, code: Path) -> None:
    (code / "projects.toml").write_text("version = 1\n")
    said = acp("init")
    assert (said.code, said.stdout) == (6, "")
    assert said.stderr.startswith("acp: projects.toml: exists and is not overwritten; it lacks api, web\n")
    assert (code / "projects.toml").read_text() == "version = 1\n"


def test_init_where_nothing_is_exits_5(acp: Acp, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert acp("init", str(tmp_path / "empty")).code == 5


def test_trust_is_given_listed_and_taken_back(acp: Acp, code: Path) -> None:
    acp("init")
    check = acp("projects", "check")
    assert check.code == 6
    assert "not trusted (new)" in check.stdout

    given = acp("trust", "projects.toml")
    assert given.code == 0
    assert given.stdout.startswith("projects.toml: 2 commands trusted\n")
    assert acp("projects", "check")[:2] == (0, "projects.toml: 2 projects, nothing wrong\n")
    assert acp("trust", "ls").stdout.startswith(f"{code}/projects.toml: ")

    (code / "projects.toml").write_text((code / "projects.toml").read_text().replace("jest", "rm -rf /"))
    assert acp("trust", "rm", ".").stdout == f"{code}/projects.toml: not trusted any more\n"
    assert acp("trust", "ls")[:2] == (0, "")


def test_init_with_yes_trusts_what_it_guessed(acp: Acp) -> None:
    assert acp("init", "--yes").code == 0
    assert acp("projects", "check").code == 0


def test_projects_are_selected_as_in_run(acp: Acp) -> None:
    acp("init")
    document = json.loads(acp("projects", "ls", "--tags=python", "-o", "json").stdout)
    assert [row["project"] for row in document["projects"]] == ["api"]
    assert acp("projects", "ls", "-e", "python && javascript").code == 5
    assert acp("projects", "ls", "-e", "python &&").code == 2


def test_check_finds_a_target_whose_expression_does_not_parse(acp: Acp, code: Path) -> None:
    acp("init", "--yes")
    with (code / "projects.toml").open("a") as file:
        file.write('\n[targets]\nnightly = { expr = "python &&" }\n')
    said = acp("projects", "check")
    assert said.code == 2
    assert "targets.nightly.expr: " in said.stdout


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("acp run fix -p ", ["plain,api", "plain,web"]),
        ("acp run fix --tags py", ["plain,python"]),
        ("acp run fix --tags python,ja", ["plain,python,javascript"]),
        ("acp pro", ["plain,projects"]),
        ("acp trust ./none/", ["file,./none/"]),
    ],
)
def test_completion_offers_what_this_folder_knows(
    acp: Acp, monkeypatch: pytest.MonkeyPatch, words: str, offered: list[str]
) -> None:
    acp("init")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    monkeypatch.setenv("_ACP_COMPLETE", "bash_complete")
    assert acp().stdout.split() == offered


def test_completion_says_nothing_about_a_broken_file(acp: Acp, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code / "projects.toml").write_text("[")
    monkeypatch.setenv("COMP_WORDS", "acp run fix -p ")
    monkeypatch.setenv("COMP_CWORD", "4")
    monkeypatch.setenv("_ACP_COMPLETE", "bash_complete")
    assert acp()[1:] == ("\n", "")
