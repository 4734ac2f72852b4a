"""What the projects.toml around a directory says about work in it: rules, which only tighten, and tags."""

from collections.abc import Mapping
from pathlib import Path

from acp_agent.config.paths import find_projects_file
from acp_agent.domain.errors import UsageError
from acp_agent.domain.rules import Rule

_SPEAKS_OF_IT = ("policy", "prod")
"""Words without which a file says nothing that matters here, so that it need not be read whole by every first turn."""


def project_policy(cwd: Path, environ: Mapping[str, str]) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
    """The rules of the file in force for `cwd`, and the tags of the project that `cwd` lies in.

    Raises UsageError for a file with rules that cannot be read: it may forbid anything.
    """
    try:
        path = find_projects_file(cwd, None, environ)
        text = path.read_text(encoding="utf-8", errors="replace")
    except (UsageError, OSError):
        return (), ()
    if not any(word in text for word in _SPEAKS_OF_IT):
        return (), ()
    from acp_agent.config.projects import load_projects

    file = load_projects(path)
    here = [project for project in file.projects.values() if cwd.resolve().is_relative_to(project.path)]
    tags = dict.fromkeys(tag for project in here for tag in project.tags)
    return file.rules, tuple(tags)
