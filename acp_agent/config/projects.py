"""projects.toml as the rest works with it: defaults merged, paths absolute, gates looked up, references checked."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acp_agent.config.commands import Command, loop_commands
from acp_agent.config.hook_tables import hooks_of
from acp_agent.config.limits_tables import LimitsTable
from acp_agent.config.paths import PROJECTS_FILE, resolved
from acp_agent.config.problem import FileError, Problem, by_line, raise_first
from acp_agent.config.projects_meaning import meaning_problems, schema_of
from acp_agent.config.projects_tables import (
    BUILTIN,
    BudgetTable,
    DefaultsTable,
    GateEntry,
    GateTable,
    InlineGate,
    Isolation,
    ProjectsTable,
    ProjectTable,
    TaskTable,
)
from acp_agent.config.rules import rules_of
from acp_agent.config.tables import checked, problem_at
from acp_agent.config.toml_source import TomlSource, read_toml
from acp_agent.domain.base import Frozen
from acp_agent.domain.hook import Hook
from acp_agent.domain.request import Gate
from acp_agent.domain.rules import Rule

HINT_MISSING = "acp init writes one for the git repositories it finds"


class Project(Frozen):
    """A tagged directory with gates and limits. `timeout` in seconds, `max_cost` in US dollars for each run."""

    name: str
    path: Path
    url: str | None = None
    tags: tuple[str, ...] = ()
    agent: str = BUILTIN
    role: str = "coder"
    model: str | None = None
    isolation: Isolation = "worktree"
    branch: str
    setup: str | None = None
    gates: tuple[Gate, ...] = ()
    timeout: float
    idle: float | None = None
    max_cost: float | None = None
    limits: LimitsTable | None = None
    protect_ignored: bool = False
    protect: tuple[str, ...] = ()
    on_fail: tuple[str, ...] = ()
    weight: float = 1.0
    loop: dict[str, Any] | None = None


class Task(Frozen):
    """A prompt with a name; `answer_schema` is a JSON Schema, `cache_for` in seconds."""

    name: str
    prompt: str
    read_only: bool = False
    answer_schema: dict[str, Any] | None = None
    target: str | None = None
    model: str | None = None
    role: str | None = None
    max_cost: float | None = None
    egress: tuple[str, ...] = ()
    needs_network: bool = False
    cache_for: float | None = None


class Target(Frozen):
    """A selection with a name: a tag expression, and a condition on live state."""

    name: str
    expr: str
    where: str | None = None


class Budget(Frozen):
    """Caps over many runs, US dollars; None is no cap."""

    per_batch: float | None = None
    per_day: float | None = None
    per_month: float | None = None


@dataclass(frozen=True)
class ProjectsFile:
    """A projects.toml without a problem. Its names keep the order of the file."""

    source: TomlSource
    table: ProjectsTable
    projects: Mapping[str, Project]
    tasks: Mapping[str, Task]
    targets: Mapping[str, Target]
    budget: Budget

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """Its hooks; like every command in it, none runs before somebody trusted it."""
        return hooks_of(self.table.hooks, PROJECTS_FILE)

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return self.source.path

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Its rules, which only tighten."""
        return rules_of(self.table.policy, self.source, "project")

    def commands(self) -> tuple[Command, ...]:
        """Every command the file would run; each needs trust."""
        return tuple(_commands(self.table))

    def problem(self, what: str, *key: str, hint: str | None = None) -> Problem:
        """A problem found later, at its place in this file: `problem("...", "targets", "nightly", "expr")`."""
        return problem_at(self.source, key, what, hint)

    def place_problems(self, names: Iterable[str] | None = None) -> list[Problem]:
        """Projects (all, or those named) whose path is missing, no folder, or in no git repository."""
        found: list[Problem] = []
        for name in self.projects if names is None else names:
            if wrong := _place_problem(self.projects[name]):
                what, hint = wrong
                found.append(self.problem(what, "projects", name, "path", hint=hint))
        return found


def load_projects(path: Path) -> ProjectsFile:
    """Read `path`. Raises UsageError with its first problem and the number of the others."""
    source = read_toml(path, HINT_MISSING)
    table, found = _checked(source)
    raise_first(found, "mend this line; acp projects check lists every problem")
    assert table is not None
    folder = source.path.absolute().parent
    return ProjectsFile(
        source=source,
        table=table,
        projects={name: _project(name, project, table, folder) for name, project in table.projects.items()},
        tasks={name: _task(name, task, folder) for name, task in table.tasks.items()},
        targets={name: Target(name=name, expr=item.expr, where=item.where) for name, item in table.targets.items()},
        budget=_budget(table.budget),
    )


