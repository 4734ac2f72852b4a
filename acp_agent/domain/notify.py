"""Channels by which people are told that a run waits, and the steps of an approval that nobody gives."""

from typing import Literal

from pydantic import Field

from acp_agent.domain.base import Frozen

Told = Literal["answer", "budget", "breach", "outcome_unknown", "crash_loop"]
"""What a channel may be told of as soon as a run waits for it; approvals have steps (`[policy] then`)."""


class Channel(Frozen):
    """A command of the user's or an administrator's that reaches people: JSON on its stdin, outside of the sandbox.

    `timeout` in seconds; `env` names the variables it is given beside the usual ones.
    """

    name: str
    run: str
    timeout: float = 10.0
    env: tuple[str, ...] = ()
    on: tuple[Told, ...] = ()


class Escalation(Frozen):
    """A step: `channel` is told, and then has `within` seconds."""

    channel: str
    within: float


class NotifyStarted(Frozen):
    """The `channels` are about to be told that the run waits: once, whatever becomes of it.

    A process that has said nothing of it `within` so many seconds has died over it.
    """

    type: Literal["notify_started"] = "notify_started"
    channels: tuple[str, ...]
    waiting: str
    within: float
    call_id: str | None = None


class NotifyFinished(Frozen):
    """They were told; `failed` says of those that were not, or of whom nobody knows, why."""

    type: Literal["notify_finished"] = "notify_finished"
    channels: tuple[str, ...]
    failed: dict[str, str] = Field(default_factory=dict)


NotifyFact = NotifyStarted | NotifyFinished
