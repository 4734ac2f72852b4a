"""Budgets: what a run may use, what it has used, and the arithmetic between the two. Money is US dollars."""

from typing import Literal

from acp_agent.domain.base import Frozen

LimitReason = Literal["max_steps", "max_tool_calls", "max_tokens", "max_cost", "max_time", "stalled"]


class Limits(Frozen):
    """What one run may use. None is no limit; there is no money cap unless a person sets one. Times are seconds.

    `idle` is how long a model or a tool may yield nothing. `max_output` bounds the tokens of one reply, so that its
    worst price can be set aside; `max_tokens` all of the run.
    """

    max_steps: int | None = 50
    max_tool_calls: int | None = 500
    max_tokens: int | None = None
    max_time: float | None = 1800.0
    max_cost: float | None = None
    max_output: int | None = None
    idle: float | None = None


class Spent(Frozen):
    """What a run has used so far. `cost_known` turns False once a call had no price.

    Then `cost` is only a lower bound.
    """

    steps: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    cost_known: bool = True


class Quote(Frozen):
    """The most a model call can cost: `worst` is None where the price is unknown. `max_output` bounds its reply."""

    worst: float | None
    max_output: int | None = None


CALL = "call"
"""The budget of each single call: only its cap counts."""
WINDOWS = ("day", "month")
"""Budgets that begin anew with each day or month; their caps stand under these names."""


class Reservation(Frozen):
    """Money set aside in a budget before a call. `aside` must remain free beside it (the last call's price).

    Where `window` names a budget, its cap holds for this one; `most` is a cap that is given along.
    """

    scope: str
    amount: float
    aside: float = 0.0
    window: str = ""
    most: float | None = None


class Settlement(Frozen):
    """A reservation that became spending: `reserved` is given back, `spent` is booked."""

    scope: str
    reserved: float
    spent: float


class Cap(Frozen):
    """A budget to open: `scope` is `run:ID`, `batch:ID`...; the cap is in US dollars, None counts without a limit."""

    scope: str
    cap: float | None


def reached(spent: Spent, limits: Limits, elapsed: float) -> LimitReason | None:
    """Which limit is used up before another model call, the first in the order of `Limits`.

    Money is decided at the reservation, not here.
    """
    if limits.max_steps is not None and spent.steps >= limits.max_steps:
        return "max_steps"
    if limits.max_tokens is not None and spent.input_tokens + spent.output_tokens >= limits.max_tokens:
        return "max_tokens"
    return reached_by_tools(spent, limits, elapsed)


def reached_by_tools(spent: Spent, limits: Limits, elapsed: float) -> LimitReason | None:
    """Which limit forbids another tool call: the calls of the last step still run when only its steps are used up."""
    if limits.max_tool_calls is not None and spent.tool_calls >= limits.max_tool_calls:
        return "max_tool_calls"
    if limits.max_time is not None and elapsed >= limits.max_time:
        return "max_time"
    return None
