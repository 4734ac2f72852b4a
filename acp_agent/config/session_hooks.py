"""The hooks of a project for a session that works in its directory, where no batch has read the file before."""

import os
from collections.abc import Mapping
from pathlib import Path

from acp_agent.config.paths import find_projects_file, state_dir
from acp_agent.config.projects import load_projects
from acp_agent.config.trust import require_trust, trusted
from acp_agent.domain.errors import UsageError
from acp_agent.domain.hook import Hook


def hooks_for(cwd: Path, environ: Mapping[str, str]) -> tuple[Hook, ...]:
    """The hooks of the projects.toml in force that has a project at or around `cwd`; none of a file nobody trusted.

    Of a file that somebody did trust they are never left out in silence: raises Refused where one of them is new or
    changed, and UsageError where the file is broken.
    """
    try:
        path = find_projects_file(cwd, None, environ)
    except UsageError:
        return ()
    state = state_dir(environ)
    if Path(os.path.realpath(path)) not in {file.path for file in trusted(state)}:
        return ()
    file = load_projects(path)
    here = Path(os.path.realpath(cwd))
    if not any(here.is_relative_to(os.path.realpath(project.path)) for project in file.projects.values()):
        return ()
    require_trust(path, [command for command in file.commands() if command.key.startswith("hooks.")], state)
    return file.hooks
