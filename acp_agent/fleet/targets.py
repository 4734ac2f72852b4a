"""Whether the tag expressions of a projects.toml's targets can be read: the one thing its loader leaves to fleet."""

from collections.abc import Iterator

from acp_agent.config.problem import Problem
from acp_agent.config.projects import ProjectsFile
from acp_agent.domain.errors import UsageError
from acp_agent.fleet.expression import parse


def bad_targets(file: ProjectsFile) -> Iterator[Problem]:
    """Each target whose expression does not parse."""
    for name, target in file.targets.items():
        try:
            parse(target.expr)
        except UsageError as error:
            yield file.problem(error.what, "targets", name, "expr", hint=error.hint)
