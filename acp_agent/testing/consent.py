"""How an editor double answers what it is asked for permission: a script instead of a person."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Answer = Literal["once", "always", "reject", "reject_always", "cancel", "hold"]
KINDS: Mapping[str, str] = {
    "once": "allow_once",
    "always": "allow_always",
    "reject": "reject_once",
    "reject_always": "reject_always",
}
"""The protocol's option kind behind each answer that chooses an option."""


@dataclass(slots=True)
class Question:
    """One request for permission, as it came. `answer` is None while it is held."""

    session_id: str
    tool_call: Mapping[str, Any]
    options: Sequence[Mapping[str, Any]]
    answer: Answer | None = None
    _released: asyncio.Future[Answer] | None = field(default=None, repr=False)

    @property
    def kinds(self) -> list[str]:
        """The kinds of the options on offer, in order."""
        return [str(option["kind"]) for option in self.options]

    @property
    def held(self) -> bool:
        """True while nobody has answered."""
        return self.answer is None


class Consent:
    """Answers in the order given; past the last of them it answers `then`.

    `hold` leaves the question open until `release`, or until the turn is cancelled. `forms` are the contents that
    elicitation forms are filled in with, in order; None declines, and past the last of them a form stays open.
    """

    def __init__(
        self, *answers: Answer, then: Answer = "reject", forms: Sequence[Mapping[str, Any] | None] = ()
    ) -> None:
        self.questions: list[Question] = []
        self.forms: list[Mapping[str, Any]] = []
        self._contents = list(forms)
        self._answers = list(answers)
        self._then: Answer = then

    @property
    def held(self) -> list[Question]:
        """The questions nobody has answered yet, oldest first."""
        return [question for question in self.questions if question.held]

    async def outcome(self, question: Question) -> dict[str, Any]:
        """The protocol's outcome for `question`. Raises LookupError where the answer is not among its options."""
        answer = self._answers.pop(0) if self._answers else self._then
        if answer == "hold":
            question._released = asyncio.get_running_loop().create_future()
            answer = await question._released
        question.answer = answer
        return outcome_of(question, answer)

    async def filled(self) -> dict[str, Any]:
        """The protocol's answer to a form, one of `forms`."""
        if not self._contents:
            await asyncio.get_running_loop().create_future()
        content = self._contents.pop(0)
        return {"action": "decline"} if content is None else {"action": "accept", "content": dict(content)}

    def release(self, answer: Answer = "once", session_id: str | None = None) -> None:
        """Answer the oldest held question (of a session). Raises LookupError when none is held."""
        for question in self.held:
            if session_id in (None, question.session_id) and question._released and not question._released.done():
                question._released.set_result(answer)
                return
        raise LookupError("no question is held")

    def cancel(self, session_id: str, call_id: str | None = None) -> None:
        """Answer the open questions of a session (or of one tool call) as cancelled.

        That is what a client owes when it cancels a turn, or when the agent takes a question back.
        """
        for question in self.held:
            is_meant = session_id == question.session_id and call_id in (None, question.tool_call["toolCallId"])
            if is_meant and question._released and not question._released.done():
                question._released.set_result("cancel")


def outcome_of(question: Question, answer: Answer) -> dict[str, Any]:
    """The protocol's outcome of `answer`."""
    if answer == "cancel":
        return {"outcome": "cancelled"}
    wanted = KINDS[answer]
    for option in question.options:
        if option["kind"] == wanted:
            return {"outcome": "selected", "optionId": option["optionId"]}
    raise LookupError(f"the agent offers no {wanted}, only {', '.join(question.kinds)}")
