"""How far the run of an iteration may reach, as a run of a batch over the same project would.

Looked up anew for each iteration: what a person takes back holds from the next one on, however long the loop has run.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from acp_agent.config.egress import granted
from acp_agent.config.limits_tables import run_limits
from acp_agent.config.projects import load_projects
from acp_agent.config.settings import Settings
from acp_agent.config.window_caps import window_caps
from acp_agent.domain.blast import BlastLimits
from acp_agent.domain.loop import LoopState
from acp_agent.domain.rules import Rule


@dataclass(frozen=True, slots=True)
class Bounds:
    """Hosts, amounts, ignored folders, the rules of the projects file with the tags that they look at, and the caps in
    US dollars of each day and month."""

    egress: tuple[str, ...] = ()
    blast: BlastLimits = field(default_factory=BlastLimits)
    protect_ignored: bool = False
    rules: tuple[Rule, ...] = ()
    tags: tuple[str, ...] = ()
    caps: dict[str, float] = field(default_factory=dict)


def bounds_of(state: LoopState, settings: Settings) -> Bounds:
    """What holds for the next run of a loop. Raises UsageError for a file or a preset that cannot be used."""
    if state.spec is None or state.agent is None:
        raise ValueError("a loop without rules")
    file = load_projects(Path(state.place))
    project = file.projects.get(state.project)
    limits, role = settings.table.limits, state.agent.role
    return Bounds(
        egress=granted(settings, role, state.spec.egress).hosts,
        blast=run_limits(limits, settings.role(role).limits, project.limits if project else None),
        protect_ignored=limits.protect_ignored or (project is not None and project.protect_ignored),
        rules=file.rules,
        tags=project.tags if project else (),
        caps=window_caps(file.budget, settings.table.budget),
    )


def egress_warnings(settings: Settings, role: str, name: str, asked: tuple[str, ...]) -> Iterator[str]:
    """Presets that the user's configuration withholds from a loop. Raises UsageError for one that nobody defines."""
    for preset in granted(settings, role, asked).withheld:
        yield (
            f"loop {name}: egress: config.toml does not let projects files use {preset!r}"
            f" (projects = true under [egress.{preset}])"
        )
