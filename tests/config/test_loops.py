# ruff: noqa: E501  (error texts stand on one line, as a person sees them)
"""Loop files: read, checked with file and line, found by name."""

from pathlib import Path

import pytest
from inline_snapshot import snapshot

from acp_agent.config.loop_tables import LoopTable, condition, rotation
from acp_agent.config.loops import load_loop, loop_files, loop_problems, loops_folder, write_new
from acp_agent.config.projects import problems
from acp_agent.domain.errors import Refused, UsageError
from acp_agent.domain.loop_spec import DoneWhen, Rotation

GOOD = """\
+++
project = "api"
goal = "Fast"
rotate = "60%"
quiet = "08:00-18:30"
done_when = { metric = "perf >= 95", confirm = 2 }
[metric.perf]
run = "scripts/measure.sh"
+++
Make it faster.
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loops").mkdir()
    return tmp_path / "loops"


def test_front_matter_and_toml_are_the_same_loop(folder: Path) -> None:
    (folder / "a.md").write_text(GOOD)
    text = GOOD.split("+++\n")[1]
    (folder / "b.toml").write_text('prompt = "Make it faster."\n' + text)
    first, second = load_loop(folder / "a.md"), load_loop(folder / "b.toml")
    assert first.prompt == second.prompt == "Make it faster."
    assert first.table == second.table.model_copy(update={"prompt": None})
    assert first.table.done_when is not None
    assert first.table.done_when.noun() == DoneWhen(metric="perf", operator=">=", target=95.0, confirm=2)
    assert first.table.quiet_minutes() == (480, 1110)
    assert [command.run for command in first.commands()] == ["scripts/measure.sh"]


BAD = """\
+++

projects = "docs"
project = "api"
goal = 3
rotate = "many"
quiet = "8-18"
gates = ["test"]
done_when = { metric = "perf", run = "x" }
[metric.pref]
run = "measure"
keep = "best"
[on]
stagnate = ["panic"]
rate_limit = ["wait:soon"]
finish = "pr"
[scedule]
at = "daily"
+++
"""


def test_every_problem_has_its_line(folder: Path) -> None:
    (folder / "bad.md").write_text(BAD)
    assert [str(problem) for problem in loop_problems(folder / "bad.md")] == snapshot(
        [
            "loops/bad.md: project: should be there, or projects, and not both",
            "loops/bad.md:5: goal: should be a string",
            'loops/bad.md:6: rotate: should be a number of iterations, tokens such as "120kt", or a share of the context such as "60%"',
            'loops/bad.md:7: quiet: should be two times of day, such as "08:00-18:00"',
            'loops/bad.md:9: done_when.metric: should be a metric against a number, such as "perf >= 95"',
            "loops/bad.md:9: done_when: should have either a run or a metric",
            "loops/bad.md:9: done_when.metric: no metric named 'perf'",
            "loops/bad.md:12: metric.pref.keep: should be one of better, not_worse, gates_only",
            'loops/bad.md:14: on.stagnate: should be a list of "rotate", "escalate:ROLE", "ask" and "stop"',
            'loops/bad.md:15: on.rate_limit: wait: should be a duration such as "90s", "30m", "8h" or "1h30m"',
            "loops/bad.md:16: on.finish: pull requests are not in this version; branch or none is",
            "loops/bad.md:17: scedule: unknown key",
        ]
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "loops/x.md: project: should be there, or projects, and not both"),
        ('+++\nproject = "a"\n', "loops/x.md:1: the front matter has no closing +++"),
        ('+++\nproject = "a"\n+++\n', "loops/x.md: goal: is missing, and so is a prompt"),
        ("+++\n\nx =\n+++\n", "loops/x.md:3: broken TOML: Invalid value"),
        ('+++\nproject = "a"\nprompt = "p"\n+++\nq', "loops/x.md:3: prompt: stands below the front matter already"),
    ],
)
def test_a_broken_loop_says_what_is_wrong(folder: Path, text: str, problem: str) -> None:
    (folder / "x.md").write_text(text)
    with pytest.raises(UsageError) as error:
        load_loop(folder / "x.md")
    assert error.value.what.removesuffix(" (+1 more)") == problem


def test_a_loop_in_projects_toml_is_checked_with_its_line(folder: Path) -> None:
    file = folder.parent / "projects.toml"
    file.write_text(
        'version = 1\n[projects.a]\npath = "a"\n[projects.a.loop]\npatience = 0\nproject = "b"\ngaol = "x"\n'
    )
    assert [str(problem) for problem in problems(file)] == snapshot(
        [
            "projects.toml:5: projects.a.loop.patience: should be more than 0",
            "projects.toml:6: projects.a.loop.project: is the project itself here; leave it out",
            "projects.toml:7: projects.a.loop.gaol: unknown key",
        ]
    )


def test_rotation_and_conditions_are_read() -> None:
    assert rotation(3) == rotation("3") == Rotation(iterations=3)
    assert rotation("120kt") == Rotation(tokens=120_000)
    assert rotation("60%") == Rotation(share=0.6)
    assert condition("a.b<-1.5") == ("a.b", "<", -1.5)
    with pytest.raises(ValueError, match="perf >= 95"):
        condition("fast")


def test_the_example_loops_of_the_repository_hold() -> None:
    folder = Path(__file__).resolve().parents[2] / "loops"
    files = loop_files(folder)
    assert {name: loop_problems(path) for name, path in files.items()} == {name: [] for name in files} != {}


def test_a_new_loop_is_well_formed_and_never_overwrites(folder: Path) -> None:
    path = write_new(folder, "faster", "api")
    assert load_loop(path).table.project == "api"
    with pytest.raises(Refused, match="exists"):
        write_new(folder, "faster", "api")
    with pytest.raises(UsageError, match="no name of a loop"):
        write_new(folder, "../x", "api")


def test_no_folder_is_no_loops(folder: Path, tmp_path: Path) -> None:
    assert loops_folder(tmp_path) == folder
    # One further up belongs to somebody else.
    assert loops_folder(tmp_path / "deep") is None
    assert loop_files(None) == {}


def test_every_default_is_the_one_of_the_reference() -> None:
    assert LoopTable().max_iter == 100
