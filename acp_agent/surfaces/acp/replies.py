"""What a client answers to our requests, typed."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field

from acp_agent.surfaces.acp.fields import Lenient, OptionalText, Params


class Selected(Params):
    """A person chose an option; the id may be one we never offered."""

    outcome: Literal["selected"]
    option_id: str


class NotAnswered(Params):
    """The turn was cancelled before a person chose."""

    outcome: Literal["cancelled"]


class PermissionReply(Params):
    """The answer to `session/request_permission`."""

    outcome: Annotated[Selected | NotAnswered, Discriminator("outcome")]

    @property
    def option_id(self) -> str | None:
        """The option a person chose, None when the turn was cancelled first."""
        return self.outcome.option_id if isinstance(self.outcome, Selected) else None


class ElicitationReply(Params):
    """The answer to `elicitation/create`; `content` holds what was filled in."""

    action: str
    content: Annotated[dict[str, Any], BeforeValidator(lambda value: value if isinstance(value, dict) else {})] = Field(
        default_factory=dict, repr=False
    )


class FileReply(Params):
    """The answer to `fs/read_text_file`."""

    content: str = Field(repr=False)


class DoneReply(Params):
    """The answer to `fs/write_text_file`, `terminal/kill` and `terminal/release`: it is done."""


class TerminalReply(Params):
    """The answer to `terminal/create`."""

    terminal_id: str


class ExitReply(Params):
    """The answer to `terminal/wait_for_exit`: a status, or the name of the signal that ended it."""

    exit_code: Annotated[int | None, Lenient] = None
    signal: OptionalText = None


class OutputReply(Params):
    """The answer to `terminal/output`."""

    output: str = Field(repr=False)
    truncated: Annotated[bool | None, Lenient] = False
