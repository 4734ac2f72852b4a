"""The caps on what a day or a month may cost, over everything that is asked: of several the lowest holds."""

from typing import Protocol


class _Caps(Protocol):
    @property
    def per_day(self) -> float | None: ...
    @property
    def per_month(self) -> float | None: ...


def window_caps(*budgets: _Caps) -> dict[str, float]:
    """The caps in US dollars by `day` and `month`, without those that nobody sets."""
    days = [budget.per_day for budget in budgets if budget.per_day is not None]
    months = [budget.per_month for budget in budgets if budget.per_month is not None]
    return {name: min(caps) for name, caps in (("day", days), ("month", months)) if caps}
