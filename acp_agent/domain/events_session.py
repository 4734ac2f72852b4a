"""Facts about a conversation that a person continues."""

from typing import Literal

from acp_agent.domain.base import Frozen
from acp_agent.domain.policy import Mode


class SessionStarted(Frozen):
    """A conversation that a person continues; what each of its runs is asked with, until it is changed.

    `model` is an alias or `provider/model`, None for what discovery finds; `effort` the thought level, None for the
    model's own. `inherited` are the runs of the session it was forked from, oldest first, which come before its own.
    """

    type: Literal["session_started"] = "session_started"
    cwd: str
    mode: Mode = Mode.ASK
    role: str = "coder"
    model: str | None = None
    effort: str | None = None
    inherited: tuple[str, ...] = ()


class SessionChanged(Frozen):
    """What changed for the next run of the conversation; None stays as it is.

    `allowed` is the complete list of what a person allows always, by name.
    """

    type: Literal["session_changed"] = "session_changed"
    mode: Mode | None = None
    role: str | None = None
    model: str | None = None
    effort: str | None = None
    title: str | None = None
    allowed: tuple[str, ...] | None = None


class SessionDeleted(Frozen):
    """A person does not want to see the conversation any more; its record stays."""

    type: Literal["session_deleted"] = "session_deleted"


SessionFact = SessionStarted | SessionChanged | SessionDeleted
"""Everything that is recorded in the stream of a session."""
