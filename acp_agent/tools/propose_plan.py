"""The tool by which a model ends its planning. A person decides about the call, so nothing here ever runs."""

from dataclasses import replace

from pydantic import Field

from acp_agent.domain.errors import ToolError
from acp_agent.domain.tool import Intent, Risk, ToolResult
from acp_agent.domain.work_plan import MOST_STEPS, PROPOSE_PLAN
from acp_agent.tools.registry import Arguments, Ready, Seen, other_names, prepared_tool
from acp_agent.tools.workspace import Workspace


class PlannedStep(Arguments):
    """One step."""

    OTHER_NAMES = other_names(text="content step title description", acceptance="done_when criteria")

    text: str = Field(min_length=1, max_length=2000, description="What is done.")
    role: str = Field("", max_length=100, description="The role that does it, where that matters.")
    files: tuple[str, ...] = Field((), max_length=50, description="Files that change.")
    acceptance: str = Field("", max_length=1000, description="How a person sees that it is done.")

    def title(self) -> str:
        return self.text


class ProposePlan(Arguments):
    OTHER_NAMES = other_names(steps="plan items todos", goal="title summary")

    goal: str = Field(min_length=1, max_length=500, description="What the plan is for, in one line.")
    steps: tuple[PlannedStep, ...] = Field(min_length=1, max_length=MOST_STEPS, description="The steps in order.")

    def title(self) -> str:
        return f"Plan: {self.goal}"


@prepared_tool(Risk.READ, kind="think", timeout=None)
def _propose_plan(arguments: ProposePlan, workspace: Workspace, seen: Seen) -> Ready:
    """Propose the plan you have made. A person approves it, changes it or rejects it; once approved, you carry it out.

    Call it once you know enough from looking, instead of asking in words whether to begin.
    """

    async def run(key: str) -> ToolResult:
        raise ToolError("A person decides about a plan.", kind="internal")

    return Ready(Intent(title=arguments.title()), run)


propose_plan = replace(_propose_plan, name=PROPOSE_PLAN, instant=True, asks="plan")
