"""Facts about the second opinion of another model on a call that cannot be taken back."""

from typing import Literal

from acp_agent.domain.base import Frozen

ReviewVerdict = Literal["approve", "deny", "failed"]


class ReviewStarted(Frozen):
    """Intent: the reviewer is about to be asked about one call. `reserved` US dollars are set aside, None: no price."""

    type: Literal["review_started"] = "review_started"
    call_id: str
    binding: str
    model: str
    reserved: float | None = None
    scopes: tuple[str, ...] = ()


class CallReviewed(Frozen):
    """What the reviewer said, in its own words; `failed` where it gave no verdict. `cost` None: no price known."""

    type: Literal["call_reviewed"] = "call_reviewed"
    call_id: str
    binding: str
    model: str
    verdict: ReviewVerdict
    reason: str = ""
    cost: float | None = 0.0


class Review(Frozen):
    """Where the review of an open call stands; `verdict` is None while the reviewer is asked."""

    binding: str
    model: str
    reserved: float | None = None
    scopes: tuple[str, ...] = ()
    verdict: ReviewVerdict | None = None
    reason: str = ""
