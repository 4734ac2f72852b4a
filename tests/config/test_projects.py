# ruff: noqa: E501  (error texts stand on one line, as a person sees them)
"""projects.toml: what it says, merged; and everything that can be wrong in it."""

from pathlib import Path

import pytest
from inline_snapshot import snapshot

from acp_agent.config.commands import Command
from acp_agent.config.in_force import not_in_force
from acp_agent.config.index import read_index
from acp_agent.config.problem import FileError
from acp_agent.config.projects import Budget, Project, Target, Task, load_projects, problems
from acp_agent.domain.errors import ExitCode
from acp_agent.domain.request import Gate

SAMPLE = """\
version = 1
[defaults]
agent = "builtin"            # or any ACP command: "opencode acp", "gemini --acp", "codex-acp"
role = "coder"
isolation = "worktree"       # worktree | inplace
branch = "acp/{batch}/{project}"
setup = "uv sync --frozen"   # in a new worktree; .worktreeinclude is honoured
timeout = "30m"
idle = "10m"                 # nothing yielded for that long ends as stalled
max_cost = 0.50              # USD per project and run
protect = ["tests/**", ".github/**"]
gates = ["test"]
on_fail = ["retry:1", "escalate:deep", "ask"]   # the failing gate's first lines go back to the session
[gates]
test = { run = "pytest -q", timeout = "10m" }
[budget]
per_batch = 5.0
per_day = 20.0
per_month = 200.0
[targets]
nightly = { expr = "python && !archived", where = "not dirty" }
[projects.api]
path = "../api"              # relative to this file; may be a sub-directory of a repository
url = "git@example.org:me/api.git"   # cloned when missing
tags = ["python", "service"]
[tasks.outdated]
prompt = "Check for outdated dependencies. Do not edit."
read_only = true
egress = ["registries"]      # named presets of allowed domains: the answer is looked up, not guessed
cache_for = "24h"
schema = { outdated = "list[str]", effort = "low|mid|high" }
target = "nightly"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


def written(text: str) -> Path:
    file = Path("projects.toml")
    file.write_text(text, encoding="utf-8")
    return file


def test_the_sample_of_the_architecture_reads_as_it_says(folder: Path) -> None:
    file = load_projects(written(SAMPLE))
    assert file.projects == {
        "api": Project(
            name="api",
            path=folder.parent / "api",
            url="git@example.org:me/api.git",
            tags=("python", "service"),
            branch="acp/{batch}/{project}",
            setup="uv sync --frozen",
            gates=(Gate(name="test", run="pytest -q", timeout=600.0),),
            timeout=1800.0,
            idle=600.0,
            max_cost=0.5,
            protect=("tests/**", ".github/**"),
            on_fail=("retry:1", "escalate:deep", "ask"),
        )
    }
    effort = {"type": "string", "enum": ["low", "mid", "high"]}
    assert file.tasks == {
        "outdated": Task(
            name="outdated",
            prompt="Check for outdated dependencies. Do not edit.",
            read_only=True,
            egress=("registries",),
            cache_for=86400.0,
            answer_schema={
                "type": "object",
                "properties": {"outdated": {"type": "array", "items": {"type": "string"}}, "effort": effort},
                "required": ["outdated", "effort"],
                "additionalProperties": False,
            },
            target="nightly",
        )
    }
    assert file.targets == {"nightly": Target(name="nightly", expr="python && !archived", where="not dirty")}
    assert file.budget == Budget(per_batch=5.0, per_day=20.0, per_month=200.0)
    assert file.commands() == (Command("defaults.setup", "uv sync --frozen"), Command("gates.test", "pytest -q"))


def test_keys_of_later_versions_are_named(folder: Path) -> None:
    assert not_in_force(load_projects(written(SAMPLE))) == [
        "defaults.on_fail",
        "targets.nightly.where",
        "tasks.outdated.cache_for",
    ]
    assert not_in_force(load_projects(written('version = 1\n[projects.a]\npath = "."\ntags = []\n'))) == []


def test_a_project_overrides_the_defaults_and_may_switch_them_off(folder: Path) -> None:
    file = load_projects(
        written(
            """\
