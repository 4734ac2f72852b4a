"""What a task wants of the network, and what a person should know of it before the batch starts."""

from collections.abc import Iterator, Sequence

from acp_agent.config.egress import granted
from acp_agent.config.projects import Task
from acp_agent.config.settings import Settings
from acp_agent.domain.egress import NO_NETWORK
from acp_agent.domain.request import Lookup
from acp_agent.fleet.plan import Target


def lookup_of(task: Task | None) -> Lookup:
    """Whether a task looks things up."""
    if task is None or not task.egress:
        return "none"
    return "needed" if task.needs_network else "wanted"


def network_warnings(settings: Settings, task: Task | None, targets: Sequence[Target]) -> Iterator[str]:
    """Presets that the user's configuration withholds from the task, and what follows for its answers."""
    if task is None or not task.egress:
        return
    for preset in granted(settings, targets[0].agent.role, task.egress).withheld:
        yield (
            f"tasks.{task.name}.egress: config.toml does not let projects files use {preset!r}"
            f" (projects = true under [egress.{preset}])"
        )
    if not all(target.agent.egress for target in targets):
        told = f"every answer will be {NO_NETWORK!r}" if task.needs_network else "what must be looked up stays unknown"
        yield f"the network is closed: {told}"
