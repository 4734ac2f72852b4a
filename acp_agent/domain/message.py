"""Messages of a conversation, as the model sees them and as events keep them."""

from typing import Annotated, Literal

from pydantic import Field

from acp_agent.domain.base import Frozen


class ToolCall(Frozen):
    """A call the model proposes. `arguments` is its JSON text, unparsed: a malformed one is a fact too.

    `masked` says that they held a secret, and are not what the model said: such a call is not made.
    """

    call_id: str
    name: str
    arguments: str
    masked: bool = False


class Usage(Frozen):
    """Tokens of one model call; `cached_tokens` are part of `input_tokens`, `reasoning_tokens` of `output_tokens`."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0


class SystemMessage(Frozen):
    """What the agent is and where it works."""

    role: Literal["system"] = "system"
    text: str


class Image(Frozen):
    """A picture that came with a prompt; `data` is base64."""

    mime_type: str
    data: str = Field(repr=False)


class UserMessage(Frozen):
    """A prompt, or a remark of ours to the model."""

    role: Literal["user"] = "user"
    text: str
    images: tuple[Image, ...] = ()


class AssistantMessage(Frozen):
    """A reply of the model; `reasoning` is kept for people and not sent back."""

    role: Literal["assistant"] = "assistant"
    text: str = ""
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()


class ToolMessage(Frozen):
    """What a tool call answered."""

    role: Literal["tool"] = "tool"
    call_id: str
    name: str
    text: str


Message = Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]

StopReason = Literal["end_turn", "tool_calls", "max_tokens", "refusal"]


class Reply(Frozen):
    """One answer of a model. `usage` is None where the provider gave none; `model` is `provider/model` as asked."""

    message: AssistantMessage
    stop: StopReason
    model: str
    usage: Usage | None = None


class Word(Frozen):
    """A piece of a reply as it streams: shown, never recorded, may be lost."""

    kind: Literal["text", "reasoning"]
    text: str
