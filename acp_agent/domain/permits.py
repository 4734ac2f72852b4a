"""Which calls may begin where many processes share a limit: a pure function of the rows that hold and wait."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

SHARE = 8
"""One in so many is kept free from each urgency for the ones before it."""
FEW = 4
"""Of fewer none is kept free: half of all would stand empty."""
REST = -1
"""The urgency of a row that is no call: nothing begins under its limiter while it stands."""


class Permit(NamedTuple):
    """One call under one limiter, of which it may be one of `most`. `urgency` counts from 0, the most urgent.

    `owner` is the process as JSON, empty where it is nobody's; `asked_at` and `until` are the database's time.
    """

    call_id: str
    limiter: str
    owner: str
    urgency: int
    most: int
    held: int
    asked_at: float
    until: float


def share_of(total: int, urgency: int) -> int:
    """How many of `total` calls of this urgency and those after it may have."""
    kept = max(1, total // SHARE) if total >= FEW else 0
    return total - kept * urgency


def may_begin(permits: Iterable[Permit]) -> list[str]:
    """Ids of waiting calls that find room under all their limiters: the most urgent first, then the oldest."""
    used: Counter[str] = Counter()
    resting: set[str] = set()
    waiting: defaultdict[tuple[int, float, str], list[Permit]] = defaultdict(list)
    for permit in permits:
        if permit.urgency == REST:
            resting.add(permit.limiter)
        elif permit.held:
            used[permit.limiter] += 1
        else:
            waiting[permit.urgency, permit.asked_at, permit.call_id].append(permit)
    begun = []
    for (urgency, _, call_id), wanted in sorted(waiting.items()):
        if all(each.limiter not in resting and used[each.limiter] < share_of(each.most, urgency) for each in wanted):
            used.update(each.limiter for each in wanted)
            begun.append(call_id)
    return begun
