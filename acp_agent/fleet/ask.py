"""What a person asks of `acp run`, before any project is known: plain data between a surface and the plan."""

from dataclasses import dataclass, field
from typing import Any

from acp_agent.fleet.select import Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAsk:
    """One `acp run`. `prompt` is the text, or `task` names a `[tasks.NAME]`; `directory` runs in one directory without
    projects.toml. Money is US dollars, times are seconds; None leaves the configured default. `directory` and
    `projects_file` are paths as typed."""

    prompt: str | None = None
    task: str | None = None
    directory: str | None = None
    projects_file: str | None = None
    select: Selection = field(default_factory=Selection)
    model: str | None = None
    role: str | None = None
    read_only: bool | None = None
    answer_schema: dict[str, Any] | None = None
    max_steps: int | None = None
    max_cost: float | None = None
    max_cost_each: float | None = None
    timeout: float | None = None
    commit: bool = True
