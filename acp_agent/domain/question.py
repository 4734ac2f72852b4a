"""Questions of the agent to a person: what an answer means, and what the model reads of it. Pure."""

from typing import assert_never

from acp_agent.domain.events_person import QuestionAnswered, QuestionAsked
from acp_agent.domain.tool import ToolResult

ASK_USER = "ask_user"
"""The tool by which a model asks."""
ON_YOUR_OWN = "Decide yourself with care, and say in the end what you assumed."


def answered(asked: QuestionAsked, text: str) -> QuestionAnswered:
    """A person's answer: the number of a choice is that choice, and nothing at all the default."""
    words = text.strip()
    if words.isdecimal() and 0 < int(words) <= len(asked.choices) and words not in asked.choices:
        words = asked.choices[int(words) - 1]
    return unanswered(asked, "declined") if not words else QuestionAnswered(call_id=asked.call_id, text=words)


def unanswered(asked: QuestionAsked, why: str) -> QuestionAnswered:
    """What holds where nobody answers: the default, else that there is no answer. `why`: deadline, declined, nobody."""
    if why == "deadline":
        return QuestionAnswered(call_id=asked.call_id, text=asked.default or "", by="deadline")
    if asked.default is not None:
        return QuestionAnswered(call_id=asked.call_id, text=asked.default, by="default")
    return QuestionAnswered(call_id=asked.call_id, by="declined" if why == "declined" else "nobody")


def result_of(fact: QuestionAnswered) -> ToolResult:
    """What the model reads."""
    match fact.by:
        case "person":
            return ToolResult(status="ok", output=f"The person answered: {fact.text}")
        case "default":
            return ToolResult(status="ok", output=f"Nobody answered; your default holds: {fact.text}")
        case "deadline" if fact.text:
            return ToolResult(status="ok", output=f"Nobody answered in time; your default holds: {fact.text}")
        case "deadline":
            return ToolResult(status="ok", output=f"Nobody answered in time. {ON_YOUR_OWN}")
        case "declined":
            return ToolResult(status="ok", output=f"The person does not want to answer. {ON_YOUR_OWN}")
        case "nobody":
            return ToolResult(status="ok", output=f"Nobody is there to answer. {ON_YOUR_OWN}")
        case _:
            assert_never(fact.by)


def shown(asked: QuestionAsked) -> str:
    """The question as text: its choices numbered, then what holds without an answer."""
    lines = [asked.question.strip(), *(f"{number}. {choice}" for number, choice in enumerate(asked.choices, 1))]
    if asked.default is not None:
        lines.append(f"(without an answer: {asked.default})")
    return "\n".join(lines)
