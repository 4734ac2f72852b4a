"""One request as the scripted model server recorded it, and the questions a script asks about its conversation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

CHAT_PATH = "/v1/chat/completions"
MODELS_PATH = "/v1/models"


@dataclass(frozen=True)
class Request:
    """What arrived, in the order of arrival. Header names are lower case; `at` is `time.monotonic()`.

    `conversation` is the request's `prompt_cache_key` or `user` when it has one, else a short hash of the first
    system and the first user message, so all turns of one conversation share it.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    at: float
    conversation: str

    @property
    def is_chat(self) -> bool:
        """True for a chat completion, false for a list of models or a wrong path."""
        return self.method == "POST" and self.path == CHAT_PATH

    @property
    def model(self) -> str:
        """The model asked for."""
        return str(self.body.get("model", ""))

    @property
    def streams(self) -> bool:
        """True when the reply is wanted as server-sent events."""
        return bool(self.body.get("stream"))

    @property
    def api_key(self) -> str | None:
        """The bearer token."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None

    @cached_property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        """The conversation as sent."""
        return messages_of(self.body)

    @cached_property
    def turn(self) -> int:
        """How often the model has already spoken in this conversation."""
        return sum(message.get("role") == "assistant" for message in self.messages)

    @cached_property
    def turn_since_prompt(self) -> int:
        """How often the model has spoken since the last user message."""
        turns = 0
        for message in reversed(self.messages):
            if message.get("role") == "user":
                break
            turns += message.get("role") == "assistant"
        return turns

    @cached_property
    def system(self) -> tuple[str, ...]:
        """The texts of all system and developer messages."""
        return tuple(text_of(message) for message in self.messages if message.get("role") in ("system", "developer"))

    @cached_property
    def prompt(self) -> str:
        """The text of the last user message."""
        return next((text_of(message) for message in reversed(self.messages) if message.get("role") == "user"), "")

    @cached_property
    def tool_results(self) -> tuple[str, ...]:
        """The texts of all tool messages, oldest first."""
        return tuple(text_of(message) for message in self.messages if message.get("role") == "tool")

    @cached_property
    def call_ids(self) -> frozenset[str]:
        """The ids of all tool calls the conversation holds."""
        return frozenset(str(call.get("id")) for message in self.messages for call in message.get("tool_calls") or ())

    @cached_property
    def everything(self) -> str:
        """All texts and tool calls of the conversation, one per line."""
        return "\n".join(part for message in self.messages for part in _parts_of(message))

    def to_json(self) -> str:
        """One line of the request log."""
        return json.dumps(asdict(self))


def read_log(path: Path | str) -> tuple[Request, ...]:
    """The requests a server wrote to its log, oldest first."""
    return tuple(Request(**json.loads(line)) for line in Path(path).read_text("utf-8").splitlines())


def messages_of(body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The messages of a request body; anything that is no message is left out."""
    messages = body.get("messages")
    return [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message, whether its content is a string or a list of parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def conversation_key(body: Mapping[str, Any]) -> str:
    """The name under which all turns of one conversation are recorded."""
    named = body.get("prompt_cache_key") or body.get("user")
    if named:
        return str(named)
    firsts: dict[str, str] = {}
    for message in messages_of(body):
        role = str(message.get("role"))
        if role in ("system", "developer", "user") and role not in firsts:
            firsts[role] = text_of(message)
    return hashlib.sha256(json.dumps(firsts).encode()).hexdigest()[:12]


def _parts_of(message: Mapping[str, Any]) -> Iterable[str]:
    yield text_of(message)
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        yield f"{function.get('name', '')}({function.get('arguments', '')})"
