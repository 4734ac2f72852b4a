"""What a loop's name means: a loop file, else a project of that name; with its projects, its prompt and its gates."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from acp_agent.config.loop_tables import LoopTable
from acp_agent.config.loops import (
    DEFAULT,
    LoopFile,
    load_loop,
    loop_files,
    loops_folder,
    project_loop,
    read_prompt,
    unknown_loop,
)
from acp_agent.config.names import printable
from acp_agent.config.nearness import nearest
from acp_agent.config.paths import find_projects_file
from acp_agent.config.problem import Problem, by_line, raise_first
from acp_agent.config.projects import Project, ProjectsFile, load_projects
from acp_agent.config.projects_tables import InlineGate
from acp_agent.config.tables import problem_at
from acp_agent.config.trust import require_trust
from acp_agent.domain.errors import NothingSelected, UsageError
from acp_agent.domain.request import Gate
from acp_agent.fleet.expression import parse
from acp_agent.fleet.select import Selection, select

GOAL = (
    "The project gets better in small steps that a careful reviewer would merge: correct first, then clear, then fast"
)
"""The goal of a loop for which only a project's name was given."""
PROMPT = (
    "Find the one small improvement that is worth most now and make it: a wrong result, an unclear error, a missing"
    " test, a needless complication. Change nothing else in this iteration, and nothing that you cannot check."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopAsk:
    """One `acp loop NAME` as it was typed. Times are seconds, money US dollars; None leaves what the file says.

    `until` is Unix time; `rotate` is as in the file; `slot` is that of its schedule which a worker has taken for it.
    """

    name: str
    goal: str | None = None
    max_iter: int | None = None
    rotate: str | None = None
    max_cost: float | None = None
    max_time: float | None = None
    patience: int | None = None
    model: str | None = None
    projects_file: str | None = None
    slot: float | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """A loop with nothing left to look up. `project` is set where the name is a project's, without a loop file.

    `many` says that it is a fleet loop, one budget over all its `projects`.
    """

    name: str
    table: LoopTable
    prompt: str
    goal: str
    projects_file: ProjectsFile
    projects: tuple[Project, ...]
    file: LoopFile | None = None
    many: bool = False
    warnings: tuple[str, ...] = field(default=())

    @property
    def place(self) -> str:
        """What the loop is known by beside its name: the file that its projects stand in."""
        return str(self.projects_file.path.absolute())

    def gates(self, project: Project) -> tuple[Gate, ...]:
        """The loop's own gates, else the project's."""
        if self.table.gates is None:
            return project.gates
        known = {gate.name: gate for gate in project.gates}
        defined = self.projects_file.table.gates
        found = []
        for entry in self.table.gates:
            if isinstance(entry, InlineGate):
                found.append(Gate(name=entry.name, run=entry.run, timeout=entry.timeout))
            elif entry in known:
                found.append(known[entry])
            else:
                found.append(Gate(name=entry, run=defined[entry].run, timeout=defined[entry].timeout))
        return tuple(found)

    def require_trust(self, state_dir: Path) -> None:
        """Raise Refused for commands that nobody agreed to, of the loop file or of projects.toml."""
        require_trust(self.projects_file.path, self.projects_file.commands(), state_dir)
        if self.file is not None:
            require_trust(self.file.source.path, self.file.commands(), state_dir)


@dataclass(frozen=True, slots=True)
class Known:
    """The names that `acp loop` takes here: loop files by name, and the projects."""

    files: Mapping[str, Path]
    projects: ProjectsFile | None
    folder: Path | None

    @property
    def project_names(self) -> tuple[str, ...]:
        """The projects of the file in force."""
        return tuple(self.projects.projects) if self.projects else ()


def known_loops(cwd: Path, projects_file: str | None, environ: Mapping[str, str]) -> Known:
    """Every name that means a loop here. Raises UsageError for a projects.toml that is named or broken."""
    try:
        path = find_projects_file(cwd, projects_file, environ)
    except UsageError:
        if projects_file or environ.get("ACP_PROJECTS"):
            raise
        folder = loops_folder(cwd)
        return Known(loop_files(folder), None, folder)
    folder = loops_folder(path.absolute().parent)
    return Known(loop_files(folder), load_projects(path), folder)


def resolve(ask: LoopAsk, cwd: Path, environ: Mapping[str, str]) -> Resolved:
    """What `ask.name` means. Raises UsageError (exit 2), for an unknown name with the nearest one."""
    known = known_loops(cwd, ask.projects_file, environ)
    if ask.name in known.files:
        return _from_file(load_loop(known.files[ask.name]), known, ask)
    if known.projects is None or ask.name not in known.projects.projects:
        raise unknown_loop(ask.name, known.files, known.project_names)
    table = project_loop(known.projects, ask.name)
    written = known.folder / f"{DEFAULT}.md" if known.folder else None
    default = read_prompt(written) if written is not None and written.is_file() else None
    project = known.projects.projects[ask.name]
    found = Resolved(
        name=ask.name,
        table=table,
        prompt=table.prompt or default or PROMPT,
        goal=ask.goal or table.goal or GOAL,
        projects_file=known.projects,
        projects=(project,),
    )
    raise_first(list(_gate_problems(found, ("projects", ask.name, "loop"))), "acp projects check")
    return found


def problems_of(file: LoopFile, known: Known) -> list[Problem]:
    """What is wrong with a loop file beyond itself: its projects and its gates."""
    source = file.source
    if known.projects is None:
        return [
            Problem(source.shown, None, "", "there is no projects.toml that its project could stand in", "acp init")
        ]
    key = "project" if file.table.project else "projects"
    try:
        projects = _projects(file.table, known.projects)
    except (UsageError, NothingSelected) as error:
        return [problem_at(source, (key,), error.what, error.hint)]
    found = Resolved(file.name, file.table, file.prompt, file.table.goal or "", known.projects, projects, file)
    return by_line(list(_gate_problems(found, ())))


def _from_file(file: LoopFile, known: Known, ask: LoopAsk) -> Resolved:
    raise_first(problems_of(file, known), f"acp loop check {file.name}")
    assert known.projects is not None
    goal = ask.goal or file.table.goal or file.prompt.splitlines()[0]
    return Resolved(
        name=file.name,
        table=file.table,
        prompt=file.prompt,
        goal=goal,
        projects_file=known.projects,
        projects=_projects(file.table, known.projects),
        file=file,
        many=file.table.projects is not None,
    )


def _projects(table: LoopTable, file: ProjectsFile) -> tuple[Project, ...]:
    if table.project is not None:
        if table.project not in file.projects:
            hint = nearest(table.project, file.projects) or "acp projects ls"
            raise UsageError(f"no project named {printable(table.project)}", hint=hint)
        return (file.projects[table.project],)
    parse(table.projects or "", "projects")
    return tuple(select(list(file.projects.values()), Selection(expression=table.projects)))


def _gate_problems(found: Resolved, key: tuple[str, ...]) -> Iterator[Problem]:
    """Gates by name that neither projects.toml nor every project defines."""
    source = found.file.source if found.file else found.projects_file.source
    shared = found.projects_file.table.gates
    for index, entry in enumerate(found.table.gates or ()):
        if isinstance(entry, InlineGate) or entry in shared:
            continue
        if not all(any(gate.name == entry for gate in project.gates) for project in found.projects):
            hint = nearest(entry, _gate_names(found.projects, shared)) or f"define it as [gates.{entry}]"
            yield problem_at(source, (*key, "gates", index), f"no gate named {printable(entry)}", hint)


def _gate_names(projects: Sequence[Project], shared: Mapping[str, object]) -> list[str]:
    return sorted({*shared, *(gate.name for project in projects for gate in project.gates)})
