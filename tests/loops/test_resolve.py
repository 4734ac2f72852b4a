"""What a name means: a loop file, a project, or nothing; and which files judge."""

from pathlib import Path
from typing import Any

import pytest

from acp_agent.domain.errors import ExitCode, Refused, UsageError
from acp_agent.loops.judges import judges_of
from acp_agent.loops.resolve import GOAL, PROMPT, LoopAsk, Resolved, resolve
from acp_agent.testing.repos import make_fleet

GATES = 'gates = ["test"]\n[gates]\ntest = { run = "make test" }\nlint = { run = "ruff check ." }'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_fleet(tmp_path, ["api", "web"], {"api": ["python"], "web": ["js"]}, extra=f"[defaults]\n{GATES}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(here: Path, name: str, **asked: Any) -> Resolved:
    return resolve(LoopAsk(name=name, **asked), here, {})


def write(here: Path, name: str, text: str) -> None:
    (here / "loops").mkdir(exist_ok=True)
    (here / "loops" / name).write_text(text, "utf-8")


def test_a_project_is_a_loop_as_it_stands(here: Path) -> None:
    loop = found(here, "api")
    assert (loop.goal, loop.prompt, loop.many) == (GOAL, PROMPT, False)
    assert [gate.run for gate in loop.gates(loop.projects[0])] == ["make test"]


def test_default_md_and_the_command_line_say_more_of_a_project(here: Path) -> None:
    write(here, "default.md", "Tidy up.\n")
    loop = found(here, "api", goal="No warnings")
    assert (loop.goal, loop.prompt) == ("No warnings", "Tidy up.")


def test_a_file_beats_a_project_of_its_name(here: Path) -> None:
    write(here, "api.md", '+++\nproject = "web"\ngates = ["lint", { name = "own", run = "x" }]\n+++\nDo it.\n')
    loop = found(here, "api")
    assert [project.name for project in loop.projects] == ["web"]
    assert [gate.run for gate in loop.gates(loop.projects[0])] == ["ruff check .", "x"]


def test_an_expression_makes_a_loop_over_several_projects(here: Path) -> None:
    write(here, "all.md", '+++\nprojects = "python || js"\n+++\nDo it.\n')
    loop = found(here, "all")
    assert ([project.name for project in loop.projects], loop.many) == (["api", "web"], True)


@pytest.mark.parametrize(
    ("name", "text", "what", "hint"),
    [
        ("apy", "", "no loop and no project is named 'apy'", "did you mean 'api'?"),
        ("../x", "", "is no name of a loop", None),
        ("l", '+++\nproject = "wep"\n+++\nx', "loops/l.md:2: project: no project named 'wep'", "did you mean 'web'?"),
        ("l", '+++\nprojects = "rust"\n+++\nx', "loops/l.md:2: projects: no project has the tag", None),
        ("l", '+++\nprojects = "(js"\n+++\nx', "loops/l.md:2: projects: projects: the", None),
        ("l", '+++\nproject = "api"\ngates = ["tst"]\n+++\nx', "loops/l.md:3: gates[0]: no gate named 'tst'", "test"),
    ],
)
def test_a_wrong_name_is_told_with_the_nearest(here: Path, name: str, text: str, what: str, hint: str | None) -> None:
    if text:
        write(here, f"{name}.md", text)
    with pytest.raises(UsageError) as error:
        found(here, name)
    assert what in error.value.what
    assert hint is None or hint in (error.value.hint or "")
    assert error.value.exit_code == ExitCode.USAGE


def test_commands_need_trust(here: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="not trusted"):
        found(here, "api").require_trust(tmp_path / "state")


def test_the_files_behind_a_gate_are_its_judges() -> None:
    assert judges_of(["bash scripts/gate.sh && npm test"]) == (
        "/bash",
        "/scripts/gate.sh",
        "/package.json",
        "/.npmrc",
        "/npm",
        "/test",
    )
    assert "conftest.py" in judges_of(["uv run pytest -q"])
    assert "/tools/check.py" in judges_of(["python3 -m tools.check"])
    assert "/unittest.py" in judges_of(["python3 -m unittest discover -s tests"])
    assert judges_of(['echo "unclosed']) != ()


def test_what_a_metric_measures_may_change_and_its_program_may_not() -> None:
    found = judges_of([], ["A=1 python3 -X dev tools/measure.py src/app.py | jq .size; cat n.txt"])
    assert "/tools/measure.py" in found
    assert "/src/app.py" not in found
    assert "/n.txt" not in found
