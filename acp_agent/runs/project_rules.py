"""What the projects.toml around a directory says about work in it: rules, which only tighten, tags, protected files."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from acp_agent.config.paths import find_projects_file
from acp_agent.domain.errors import UsageError
from acp_agent.domain.patterns import seen_from
from acp_agent.domain.rules import Rule

_SPEAKS_OF_IT = ("policy", "prod", "protect")
"""Words without which a file says nothing that matters here, so that it need not be read whole by every first turn."""


class Said(NamedTuple):
    """`protect` are globs as they read in the directory."""

    rules: tuple[Rule, ...] = ()
    tags: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()


def project_policy(cwd: Path, environ: Mapping[str, str]) -> Said:
    """The rules of the file in force for `cwd`; of the project that `cwd` lies in, the tags and what it protects.

    Raises UsageError for a file with rules that cannot be read: it may forbid anything.
    """
    try:
        path = find_projects_file(cwd, None, environ)
        text = path.read_text(encoding="utf-8", errors="replace")
    except (UsageError, OSError):
        return Said()
    if not any(word in text for word in _SPEAKS_OF_IT):
        return Said()
    from acp_agent.config.projects import load_projects

    file = load_projects(path)
    at = cwd.resolve()
    here = [project for project in file.projects.values() if at.is_relative_to(project.path)]
    tags = dict.fromkeys(tag for project in here for tag in project.tags)
    protect: dict[str, None] = {}
    for project in here:
        folder = at.relative_to(project.path).as_posix()
        seen = project.protect if folder == "." else (seen_from(glob, folder) for glob in project.protect)
        protect |= dict.fromkeys(filter(None, seen))
    return Said(file.rules, tuple(tags), tuple(protect))
