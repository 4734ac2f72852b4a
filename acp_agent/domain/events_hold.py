"""Facts about the whole store: a person stops everything, and lets it go on."""

from typing import Literal

from acp_agent.domain.base import Frozen


class HoldSet(Frozen):
    """Nothing begins from now on, in any process, until a `hold_lifted`; `now` ends what is under way too."""

    type: Literal["hold_set"] = "hold_set"
    now: bool = False
    note: str = ""


class HoldLifted(Frozen):
    """What was stopped may go on."""

    type: Literal["hold_lifted"] = "hold_lifted"
    note: str = ""


HoldFact = HoldSet | HoldLifted
