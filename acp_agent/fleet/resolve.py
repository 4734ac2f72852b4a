"""From what a person typed to the targets of a plan: the file, the selection, the repositories, the instructions."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import anyio.to_thread

from acp_agent.config.in_force import not_in_force
from acp_agent.config.limits_tables import LimitsTable
from acp_agent.config.paths import find_projects_file, state_dir
from acp_agent.config.problem import raise_first
from acp_agent.config.projects import Budget, Project, ProjectsFile, Task, load_projects
from acp_agent.config.trust import require_trust, untrusted
from acp_agent.domain.errors import NothingSelected, Refused, UsageError
from acp_agent.domain.hook import Hook
from acp_agent.domain.request import Gate
from acp_agent.domain.rules import Rule
from acp_agent.domain.skill import SkillEntry
from acp_agent.fleet.ask import RunAsk
from acp_agent.fleet.repository import dirty_files, repository
from acp_agent.fleet.select import HOW, Selection, select
from acp_agent.runs.instructions import read_instructions

GIT_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One project with nothing left to look up. `timeout` in seconds, `max_cost` in US dollars, None where not set.

    `root` is its repository (or directory), `subdir` the project inside it, `base` and `branch_from` the commit and
    branch it starts from, None outside git, `url` where others can clone it from.
    """

    project: str
    root: Path
    subdir: str = ""
    base: str | None = None
    branch_from: str | None = None
    url: str | None = None
    branch: str = "acp/{batch}/{project}"
    inplace: bool = False
    role: str | None = None
    model: str | None = None
    timeout: float | None = None
    idle: float | None = None
    max_cost: float | None = None
    limits: LimitsTable | None = None
    protect_ignored: bool = False
    protect: tuple[str, ...] = ()
    setup: str | None = None
    gates: tuple[Gate, ...] = ()
    instructions: str = ""
    skills: tuple[SkillEntry, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolved:
    """What was asked, found and checked; `budget` are the file's own caps."""

    prompt: str
    read_only: bool
    task: Task | None
    sites: tuple[Site, ...]
    budget: Budget = field(default_factory=Budget)
    warnings: tuple[str, ...] = ()
    hooks: tuple[Hook, ...] = ()
    rules: tuple[Rule, ...] = ()


async def resolve(ask: RunAsk, cwd: Path, environ: Mapping[str, str]) -> Resolved:
    """Find the projects that `ask` means and where each one stands. Writes nothing.

    Raises UsageError (exit 2), NothingSelected (exit 5), Refused (exit 6: untrusted commands, a dirty tree in place).
    """
    if ask.directory is not None:
        return await _directory(ask, cwd)
    file = load_projects(find_projects_file(cwd, ask.projects_file, environ))
    task = _task(file, ask.task)
    read_only = ask.read_only if ask.read_only is not None else bool(task and task.read_only)
    projects = select(list(file.projects.values()), _selection(ask, file, task))
    if not read_only:
        wrong = await anyio.to_thread.run_sync(file.place_problems, [project.name for project in projects])
        raise_first(wrong, "acp projects check")
        require_trust(file.path, file.commands(), state_dir(environ))
    hooks, unheard = _hooks(file, environ)
    prompt = ask.prompt or (task.prompt if task else "")
    warnings = tuple(f"{file.source.shown}: {key} is not acted on by this version" for key in not_in_force(file))
    sites = await _sites(projects, read_only)
    return Resolved(prompt, read_only, task, sites, file.budget, (*warnings, *unheard), hooks, file.rules)


def _hooks(file: ProjectsFile, environ: Mapping[str, str]) -> tuple[tuple[Hook, ...], tuple[str, ...]]:
    """The hooks of the file, and a warning for those that nobody trusted: a read-only run goes on without them."""
    unknown = {command.run for command, _ in untrusted(file.path, file.commands(), state_dir(environ))}
    kept = tuple(hook for hook in file.hooks if hook.run not in unknown)
    left = len(file.hooks) - len(kept)
    told = f"{file.source.shown}: {left} of its hooks not trusted and not run; acp trust {file.source.shown}"
    return kept, (told,) if left else ()


def _task(file: ProjectsFile, name: str | None) -> Task | None:
    if name is None:
        return None
    if found := file.tasks.get(name):
        return found
    known = ", ".join(f"@{task}" for task in file.tasks) or "none is defined"
    raise UsageError(f"{file.source.shown} has no task {name!r}", hint=f"tasks: {known}")


def _selection(ask: RunAsk, file: ProjectsFile, task: Task | None) -> Selection:
    if ask.select.given or task is None or task.target is None:
        return ask.select
    target = file.targets[task.target]
    return Selection(expression=target.expr, limit=ask.select.limit)


async def _directory(ask: RunAsk, cwd: Path) -> Resolved:
    """One directory without projects.toml: a git repository, or any directory for a read-only run."""
    if ask.task is not None:
        raise UsageError(
            "a task needs a projects.toml, not a directory", hint="select projects, or write the prompt out"
        )
    directory = Path(await anyio.to_thread.run_sync(os.path.realpath, cwd / (ask.directory or ".")))
    read_only = bool(ask.read_only)
    name = (
        "".join(char if char.isalnum() or char in "._-" else "-" for char in directory.name).lstrip(".-") or "project"
    )
    project = Project(name=name, path=directory, branch="acp/{batch}/{project}", timeout=1800.0, role="coder")
    return Resolved(ask.prompt or "", read_only, None, await _sites([project], read_only))


async def _sites(projects: Sequence[Project], read_only: bool) -> tuple[Site, ...]:
    """Every project's place, asked of git a few at a time; all problems of places are found before anything starts."""
    found: dict[str, Site] = {}
    wrong: list[UsageError | Refused] = []
    slots = anyio.CapacityLimiter(GIT_AT_ONCE)

    async def one(project: Project) -> None:
        async with slots:
            try:
                found[project.name] = await _site(project, read_only)
            except (UsageError, Refused) as error:
                wrong.append(error)

    async with anyio.create_task_group() as group:
        for project in projects:
            group.start_soon(one, project)
    if wrong:
        first = wrong[0]
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise type(first)(f"{first.what}{more}", hint=first.hint)
    if not found:
        raise NothingSelected("no project is selected", hint=HOW)
    return tuple(found[project.name] for project in projects)


async def _site(project: Project, read_only: bool) -> Site:
    inplace = project.isolation == "inplace"
    if (read_only or inplace) and _is_plain_directory(project.path):
        return replace(_site_of(project, project.path), inplace=True)
    place = await repository(project.path, project.name)
    if inplace and not read_only and (dirty := await dirty_files(project.path)):
        raise Refused(
            f"project {project.name}: {project.path} has uncommitted changes ({dirty[0]})",
            hint='commit or stash them, or use isolation = "worktree"',
        )
    site = _site_of(project, Path(place.root), place.subdir)
    return replace(site, base=place.head, branch_from=place.branch, inplace=inplace)


def _is_plain_directory(path: Path) -> bool:
    return path.is_dir() and not any((folder / ".git").exists() for folder in (path, *path.parents))


def _site_of(project: Project, root: Path, subdir: str = "") -> Site:
    return Site(
        project=project.name,
        root=root,
        subdir=subdir,
        url=project.url,
        branch=project.branch,
        role=project.role,
        model=project.model,
        timeout=project.timeout,
        idle=project.idle,
        max_cost=project.max_cost,
        limits=project.limits,
        protect_ignored=project.protect_ignored,
        protect=project.protect,
        setup=project.setup,
        gates=project.gates,
        instructions=read_instructions(root / subdir, root),
        tags=project.tags,
    )
