"""What a driver works with, chosen by `app`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from acp_agent.domain.policy import InForce
from acp_agent.domain.ports import Journal, Model, Snapshots, Tools, Workplaces
from acp_agent.domain.redact import Redactor
from acp_agent.domain.request import RunRequest
from acp_agent.runs.bus import Bus
from acp_agent.runs.hooks import Hooks

ToolsOf = Callable[[RunRequest, str], Awaitable[Tools]]
"""The tools of a run that works in a directory."""


async def no_rules(request: RunRequest) -> InForce:
    """The policy where nobody has written a rule: modes alone."""
    return InForce()


@dataclass(frozen=True, slots=True)
class Parts:
    """The collaborators of every run in this process. `tools` opens the tools of a run at the path it works in."""

    journal: Journal
    model: Model
    tools: ToolsOf
    places: Workplaces
    snapshots: Snapshots
    bus: Bus = field(default_factory=Bus)
    hooks: Hooks = field(default_factory=Hooks)
    redact: Redactor = field(default_factory=Redactor)
    policy: Callable[[RunRequest], Awaitable[InForce]] = no_rules
