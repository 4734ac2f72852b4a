"""Wrong input costs one line that says what is wrong, a hint, and the right exit code; never a traceback."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Acp = Callable[..., Any]

PROJECTS = """\
version = 1
[projects.api]
path = "api"
tags = ["python"]
"""


@pytest.fixture(autouse=True)
def in_a_folder_of_projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "projects.toml").write_text(PROJECTS)
    (tmp_path / "api").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["nope"], 2, "acp: no command 'nope'"),
        (["rnu"], 2, "acp: no command 'rnu'; did you mean 'run'?"),
        (["run"], 2, "acp: no prompt"),
        (["run", ""], 2, "acp: PROMPT: the prompt is empty"),
        (
            ["run", "fix", "--all", "--queue", "any"],
            2,
            "acp: --queue is for --detach",
        ),
        (["worker", "--queues", "any,elsewhere"], 2, "acp: --queues: 'elsewhere' is no queue"),
        (["worker", "--queues", "host."], 2, "acp: --queues: 'host.' is no queue"),
        (["run", "fix", "the", "bug"], 2, "acp: too many arguments: 'bug'"),
        (["run", "fix", "thebug"], 2, "acp: 'thebug' is not a directory"),
        (["run", "fix", "api", "--all"], 2, "acp: a directory and a selection of projects were both given"),
        (["run", "-f", "none.md"], 2, "acp: -f none.md: no such file or directory"),
        (["run", "-f", "api"], 2, "acp: -f api: is a directory"),
        (["run", "x", "--jobs", "0"], 2, "acp: invalid value for '-j' / '--jobs': 0 is not in the range 1<=x<=256"),
        (["run", "x", "--max-cost", "nan"], 2, "acp: invalid value for '--max-cost': 'nan' is no amount of money"),
        (["run", "x", "--max-cost", "-1"], 2, "acp: invalid value for '--max-cost': '-1' is no amount of money"),
        (["show", "b_none"], 2, "acp: there is no run, batch or loop 'b_none'"),
        (["show", "a\x1b[31m"], 2, "acp: there is no run, batch or loop 'a\\x1b[31m'"),
        (["diff", "b_none"], 2, "acp: there is no run, batch or loop 'b_none'"),
        (["accept"], 2, "acp: missing argument 'ID[/PROJECT]...'"),
        (["resume", "b_none", "--all"], 2, "acp: ID and --all were both given"),
        (["approve"], 5, "acp: nothing waits for an answer"),
        (["trust", "rm", "here"], 5, "acp: here was not trusted"),
        (["projects", "ls", "--tags=rust"], 5, 'acp: no project has the tag "rust"'),
        (["projects", "ls", "--projects=none.toml"], 2, "acp: --projects: no such file: {folder}/none.toml"),
    ],
)
def test_bad_input_is_answered_in_one_line_with_a_hint(
    acp: Acp, tmp_path: Path, words: list[str], code: int, line: str
) -> None:
    said = acp(*words)
    what, hint, *rest = said.stderr.splitlines()
    assert (said.code, what, rest, said.stdout) == (code, line.replace("{folder}", str(tmp_path)), [], "")
    assert hint.startswith("hint: ")


def test_an_unknown_option_names_its_neighbours(acp: Acp) -> None:
    said = acp("run", "x", "--max-step", "1")
    assert said.code == 2
    assert "--max-steps" in said.stderr.splitlines()[0]
    assert said.stderr.splitlines()[1:] == ["hint: see acp run --help"]


@pytest.mark.parametrize("text", ["30x", "", "0", "-5", "1h1h"])
def test_a_duration_that_is_none_is_refused(acp: Acp, text: str) -> None:
    said = acp("run", "x", "--timeout", text)
    assert said.code == 2
    assert said.stderr.startswith("acp: invalid value for '--timeout': ")


def test_broken_toml_is_named_with_its_line(acp: Acp, tmp_path: Path) -> None:
    (tmp_path / "projects.toml").write_text("version = 1\n[projects.api\n")
    said = acp("projects", "ls")
    assert said.code == 2
    assert said.stderr.startswith("acp: projects.toml:2: ")


def test_check_lists_everything_that_is_wrong(acp: Acp, tmp_path: Path) -> None:
    (tmp_path / "projects.toml").write_text('version = 1\nunknown = 2\n[projects.api]\npath = "api"\ntag = ["x"]\n')
    said = acp("projects", "check")
    assert said.code == 2
    assert [line.split(":")[:2] for line in said.stdout.splitlines() if not line.startswith(" ")] == [
        ["projects.toml", "2"],
        ["projects.toml", "5"],
    ]


def test_check_names_what_is_no_repository(acp: Acp) -> None:
    said = acp("projects", "check")
    assert said.code == 2
    assert "projects.api.path: is not in a git repository" in said.stdout


def test_an_internal_error_shows_a_trace_only_on_demand(acp: Acp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acp_agent.surfaces.cli.records.Records.listed", lambda self, limit: 1 / 0)
    assert acp("ps")[::2] == (
        1,
        "acp: internal error: ZeroDivisionError: division by zero (run again with --debug for the trace)\n",
    )
    said = acp("ps", "--debug")
    assert said.stderr.startswith("Traceback (most recent call last):")
    assert said.stderr.endswith("acp: internal error: ZeroDivisionError: division by zero\n")


def test_a_database_of_somebody_else_is_named(acp: Acp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACP_HOME", str(tmp_path))
    (tmp_path / "acp.db").write_text("this is no database, whatever its name says" * 100)
    said = acp("ps")
    assert (said.code, len(said.stderr.splitlines())) == (2, 2)
    assert said.stderr.startswith(f"acp: {tmp_path}/acp.db: ")


def test_a_reader_that_leaves_is_no_error(on_record: str) -> None:
    script = f"{sys.executable} -m acp_agent.main logs {on_record} | true; exit ${{PIPESTATUS[0]}}"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    ended = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_without_a_command_the_help_goes_to_stderr(acp: Acp) -> None:
    said = acp()
    assert (said.code, said.stdout, said.stderr.splitlines()[0]) == (2, "", "Usage: acp [OPTIONS] COMMAND [ARGS]...")
