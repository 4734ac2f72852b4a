"""What hooks note, where the model reads it."""

from acp_agent.domain.events_hooks import HookRan
from acp_agent.domain.hook import noted
from acp_agent.domain.message import Message


def with_note(messages: tuple[Message, ...], fact: HookRan) -> tuple[Message, ...]:
    """The conversation with what a hook notes: at the result of its call, or at the prompt before anything was said."""
    if not fact.note:
        return messages

    def is_meant(message: Message) -> bool:
        if fact.event == "after_tool":
            return message.role == "tool" and message.call_id == fact.call_id
        return fact.event == "before_run" and message is messages[-1] and message.role == "user"

    def told(message: Message) -> Message:
        return message.model_copy(update={"text": noted(message.text, fact.hook, fact.note)})

    return tuple(told(message) if is_meant(message) else message for message in messages)
