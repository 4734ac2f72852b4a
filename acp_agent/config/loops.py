"""loops/NAME.md and loops/NAME.toml, and the loop of a project: found by name, read, checked with file and line."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from acp_agent.config.commands import Command, loop_commands
from acp_agent.config.loop_meaning import goal_problems
from acp_agent.config.loop_tables import LoopTable
from acp_agent.config.names import name_problem, printable
from acp_agent.config.nearness import nearest
from acp_agent.config.paths import shown_path
from acp_agent.config.problem import FileError, Problem, by_line, raise_first
from acp_agent.config.projects import ProjectsFile
from acp_agent.config.tables import checked, problem_at
from acp_agent.config.toml_source import TomlSource, parse_toml, read_text, read_toml
from acp_agent.domain.errors import Refused, UsageError
from acp_agent.domain.governing import LOOP_SUFFIXES, LOOPS_FOLDER

FOLDER = LOOPS_FOLDER
FENCE = "+++"
SUFFIXES = LOOP_SUFFIXES
DEFAULT = "default"
"""loops/default.md is the prompt of loops that only a project's name stands for."""


class LoopFile(NamedTuple):
    """A loop file without a problem; `prompt` is the text below the front matter, or the key `prompt`."""

    name: str
    source: TomlSource
    table: LoopTable
    prompt: str

    def commands(self) -> tuple[Command, ...]:
        """Every command the file would run; each needs trust."""
        return loop_commands(self.source.data)


def loops_folder(base: Path) -> Path | None:
    """The folder of loop files beside the projects.toml in force (or in the current directory), if there is one."""
    folder = base / FOLDER
    return folder if folder.is_dir() else None


def loop_files(folder: Path | None) -> dict[str, Path]:
    """The loop files of a folder by name, in order; of a name in both forms the first is kept."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder is not None and folder.is_dir() else ():
        if path.suffix in SUFFIXES and path.is_file() and path.stem != DEFAULT:
            found.setdefault(path.stem, path)
    return found


def load_loop(path: Path) -> LoopFile:
    """Read a loop file. Raises UsageError with its first problem and the number of the others."""
    source, body = read_source(path)
    table, found = _checked(source, body)
    raise_first(found, f"mend this line; acp loop check {path.stem} lists every problem")
    assert table is not None
    return LoopFile(path.stem, source, table, _prompt(table, body))


def loop_problems(path: Path) -> list[Problem]:
    """Everything wrong with a loop file itself, in the order of its lines."""
    try:
        source, body = read_source(path)
    except FileError as error:
        return [error.problem]
    return _checked(source, body)[1]


def project_loop(file: ProjectsFile, name: str) -> LoopTable:
    """`[projects.NAME.loop]` of a checked file; all defaults where it is not there."""
    return LoopTable.model_validate(file.projects[name].loop or {})


def read_prompt(path: Path) -> str:
    """The prompt of loops/default.md, without its front matter, if it has any."""
    return read_source(path)[1].strip()


def unknown_loop(name: str, files: Mapping[str, Path], projects: tuple[str, ...]) -> UsageError:
    """The error for a name that is no loop and no project."""
    if (problem := name_problem(name)) is not None:
        return UsageError(f"{printable(name)} is no name of a loop: it {problem}")
    known = [*files, *projects]
    hint = nearest(name, known) or "acp loop ls lists them; acp loop new NAME writes one"
    return UsageError(f"no loop and no project is named {printable(name)}", hint=hint)


TEMPLATE = """\
+++
project = "{project}"
goal = "{goal}"
max_iter = 20
rotate = 25                 # a new session every 25 iterations; or "120kt" tokens, "60%" of the context
max_time = "4h"
# max_cost = 5.0            # US dollars
patience = 6                # iterations without an accepted change
# gates = ["test"]          # instead of the project's
# protect = ["tests/**"]    # never changed; gate files, loops/, projects.toml and CI files are protected anyhow
# scope = ["src/**"]        # nothing else may be changed
# done_when = {{ run = "scripts/done.sh" }}    # or {{ metric = "perf >= 95", confirm = 2 }}

# [metric.perf]
# run = "scripts/measure.sh"     # its last number counts
# direction = "up"
# min_effect = 0.5

[on]
stagnate = ["rotate", "stop"]
+++
{prompt}
"""


def write_new(folder: Path, name: str, project: str) -> Path:
    """Write loops/NAME.md; never overwrites. Raises UsageError for a bad name, Refused where the loop exists."""
    if problem := name_problem(name):
        raise UsageError(f"{printable(name)} is no name of a loop: it {problem}")
    for suffix in SUFFIXES:
        if (taken := folder / f"{name}{suffix}").exists():
            raise Refused(f"{shown_path(taken)}: exists and is not overwritten", hint=f"edit it: acp loop check {name}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.md"
    text = TEMPLATE.format(
        project=project,
        goal="Say here what shall be better, and how one sees it",
        prompt="Make one small step towards the goal. Do nothing else in this iteration.",
    )
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    return path


def read_source(path: Path) -> tuple[TomlSource, str]:
    """The TOML of a loop file, and the text below it. Raises FileError."""
    if path.suffix == ".toml":
        return read_toml(path), ""
    text = read_text(path)
    lines = text.splitlines()
    if not lines or lines[0].strip() != FENCE:
        return TomlSource(path, "", {}), text
    end = next((index for index, line in enumerate(lines[1:], 1) if line.strip() == FENCE), None)
    if end is None:
        what = f"the front matter has no closing {FENCE}"
        raise FileError(Problem(shown_path(path), 1, "", what, f"end it with a line {FENCE}"))
    # An empty first line stands for the fence, so that lines count as in the file.
    return parse_toml(path, "\n" + "\n".join(lines[1:end])), "\n".join(lines[end + 1 :])


def _checked(source: TomlSource, body: str) -> tuple[LoopTable | None, list[Problem]]:
    table = checked(LoopTable, source)
    found = list(table) if isinstance(table, list) else []
    found += goal_problems(source, source.data)
    if ("project" in source.data) == ("projects" in source.data):
        found.append(Problem(source.shown, None, "project", "should be there, or projects, and not both"))
    if "prompt" in source.data and body.strip():
        found.append(problem_at(source, ("prompt",), "stands below the front matter already"))
    if not body.strip() and not source.data.get("prompt") and not source.data.get("goal"):
        found.append(Problem(source.shown, None, "goal", "is missing, and so is a prompt"))
    return (None if isinstance(table, list) else table), by_line(found)


def _prompt(table: LoopTable, body: str) -> str:
    return (table.prompt or body).strip()
