"""Facts about hooks."""

from typing import Literal

from acp_agent.domain.base import Frozen
from acp_agent.domain.hook import HookEvent, HookOutcome


class HookRan(Frozen):
    """A hook has run: one that a crash cut off runs again, so there is no fact before it.

    `outcome` of one that runs before something: `passed`, `asked` (a person must decide), `blocked`, or `failed`, which
    blocks too. `note` is what a model is told of it. `sandbox` is the level it ran in.
    """

    type: Literal["hook_ran"] = "hook_ran"
    event: HookEvent
    hook: str
    outcome: HookOutcome
    call_id: str | None = None
    reason: str = ""
    note: str = ""
    exit_status: int | None = None
    seconds: float = 0.0
    sandbox: str | None = None