version = 1
[defaults]
setup = "make deps"
gates = ["test"]
max_cost = 1
role = "writer"
[gates.test]
run = "make test"
[projects.same]
path = "same"
[projects.other]
path = "other"
setup = ""
gates = []
role = "coder"
model = "deep"
max_cost = 0
timeout = "1h"
isolation = "inplace"
branch = "me/{project}"
weight = 2
[projects.own]
path = "own"
gates = ["test", { name = "e2e", run = "npx playwright test", timeout = "15m" }]
[projects.own.loop]
goal = "faster"
done_when = { run = "scripts/done.sh" }
"""
        )
    )
    test = Gate(name="test", run="make test")
    common = {"branch": "acp/{batch}/{project}", "timeout": 1800.0, "max_cost": 1.0}
    assert list(file.projects.values()) == [
        Project(name="same", path=folder / "same", role="writer", setup="make deps", gates=(test,), **common),
        Project(
            name="other",
            path=folder / "other",
            role="coder",
            model="deep",
            max_cost=0.0,
            timeout=3600.0,
            isolation="inplace",
            branch="me/{project}",
            weight=2.0,
        ),
        Project(
            name="own",
            path=folder / "own",
            role="writer",
            setup="make deps",
            gates=(test, Gate(name="e2e", run="npx playwright test", timeout=900.0)),
            loop={"goal": "faster", "done_when": {"run": "scripts/done.sh"}},
            **common,
        ),
    ]
    assert file.commands() == (
        Command("defaults.setup", "make deps"),
        Command("gates.test", "make test"),
        Command("projects.own.gates.e2e", "npx playwright test"),
        Command("projects.own.loop.done_when.run", "scripts/done.sh"),
    )


BAD = """\
version = 2
oops = 1
[defaults]
agent = "gemini --acp"
isolation = "worktre"
timeout = 30
max_cost = "0.5"
role = "no role"
setup = 1
gates = ["tst", "test", "test", { name = "b", rn = "x" }, 3]
protect = "tests"
[gates]
test = { run = " ", timeout = "10" }
"a..b" = { run = "x" }
[budget]
per_batch = -1
per_dya = 1
[targets]
all = "python"
[projects.api]
pth = "../api"
tags = "python"
[projects."my app"]
path = ""
tags = ["a b"]
weight = nan
branch = "acp/{x}"
[projects.zero]
path = "a\\u0000b"
weight = 0
branch = "a..b"
max_cost = true
timeout = "1x"
[tasks.t]
schema = { a = "strng" }
target = 3
[tasks.u]
prompt = "x"
read_only = "yes"
schema = 3
target = "nightli"
[tasks.v]
prompt = "x"
schema = "missing.json"
"""


def test_every_problem_of_a_file_is_reported_at_once_with_its_place(folder: Path) -> None:
    found = problems(written(BAD))
    assert [f"{problem} | {problem.hint}" for problem in found] == snapshot(
        [
            "projects.toml:1: version: should be 1: this acp reads no other version | None",
            "projects.toml:2: oops: unknown key | did you mean 'hooks'?",
            'projects.toml:4: defaults.agent: runs other agents: not in this version; only "builtin" is | None',
            "projects.toml:5: defaults.isolation: should be one of worktree, inplace | did you mean 'worktree'?",
            'projects.toml:6: defaults.timeout: should be a duration such as "90s", "30m", "8h" or "1h30m" | None',
            "projects.toml:7: defaults.max_cost: should be a number | None",
            "projects.toml:8: defaults.role: should begin with a letter or digit and go on with letters, digits, '.', '_' or '-' | None",
            "projects.toml:9: defaults.setup: should be a string | None",
            "projects.toml:10: defaults.gates[3].run: is missing | None",
            "projects.toml:10: defaults.gates[3].rn: unknown key | did you mean 'run'?",
            "projects.toml:10: defaults.gates[4]: should be a string | None",
            "projects.toml:10: defaults.gates: the gate 'test' is there twice | None",
            "projects.toml:10: defaults.gates[0]: no gate named 'tst' | did you mean 'test'?",
            "projects.toml:11: defaults.protect: should be a list of strings | None",
            "projects.toml:13: gates.test.run: should not be empty | None",
            'projects.toml:13: gates.test.timeout: should be a duration such as "90s", "30m", "8h" or "1h30m" | None',
            "projects.toml:14: gates.'a..b': should not contain '..' nor end in '.' or '.lock': git would refuse its branch | None",
            "projects.toml:16: budget.per_batch: should be at least 0 | None",
            "projects.toml:17: budget.per_dya: unknown key | did you mean 'per_day'?",
            "projects.toml:19: targets.all: should be a table | None",
            "projects.toml:20: projects.api.path: is missing | None",
            "projects.toml:21: projects.api.pth: unknown key | did you mean 'path'?",
            "projects.toml:22: projects.api.tags: should be a list of strings | None",
            "projects.toml:23: projects.'my app': should begin with a letter or digit and go on with letters, digits, '.', '_' or '-' | None",
            "projects.toml:24: projects.'my app'.path: should not be empty | None",
            "projects.toml:25: projects.'my app'.tags: tag 'a b' should begin with a letter or digit and go on with letters, digits, '.', '_' or '-' | None",
            "projects.toml:26: projects.'my app'.weight: should be a finite number | None",
            "projects.toml:27: projects.'my app'.branch: no placeholder {x}; there are {batch} and {project} | None",
            "projects.toml:29: projects.zero.path: should not contain a NUL character | None",
            "projects.toml:30: projects.zero.weight: should be more than 0 | None",
            "projects.toml:31: projects.zero.branch: is no branch name that git would take | None",
            "projects.toml:32: projects.zero.max_cost: should be a number | None",
            'projects.toml:33: projects.zero.timeout: should be a duration such as "90s", "30m", "8h" or "1h30m" | None',
            "projects.toml:34: tasks.t.prompt: is missing | None",
            "projects.toml:35: tasks.t.schema: schema.a: column 1: unknown type 'strng' | did you mean 'str'?",
            "projects.toml:36: tasks.t.target: should be a string | None",
            "projects.toml:39: tasks.u.read_only: should be true or false | None",
            'projects.toml:40: tasks.u.schema: should be a table such as { files = "int" }, or a text such as "files: int" | None',
            "projects.toml:41: tasks.u.target: no target named 'nightli' | define it as [targets.nightli]",
            "projects.toml:44: tasks.v.schema: missing.json: no such file | a schema is a JSON Schema file or a text such as 'kind: library|app, files: int, notes: list[str]'",
        ]
    )


def test_the_first_problem_is_the_error_and_the_others_are_counted(folder: Path) -> None:
    with pytest.raises(FileError) as error:
        load_projects(written(BAD))
    assert (error.value.what, error.value.hint, error.value.exit_code) == snapshot(
        (
            "projects.toml:1: version: should be 1: this acp reads no other version (+39 more)",
            "mend this line; acp projects check lists every problem",
            ExitCode.USAGE,
        )
    )


@pytest.mark.parametrize("text", ["", "[projects.a]\npath = '.'\n", "version = true", "version = 1.0", "version = '1'"])
def test_a_file_without_our_version_is_refused(folder: Path, text: str) -> None:
    with pytest.raises(FileError, match=r"version: (is missing|should be 1)"):
        load_projects(written(text))
    with pytest.raises(FileError, match=r"version: (is missing|should be 1)"):
        read_index(Path("projects.toml"))


@pytest.mark.parametrize(
    "text", ["version = 1\nprojects = 3", "version = 1\n[[projects]]\npath = 'x'", "version = 1\n[projects]\na = 3"]
)
def test_a_table_of_the_wrong_form_is_refused(folder: Path, text: str) -> None:
    with pytest.raises(FileError, match="should be a table"):
        load_projects(written(text))
    with pytest.raises(FileError, match="should be a table"):
        read_index(Path("projects.toml"))


def test_unreadable_files_are_one_problem(folder: Path) -> None:
    assert [str(problem) for problem in problems(Path("projects.toml"))] == ["projects.toml: no such file"]
    assert [str(problem) for problem in problems(written("version = 1\nx ="))] == [
        "projects.toml:2: broken TOML: Invalid value"
    ]


def test_places_that_are_missing_or_no_repository_are_named_with_the_line(folder: Path) -> None:
    (folder / "repo/.git").mkdir(parents=True)
    (folder / "repo/sub").mkdir()
    (folder / "plain").mkdir()
    (folder / "file").touch()
    file = load_projects(
        written(
            "version = 1\n"
            + "".join(
                f'[projects.{name}]\npath = "{path}"\n'
                for name, path in [
                    ("repo", "repo"),
                    ("sub", "repo/sub"),
                    ("plain", "plain"),
                    ("file", "file"),
                    ("gone", "gone"),
                ]
            )
            + '[projects.here]\npath = "plain"\nisolation = "inplace"\n'
        )
    )
    assert [str(problem).replace(str(folder), "HERE") for problem in file.place_problems()] == [
        "projects.toml:7: projects.plain.path: is not in a git repository: HERE/plain",
        "projects.toml:9: projects.file.path: is a file, not a folder: HERE/file",
        "projects.toml:11: projects.gone.path: no such folder: HERE/gone",
    ]
    assert file.place_problems(["repo"]) == []
    assert file.place_problems([]) == []
    assert str(file.problem("no", "projects", "sub", "tags")) == "projects.toml:4: projects.sub.tags: no"


def test_a_large_file_with_many_problems_is_reported_in_no_time(folder: Path) -> None:
    text = "version = 1\n" + "".join(f"[projects.p{number}]\npath = {number}\n" for number in range(3000))
    assert len(problems(written(text))) == 3000
