"""What was spent, by whatever a person asks: sums over the calls of models on record. Standard library only."""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple


class Call(NamedTuple):
    """One call of a model. `ts` is Unix seconds, `cost` US dollars, None where nobody knows it."""

    ts: float
    model: str
    project: str
    role: str
    batch_id: str | None
    run_id: str
    tokens_in: int
    tokens_out: int
    cost: float | None


class Spending(NamedTuple):
    """The sum of some calls; `cost` is a lower bound unless `cost_known`."""

    name: str
    calls: int
    tokens_in: int
    tokens_out: int
    cost: float
    cost_known: bool


def _loop(call: Call) -> str:
    return call.batch_id if call.batch_id and call.batch_id.startswith("l_") else "(no loop)"


def _day(call: Call) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(call.ts))


BY: dict[str, Callable[[Call], str]] = {
    "project": lambda call: call.project or "(none)",
    "model": lambda call: call.model,
    "role": lambda call: call.role,
    "loop": _loop,
    "day": _day,
}
"""What sums can be asked by."""


def spending(calls: Iterable[Call], by: str) -> list[Spending]:
    """The sums by one of `BY`: days in their order, everything else with the dearest first."""
    name_of = BY[by]
    sums: dict[str, Spending] = {}
    for call in calls:
        name = name_of(call)
        before = sums.get(name) or Spending(name, 0, 0, 0, 0.0, True)
        sums[name] = Spending(
            name,
            before.calls + 1,
            before.tokens_in + call.tokens_in,
            before.tokens_out + call.tokens_out,
            before.cost + (call.cost or 0.0),
            before.cost_known and call.cost is not None,
        )
    return sorted(sums.values(), key=lambda one: one.name if by == "day" else (-one.cost, one.name))


def whole(sums: Iterable[Spending]) -> Spending:
    """The sum of all."""
    kept = list(sums)
    return Spending(
        "all",
        sum(one.calls for one in kept),
        sum(one.tokens_in for one in kept),
        sum(one.tokens_out for one in kept),
        sum(one.cost for one in kept),
        all(one.cost_known for one in kept),
    )
