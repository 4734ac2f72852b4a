"""Facts about budgets that belong to no run, batch or loop."""

from typing import Literal

from acp_agent.domain.base import Frozen

BUDGETS = "budgets"
"""The one stream of what a person set; the name of its kind too."""


class BudgetSet(Frozen):
    """A person caps a budget at so many US dollars; None takes the cap away. What was spent stays.

    `scope` is `call`, `day`, `month`, `tenant`, `project:NAME`, `provider:NAME`, `model:PROVIDER/MODEL`, or a run,
    batch or loop by its id (`run:r_...`). That of `day` and `month` holds for each.
    """

    type: Literal["budget_set"] = "budget_set"
    scope: str
    cap: float | None = None
