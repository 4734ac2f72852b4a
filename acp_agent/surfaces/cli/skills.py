"""`acp skills`: list the skills on offer, and check those somebody writes."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from acp_agent.config.paths import shown_path
from acp_agent.domain.errors import ExitCode
from acp_agent.surfaces.cli import options
from acp_agent.surfaces.cli.columns import aligned
from acp_agent.surfaces.cli.formats import some
from acp_agent.surfaces.cli.grid import print_json, terminal_width
from acp_agent.surfaces.cli.group import Command, LazyGroup
from acp_agent.surfaces.cli.text import one_line

if TYPE_CHECKING:
    from acp_agent.config.skills import Skills

_TABLE = {
    "ls": (__name__ + ":ls", "List skills: name, whose it is, what it is for."),
    "check": (__name__ + ":check", "Check skills against the specification."),
}


@click.command(cls=LazyGroup, table=_TABLE, name="skills")
def skills() -> None:
    """Skills: instructions the agent takes up when a task fits them (agentskills.io)."""


@click.command(cls=Command)
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path())
@options.as_json
def ls(**given: Any) -> int:
    """List the skills for work in DIR (default: here), and those of its project that nobody trusted yet."""
    from acp_agent.config.settings import load_settings
    from acp_agent.config.skills import find_skills

    cwd = Path(os.path.realpath(given["directory"] or "."))
    found = find_skills(cwd, os.environ, load_settings(os.environ).table.skills.disabled)
    if given["output"] == "json":
        print_json(_document(found))
        return int(ExitCode.OK)
    rows = [
        (skill.name, skill.scope + (", by you alone" if skill.manual else ""), one_line(skill.description))
        for skill in found.entries
    ]
    rows += [
        (folder.name, "not trusted", f"read it, then: acp trust {shown_path(folder)}") for folder in found.untrusted
    ]
    click.echo(aligned(("skill", "whose", "what for"), rows, width=terminal_width()))
    for warning in found.warnings:
        click.echo(f"acp: {one_line(warning)}", err=True)
    return int(ExitCode.OK)


def _document(found: "Skills") -> dict[str, Any]:
    listed = [skill.model_dump(include={"name", "description", "scope", "folder", "manual"}) for skill in found.entries]
    return {
        "v": 1,
        "skills": listed,
        "not_trusted": [str(folder) for folder in found.untrusted],
        "warnings": list(found.warnings),
    }


@click.command(cls=Command)
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path))
def check(paths: tuple[Path, ...]) -> int:
    """Check each PATH: a skill's folder, its SKILL.md, or a folder of skills (default: the project's and yours).

    What breaks the specification is listed with its line and exits 2.
    """
    from acp_agent.config.skill_file import advice, problems

    folders = [folder for path in paths for folder in _folders(path)] if paths else _own()
    if not folders:
        click.echo("no skills here: a skill is a folder with a SKILL.md", err=True)
        return int(ExitCode.NOTHING)
    wrong = 0
    for folder in folders:
        found = problems(folder)
        wrong += bool(found)
        for problem in found:
            click.echo(one_line(str(problem)))
            if problem.hint:
                click.echo(f"  hint: {one_line(problem.hint)}")
        for line in [] if found else advice(folder):
            click.echo(f"{one_line(shown_path(folder / 'SKILL.md'))}: {line}", err=True)
    told = f"{some(len(folders), 'skill')}, {some(wrong, 'skill')} with problems" if wrong else "nothing wrong"
    click.echo(told if wrong else f"{some(len(folders), 'skill')}, {told}", file=sys.stdout)
    return int(ExitCode.USAGE if wrong else ExitCode.OK)


def _folders(path: Path) -> list[Path]:
    from acp_agent.config.skill_tree import FILE, Place, folders_in, skills_of_project

    if path.name == FILE:
        return [path.parent]
    if not path.is_dir() or (path / FILE).is_file():
        return [path]
    found = [file.parent for file in skills_of_project(path)]
    return found or list(folders_in(Place(path, "user"), [])) or [path]


def _own() -> list[Path]:
    from acp_agent.config.skill_tree import folders_in
    from acp_agent.config.skills import places

    found = (folders_in(place, []) for place in places(Path.cwd(), os.environ) if place.scope != "shipped")
    return [folder for folders in found for folder in folders]
