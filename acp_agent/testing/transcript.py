"""What a person saw of a session: the updates an editor was sent, put together the way editors do. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Update = Mapping[str, Any]
CHUNKS = ("user_message_chunk", "agent_message_chunk", "agent_thought_chunk")


@dataclass(frozen=True, slots=True)
class ToolCard:
    """One tool call as it stands: `fields` are its newest, `statuses` every one it went through."""

    call_id: str
    fields: Mapping[str, Any]
    statuses: tuple[str, ...]

    @property
    def status(self) -> str:
        """The newest status."""
        return self.statuses[-1] if self.statuses else "pending"

    @property
    def title(self) -> str:
        """The newest title."""
        return str(self.fields.get("title", ""))

    @property
    def diffs(self) -> list[Mapping[str, Any]]:
        """The diffs among its content."""
        return [item for item in self.fields.get("content") or () if item.get("type") == "diff"]

    @property
    def text(self) -> str:
        """The text among its content."""
        items = [item["content"] for item in self.fields.get("content") or () if item.get("type") == "content"]
        return "".join(str(item.get("text", "")) for item in items)


class Transcript:
    """The updates of one session, or of a part of it, in the order they came."""

    def __init__(self, updates: Iterable[Update]) -> None:
        self.updates: Sequence[Update] = tuple(updates)

    @property
    def kinds(self) -> list[str]:
        """The kind of each update."""
        return [str(update.get("sessionUpdate")) for update in self.updates]

    def of(self, kind: str) -> list[Update]:
        """The updates of one kind."""
        return [update for update in self.updates if update.get("sessionUpdate") == kind]

    def text(self, kind: str = "agent_message_chunk") -> str:
        """The words of the agent, or of another kind of chunk."""
        return "".join(str(update["content"].get("text", "")) for update in self.of(kind))

    @property
    def messages(self) -> list[tuple[str, str | None, str]]:
        """Whole messages as (kind, messageId, text), each where its first chunk came."""
        whole: dict[tuple[str, str | None], str] = {}
        for update in self.updates:
            if update.get("sessionUpdate") in CHUNKS:
                key = (str(update["sessionUpdate"]), update.get("messageId"))
                whole[key] = whole.get(key, "") + str(update["content"].get("text", ""))
        return [(kind, message_id, text) for (kind, message_id), text in whole.items()]

    @property
    def tool_cards(self) -> dict[str, ToolCard]:
        """The tool calls by id. Raises LookupError for an update of a call that was never announced."""
        cards: dict[str, ToolCard] = {}
        for update in self.updates:
            kind, call_id = update.get("sessionUpdate"), str(update.get("toolCallId"))
            if kind not in ("tool_call", "tool_call_update"):
                continue
            if kind == "tool_call_update" and call_id not in cards:
                raise LookupError(f"an update of the unknown tool call {call_id}")
            before = cards.get(call_id, ToolCard(call_id, {}, ()))
            changed = {name: value for name, value in update.items() if name not in ("sessionUpdate", "toolCallId")}
            added = (str(update["status"]),) if update.get("status") else ()
            cards[call_id] = ToolCard(call_id, {**before.fields, **changed}, before.statuses + added)
        return cards

    @property
    def plan(self) -> list[Mapping[str, Any]] | None:
        """The entries of the newest plan."""
        return next((list(update["entries"]) for update in reversed(self.of("plan"))), None)

    @property
    def usage(self) -> Update | None:
        """The newest account of tokens and money."""
        return next(reversed(self.of("usage_update")), None)