def problems(path: Path) -> list[Problem]:
    """Everything wrong with the file itself, in the order of its lines; unreadable or broken TOML is one problem."""
    try:
        source = read_toml(path, HINT_MISSING)
    except FileError as error:
        return [error.problem]
    return _checked(source)[1]


def _checked(source: TomlSource) -> tuple[ProjectsTable | None, list[Problem]]:
    table = checked(ProjectsTable, source)
    shape = table if isinstance(table, list) else []
    return (None if isinstance(table, list) else table), by_line([*shape, *meaning_problems(source)])


def _budget(table: BudgetTable) -> Budget:
    return Budget(per_batch=table.per_batch, per_day=table.per_day, per_month=table.per_month)


def _project(name: str, project: ProjectTable, table: ProjectsTable, folder: Path) -> Project:
    defaults: DefaultsTable = table.defaults
    own = project.model_dump(exclude_none=True, exclude={"path", "gates", "limits"})
    inherited = defaults.model_dump(exclude={"gates"})
    gates = defaults.gates if project.gates is None else project.gates
    merged = {
        **inherited,
        **own,
        "name": name,
        "path": resolved(folder, project.path),
        "limits": _limits(defaults.limits, project.limits),
        "gates": tuple(gate for entry in gates if (gate := _gate(entry, table.gates)) is not None),
    }
    return Project.model_validate({**merged, "setup": merged["setup"] or None})


def _limits(defaults: LimitsTable | None, own: LimitsTable | None) -> LimitsTable | None:
    """A project's limits, each with the default where it says nothing."""
    if own is None or defaults is None:
        return own or defaults
    return defaults.model_copy(update=own.model_dump(exclude_none=True))


def _gate(entry: GateEntry, known: Mapping[str, GateTable]) -> Gate | None:
    if isinstance(entry, InlineGate):
        return Gate(name=entry.name, run=entry.run, timeout=entry.timeout)
    table = known.get(entry)
    return Gate(name=entry, run=table.run, timeout=table.timeout) if table else None


def _task(name: str, task: TaskTable, folder: Path) -> Task:
    schema = None if task.answer_schema is None else schema_of(task.answer_schema, folder)
    rest = task.model_dump(exclude={"answer_schema"})
    return Task.model_validate({**rest, "name": name, "answer_schema": schema})


def _commands(table: ProjectsTable) -> Iterator[Command]:
    yield from _table_commands("defaults", table.defaults.setup, table.defaults.gates)
    if table.defaults.agent != BUILTIN:
        yield Command("defaults.agent", table.defaults.agent)
    for name, gate in table.gates.items():
        yield Command(f"gates.{name}", gate.run)
    for name, task in table.tasks.items():
        if task.egress and not task.read_only:
            # Not a command, but what its commands can reach: opening a way out is agreed to as they are.
            yield Command(f"tasks.{name}.egress", ", ".join(task.egress))
    for name, project in table.projects.items():
        yield from _table_commands(f"projects.{name}", project.setup, project.gates or ())
        yield from loop_commands(project.loop or {}, f"projects.{name}.loop")
    yield from _hook_commands(table)


def _hook_commands(table: ProjectsTable) -> Iterator[Command]:
    for hook in hooks_of(table.hooks, ""):
        yield Command(hook.name.removeprefix(": "), hook.run)


def _table_commands(key: str, setup: str | None, gates: tuple[GateEntry, ...]) -> Iterator[Command]:
    if setup:
        yield Command(f"{key}.setup", setup)
    for gate in gates:
        if isinstance(gate, InlineGate):
            yield Command(f"{key}.gates.{gate.name}", gate.run)


def _place_problem(project: Project) -> tuple[str, str] | None:
    path = project.path
    if not path.exists():
        return f"no such folder: {path}", "mend the path, or remove the project from the file"
    if not path.is_dir():
        return f"is a file, not a folder: {path}", "name the folder of the project"
    if project.isolation == "worktree" and not any((folder / ".git").exists() for folder in (path, *path.parents)):
        return f"is not in a git repository: {path}", "run git init there and commit once"
    return None
