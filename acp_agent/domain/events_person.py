"""Facts about what an agent asked a person in words, and what was answered; and of plans that wait for a person."""

from typing import Literal

from acp_agent.domain.base import Frozen
from acp_agent.domain.message import Image
from acp_agent.domain.policy import Mode
from acp_agent.domain.work_plan import WorkPlan

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


class PicturesGiven(Frozen):
    """Pictures that a person sent with their next words, which are recorded together with them."""

    type: Literal["pictures_given"] = "pictures_given"
    images: tuple[Image, ...]


class PlanProposed(Frozen):
    """The agent proposes a plan; the run waits until a person approves or rejects it."""

    type: Literal["plan_proposed"] = "plan_proposed"
    call_id: str
    plan: WorkPlan


class PlanEdited(Frozen):
    """A person changed the plan that waits; it is the one that they approve."""

    type: Literal["plan_edited"] = "plan_edited"
    call_id: str
    plan: WorkPlan


class PlanApproved(Frozen):
    """The plan holds from now on, as it was approved, and the run goes on in `mode`; this closes the call."""

    type: Literal["plan_approved"] = "plan_approved"
    call_id: str
    plan: WorkPlan
    mode: Mode


PersonFact = QuestionAsked | QuestionAnswered | PicturesGiven | PlanProposed | PlanEdited | PlanApproved
