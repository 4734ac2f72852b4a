"""Who must say yes before what cannot be taken back happens, and who has said it.

Risk 4 needs two approvers, one of them a person. Where a person watches a run they are the second pair of eyes
themselves, unless the project is tagged `prod` or a reviewer is configured. The reviewer is another model that has read
nothing of the run. Local surfaces of one user are one person, whatever they are called.
"""

from collections.abc import Iterable, Sequence

from acp_agent.domain.tool import Risk

REVIEWER = "role:reviewer"
"""The actor of the reviewing model."""
PROD = "prod"
LOCAL = "local"


def approver(actor: str) -> str:
    """Who an actor is: `cli:ann` and `person:ann` are one, and so are all that name nobody."""
    kind, _, name = actor.partition(":")
    if kind in ("cli", "person", "editor", "chat"):
        return name or LOCAL
    return actor


def has_approved(actor: str, approved: Iterable[str]) -> bool:
    """Whether the same person has approved already."""
    return approver(actor) in {approver(other) for other in approved}


def needed(risk: Risk, *, attended: bool, tags: Iterable[str], reviewed: bool) -> int:
    """How many approvers a call of that risk needs; `reviewed`: a reviewer is configured."""
    if risk < Risk.IRREVERSIBLE:
        return 1
    return 1 if attended and PROD not in tags and not reviewed else 2


def is_enough(approved: Sequence[str], count: int) -> bool:
    """Whether so many different approvers have approved, a person among them."""
    different = {approver(actor) for actor in approved}
    return len(different) >= count and bool(different - {REVIEWER})
