"""Facts about effects outside the workplace that somebody takes back."""

from typing import Literal

from acp_agent.domain.base import Frozen
from acp_agent.domain.tool import ToolResult


class CompensationStarted(Frozen):
    """Intent: the run is undone, and what takes back the effect of a call of step `step` is about to begin.

    `title` is that of the call, `key` its idempotency key, which the compensation is handed too.
    """

    type: Literal["compensation_started"] = "compensation_started"
    step: int
    call_id: str
    tool: str
    title: str = ""
    key: str = ""


class CompensationFinished(Frozen):
    """What came of it: the effect is taken back where `result` is ok."""

    type: Literal["compensation_finished"] = "compensation_finished"
    step: int
    call_id: str
    tool: str
    title: str = ""
    result: ToolResult
