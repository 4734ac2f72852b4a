"""The hold by which a person stops everything, and what must not begin while it is on. Standard library only."""

import json
from collections.abc import Iterable
from typing import NamedTuple

HOLD = "hold"
"""The one stream of what a person stopped; the name of its kind too."""

BEGINS = frozenset(
    {
        *("model_called", "tool_started", "gate_started", "review_started", "compensation_started"),
        *("iteration_planned", "iteration_prepared", "iteration_started", "turn_given", "slot_taken"),
        "notify_started",
    }
)
"""Kinds that are put on record right before an effect begins: none is recorded while a hold is on."""


class Hold(NamedTuple):
    """A hold in force: since when (Unix seconds), set by whom, whether it ends what is under way, and why."""

    since: float
    actor: str
    now: bool
    note: str

    @property
    def what(self) -> str:
        """One line for a person."""
        why = f" ({self.note})" if self.note else ""
        return f"everything was stopped by {self.actor or 'somebody'}{why}: nothing begins"


LIFT = "acp resume --all lets everything go on"
"""What a person does about a hold."""


def hold_of(rows: Iterable[tuple[str, float, str, str]]) -> Hold | None:
    """The hold of the facts (kind, time, actor, JSON) since the last one was lifted; `now` stays once it was said."""
    held: Hold | None = None
    for kind, ts, actor, data in rows:
        if kind != "hold_set":
            continue
        told = json.loads(data)
        first = held or Hold(ts, actor, told["now"], told["note"])
        held = first._replace(now=first.now or told["now"])
    return held
