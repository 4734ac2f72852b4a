"""Which files `acp trust PATH` covers, and the commands each of them names."""

import json
from pathlib import Path

from acp_agent.config.command_files import files_of_project, is_command_file, trusted_text
from acp_agent.config.commands import Command, loop_commands
from acp_agent.config.paths import PROJECTS_FILE, shown_path
from acp_agent.config.problem import FileError, Problem
from acp_agent.config.projects import load_projects
from acp_agent.config.skill_tree import FILE as SKILL_FILE
from acp_agent.config.skill_tree import skill_commands, skills_of_project
from acp_agent.config.toml_source import read_text
from acp_agent.domain.errors import UsageError
from acp_agent.domain.governing import LOOP_SUFFIXES, LOOPS_FOLDER

SERVERS_FILE = ".mcp.json"


def files_of(path: Path) -> list[Path]:
    """`path` itself, or of a folder its projects.toml, loops/*.md, loops/*.toml, .mcp.json, skills and commands.

    A folder that is a skill stands for that skill.
    """
    if not path.is_dir():
        return [path]
    if (path / SKILL_FILE).is_file():
        return [path / SKILL_FILE]
    loops = sorted(file for file in (path / LOOPS_FOLDER).glob("*") if file.suffix in LOOP_SUFFIXES)
    named = (path / PROJECTS_FILE, *loops, path / SERVERS_FILE, *skills_of_project(path), *files_of_project(path))
    found = [file for file in named if file.is_file()]
    if not found:
        what = (
            f"{shown_path(path)}: has no {PROJECTS_FILE}, {LOOPS_FOLDER}/, {SERVERS_FILE}, skills or commands to trust"
        )
        raise UsageError(what, hint="acp init writes a projects.toml")
    return found


def commands_of(file: Path) -> tuple[Command, ...]:
    """The commands of a projects.toml, a loop or a .mcp.json, or a skill or a command file as it stands.

    Raises UsageError if it is none of them or broken.
    """
    if file.name == SKILL_FILE:
        return skill_commands(file)
    if is_command_file(file):
        return trusted_text(file)
    if file.name == SERVERS_FILE:
        return _server_commands(file)
    if file.parent.name == LOOPS_FOLDER and file.suffix in LOOP_SUFFIXES:
        from acp_agent.config.loops import read_source

        return loop_commands(read_source(file)[0].data)
    if file.suffix == ".toml" or not file.exists():
        return load_projects(file).commands()
    what = f"{shown_path(file)}: is no {PROJECTS_FILE}, no loop, no {SERVERS_FILE} and no {SKILL_FILE}"
    raise UsageError(what, hint=f"acp trust takes such a file, or a folder with a {PROJECTS_FILE}")


def _server_commands(file: Path) -> tuple[Command, ...]:
    shown = shown_path(file)
    try:
        data = json.loads(read_text(file))
    except json.JSONDecodeError as error:
        what = f"broken JSON: {error.msg}, column {error.colno}"
        raise FileError(Problem(shown, error.lineno, "", what, "mend this line")) from None
    except RecursionError:
        raise FileError(Problem(shown, None, "", "is nested too deeply", "write it flatter")) from None
    servers = data.get("mcpServers") if isinstance(data, dict) else None
    if not isinstance(servers, dict):
        raise FileError(Problem(shown, None, "mcpServers", "should be a table of servers"))
    # Arguments, environment and address decide what runs as much as the command does.
    return tuple(Command(f"mcpServers.{name}", json.dumps(server, sort_keys=True)) for name, server in servers.items())
