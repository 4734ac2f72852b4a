"""The tool by which the model keeps its own plan, for people to see."""

from typing import Any, Literal

from pydantic import Field, field_validator

from acp_agent.domain.tool import PlanStep, Risk, ToolResult
from acp_agent.tools.registry import Arguments, other_names, tool
from acp_agent.tools.workspace import Workspace

_STATUSES = {
    "done": "completed", "complete": "completed", "finished": "completed", "todo": "pending", "open": "pending",
    "not_started": "pending", "in-progress": "in_progress", "active": "in_progress", "doing": "in_progress",
}  # fmt: skip


class Step(Arguments):
    """One step."""

    OTHER_NAMES = other_names(text="content step title description", status="state")

    text: str = Field(min_length=1)
    status: Literal["pending", "in_progress", "completed"] = "pending"

    @field_validator("status", mode="before")
    @classmethod
    def _known_word(cls, given: Any) -> Any:
        return _STATUSES.get(given.strip().lower(), given) if isinstance(given, str) else given

    def title(self) -> str:
        return self.text


class Plan(Arguments):
    OTHER_NAMES = other_names(steps="plan todos items")

    steps: tuple[Step, ...] = Field(description="The whole plan in order.", max_length=50)

    def title(self) -> str:
        done = sum(step.status == "completed" for step in self.steps)
        return f"Plan: {done} of {len(self.steps)} done"


@tool(Risk.READ, kind="think")
def plan(arguments: Plan, workspace: Workspace) -> ToolResult:
    """Show people your plan for work of several steps. Each call replaces the plan; keep one step in progress."""
    steps = tuple(PlanStep(text=step.text, status=step.status) for step in arguments.steps)
    return ToolResult(status="ok", output=f"{arguments.title()}.", plan=steps)
