"""A plan that a person approves before work begins, and the text form in which they read and edit it. Pure."""

import re

from pydantic import Field

from acp_agent.domain.base import Frozen

PROPOSE_PLAN = "propose_plan"
"""The tool by which a model proposes one."""
_STEP = re.compile(r"\d{1,3}[.)]\s+(?P<text>\S.*)\Z")
_DETAIL = re.compile(r"\s+(?P<name>role|files|acceptance):\s*(?P<value>.*)\Z", re.IGNORECASE)
MOST_STEPS = 50


class WorkStep(Frozen):
    """One step: what is done, by which role, in which files, and how a person sees that it is done."""

    text: str
    role: str = ""
    files: tuple[str, ...] = ()
    acceptance: str = ""


class WorkPlan(Frozen):
    """The steps towards a goal, in order."""

    goal: str
    steps: tuple[WorkStep, ...] = Field(min_length=1)


def plan_text(plan: WorkPlan) -> str:
    """The plan as text: the goal, then numbered steps with their details below them."""
    lines = [f"# {_line(plan.goal)}", ""]
    for number, step in enumerate(plan.steps, 1):
        lines.append(f"{number}. {_line(step.text)}")
        details = (("role", step.role), ("files", ", ".join(step.files)), ("acceptance", step.acceptance))
        lines += [f"   {name}: {_line(value)}" for name, value in details if value.strip()]
    return "\n".join(lines) + "\n"


def plan_of(text: str) -> WorkPlan:
    """The plan that a text tells; what stands below a step belongs to it. Raises ValueError that names the line."""
    goal = ""
    steps: list[WorkStep] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        if line.startswith("#"):
            if goal or steps:
                raise ValueError(f"line {number}: the goal stands once, above the steps")
            goal = line.lstrip("#").strip()
        elif found := _STEP.match(line):
            steps.append(WorkStep(text=found["text"].strip()))
        elif steps and line[0].isspace():
            steps[-1] = _with_detail(steps[-1], line)
        else:
            raise ValueError(f"line {number}: should be '# goal', '1. a step' or, indented, role:, files:, acceptance:")
    if not goal:
        raise ValueError("line 1: should be '# ' and the goal")
    if not steps or len(steps) > MOST_STEPS:
        raise ValueError(f"there should be 1 to {MOST_STEPS} steps, each a line like '1. what is done'")
    return WorkPlan(goal=goal, steps=tuple(steps))


def _with_detail(step: WorkStep, line: str) -> WorkStep:
    found = _DETAIL.match(line)
    if found is None:
        return step.model_copy(update={"text": f"{step.text} {line.strip()}"})
    name, value = found["name"].lower(), found["value"].strip()
    files = tuple(filter(None, (part.strip() for part in value.split(","))))
    return step.model_copy(update={name: files if name == "files" else value})


def _line(text: str) -> str:
    return " ".join(text.split())
