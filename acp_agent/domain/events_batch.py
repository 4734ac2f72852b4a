"""Facts of the streams of batches."""

from typing import Any, Literal

from pydantic import Field

from acp_agent.domain.base import Frozen


class BatchStarted(Frozen):
    """One prompt over many projects; its runs are started in the same transaction."""

    type: Literal["batch_started"] = "batch_started"
    prompt: str
    projects: tuple[str, ...]
    options: dict[str, Any] = Field(default_factory=dict)


class BatchEnded(Frozen):
    """Every run of the batch has ended or waits for a person."""

    type: Literal["batch_ended"] = "batch_ended"
    exit_code: int
    reason: str


BatchFact = BatchStarted | BatchEnded
