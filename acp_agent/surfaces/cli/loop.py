"""`acp loop`: many runs towards a goal; and what loops there are."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from acp_agent.config.paths import shown_path, state_dir
from acp_agent.domain.errors import ExitCode, UsageError
from acp_agent.surfaces.cli import complete, options
from acp_agent.surfaces.cli.columns import aligned
from acp_agent.surfaces.cli.grid import print_json, terminal_width
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.text import cut, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from acp_agent.config.problem import Problem
    from acp_agent.loops.resolve import Known

EXAMPLES = """\b
Examples:
  acp loop faster                             loops/faster.md, or the project `faster`
  acp loop api --max-iter 100 --rotate 25 --max-cost 5
  acp loop faster --until 06:00 -o json
  acp loop ls
  acp loop new faster -p api
  acp loop check faster"""
LONGEST_GOAL = 80

limits = options.stacked(
    click.option("--max-iter", type=click.IntRange(min=1), metavar="N", help="The most iterations."),
    click.option("--rotate", metavar="N|120kt|60%", help="When a new session begins."),
    click.option("--max-cost", type=options.Money(), metavar="USD", help="Money for the whole loop."),
    click.option("--max-time", type=options.Duration(), metavar="TIME", help="Working time of the whole loop."),
    click.option("--until", metavar="HH:MM", help="Begin no iteration after this time of day."),
    click.option("--patience", type=click.IntRange(min=1), metavar="N", help="Iterations without an accepted change."),
    click.option("--goal", metavar="TEXT", help="What shall be true in the end."),
    click.option("--model", metavar="MODEL", shell_complete=complete.models, help="A model or an alias of the config."),
    click.option("--fresh", is_flag=True, help="Begin a new loop; by default the last one of that name goes on."),
    click.option("--once", is_flag=True, help="One iteration."),
    click.option("--watch", is_flag=True, help="One iteration whenever files of the project change, until Ctrl-C."),
)


@click.command(cls=Command, epilog=EXAMPLES, options_metavar="[OPTIONS]")
@click.argument("words", nargs=-1, required=True, metavar="NAME | ls | check [NAME]... | new NAME")
@click.option("-p", "--project", metavar="NAME", help="The project of a new loop.")
@options.projects_file
@limits
@options.output
def loop(**given: Any) -> int:
    """Work towards a goal in many iterations, each checked before it is kept; or list, check and write loops.

    NAME is a file loops/NAME.md or loops/NAME.toml beside projects.toml, or a project. Kill it at any moment: the same
    command goes on. What is accepted is on a branch of its own until `acp accept`.
    """
    match given["words"]:
        case ("ls",):
            return _list(given)
        case ("check", *names):
            return _check(names, given)
        case ("new", name):
            return _new(name, given)
        case ("new", *_):
            raise UsageError("new takes one name", hint="acp loop new NAME")
        case (name,):
            return _run(name, given)
        case words:
            raise UsageError(f"too many arguments: {words[-1]!r}", hint="acp loop NAME")


def _run(name: str, given: dict[str, Any]) -> int:
    import anyio

    from acp_agent.loops.resolve import LoopAsk
    from acp_agent.surfaces.cli.loop_run import Way, run_loop

    names = ("goal", "max_iter", "rotate", "max_cost", "max_time", "patience", "model", "projects_file")
    ask = LoopAsk(name=name, **{key: given[key] for key in names})
    return anyio.run(run_loop, ask, Way(**{key: given[key] for key in Way._fields}))


def _known(given: dict[str, Any]) -> "Known":
    from acp_agent.loops.resolve import known_loops

    return known_loops(Path.cwd(), given["projects_file"], os.environ)


def _list(given: dict[str, Any]) -> int:
    from acp_agent.config.loops import load_loop

    known = _known(given)
    rows: list[dict[str, Any]] = []
    for name, path in known.files.items():
        try:
            file = load_loop(path)
        except UsageError as error:
            rows.append({"loop": name, "project": None, "goal": None, "file": str(path), "problem": error.what})
            continue
        project = file.table.project or file.table.projects
        goal = file.table.goal or file.prompt.partition("\n")[0]
        rows.append({"loop": name, "project": project, "goal": goal, "file": str(path), "problem": None})
    for name in known.project_names:
        if name not in known.files and known.projects is not None:
            own = known.projects.projects[name].loop or {}
            rows.append({"loop": name, "project": name, "goal": own.get("goal"), "file": None, "problem": None})
    if given["output"] == "json":
        print_json({"v": 1, "loops": rows})
    elif rows:
        told = [(row["loop"], row["project"] or "", _place(row), _goal(row)) for row in rows]
        click.echo(aligned(("loop", "project", "from", "goal"), told, width=terminal_width()))
    else:
        click.echo("no loops: acp loop new NAME writes one, and every project has one", err=True)
    return int(ExitCode.OK)


def _place(row: dict[str, Any]) -> str:
    return shown_path(Path(row["file"])) if row["file"] else "project"


def _goal(row: dict[str, Any]) -> str:
    return cut(one_line(f"broken: {row['problem']}" if row["problem"] else row["goal"] or ""), LONGEST_GOAL)


def _check(names: list[str], given: dict[str, Any]) -> int:
    """Everything wrong exits 2, commands nobody trusted yet 6."""
    from acp_agent.config.loops import load_loop, loop_problems, unknown_loop
    from acp_agent.config.trust import untrusted
    from acp_agent.loops.resolve import problems_of

    known = _known(given)
    code = ExitCode.OK
    for name in names or list(known.files):
        if name not in known.files:
            if name in known.project_names:
                click.echo(f"{one_line(name)}: a project, nothing wrong")
                continue
            raise unknown_loop(name, known.files, known.project_names)
        path = known.files[name]
        found = loop_problems(path) or problems_of(load_loop(path), known)
        if found:
            _complain(found)
            code = ExitCode.USAGE
            continue
        unknown = untrusted(path, load_loop(path).commands(), state_dir(os.environ))
        shown = one_line(shown_path(path))
        for command, state in unknown:
            click.echo(f"{shown}: {one_line(command.key)}: not trusted ({state}): {one_line(command.run)}")
        if unknown:
            click.echo(f"  hint: read them, then: acp trust {shown}")
            code = code or ExitCode.REFUSED
        else:
            click.echo(f"{shown}: nothing wrong")
    return int(code)


def _complain(found: "Sequence[Problem]") -> None:
    for problem in found:
        click.echo(one_line(str(problem)))
        if problem.hint:
            click.echo(f"  hint: {one_line(problem.hint)}")


def _new(name: str, given: dict[str, Any]) -> int:
    from acp_agent.config.loops import FOLDER, write_new

    known = _known(given)
    if known.projects is None:
        raise UsageError("there is no projects.toml that the loop's project could stand in", hint="acp init writes one")
    project = given["project"] or (name if name in known.project_names else None)
    if project is None and len(known.project_names) == 1:
        project = known.project_names[0]
    if project is None or project not in known.project_names:
        names = ", ".join(known.project_names[:8])
        raise UsageError(f"say the project of the new loop with -p NAME: {names}", hint=f"acp loop new {name} -p NAME")
    folder = known.folder or known.projects.path.absolute().parent / FOLDER
    path = write_new(folder, name, project)
    click.echo(f"wrote {one_line(shown_path(path))}: say its goal there, then: acp loop {one_line(name)}", err=True)
    return int(ExitCode.OK)
