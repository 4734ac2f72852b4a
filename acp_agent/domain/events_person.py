"""Facts about what an agent asked a person in words, and what was answered."""

from typing import Literal

from acp_agent.domain.base import Frozen

AnsweredBy = Literal["person", "default", "deadline", "declined", "nobody"]
"""Whose the answer is: `default` and `deadline` are the default, taken at once or after the deadline."""


class QuestionAsked(Frozen):
    """The agent asks a person. `choices` are suggestions, `default` holds where nobody answers.

    `deadline` are the seconds that somebody who watches has for it.
    """

    type: Literal["question_asked"] = "question_asked"
    call_id: str
    question: str
    choices: tuple[str, ...] = ()
    default: str | None = None
    deadline: float | None = None


class QuestionAnswered(Frozen):
    """The answer to a question, which closes its call; `text` is empty where there is none."""

    type: Literal["question_answered"] = "question_answered"
    call_id: str
    text: str = ""
    by: AnsweredBy = "person"


PersonFact = QuestionAsked | QuestionAnswered
