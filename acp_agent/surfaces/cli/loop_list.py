"""Loops as `acp ps` lists them."""

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from acp_agent.surfaces.cli.formats import age, count, money
from acp_agent.surfaces.cli.glyphs import at_least, label
from acp_agent.surfaces.cli.records import EVERY, open_records
from acp_agent.surfaces.cli.text import one_line

if TYPE_CHECKING:
    from acp_agent.store.reads import LoopRow

RECENT = 86_400.0
MOST = 200


def loops_listed(everything: bool) -> "list[LoopRow]":
    """Loops that are alive or of the last 24 hours; or all."""
    loops = [row for row in open_records(os.environ).loops(EVERY if everything else MOST)]
    now = time.time()
    return loops if everything else [row for row in loops if _is_alive(row) or now - row.updated_at < RECENT]


def loop_state(row: "LoopRow") -> str:
    """One word; `interrupted` where nobody drives a loop that is not at its end."""
    if row.landed:
        return row.landed
    if row.status == "running":
        return "running" if row.driven else "interrupted"
    if row.status != "ended":
        return row.status
    if row.reason in ("done", "fleet"):
        return "ok"
    return "limit" if (row.reason or "").startswith("max_") else "cancelled" if row.reason == "cancelled" else "failed"


def loop_rows(loops: "Sequence[LoopRow]", now: float, unicode: bool) -> list[tuple[str, ...]]:
    """The rows of the table: id, project, state, what it does, tokens, money, age."""
    return [
        (
            ("  " if row.parent else "") + row.id,
            f"{row.name}: {row.project}" if row.name != row.project else row.name,
            label(loop_state(row), unicode),
            one_line(f"{row.iterations}/{row.max_iter}, {row.accepted} accepted; {row.last_text}"),
            count(row.tokens) if row.tokens else "",
            money(row.cost, row.cost_known, at_least=at_least(unicode)) if row.tokens else "",
            age(row.created_at, now),
        )
        for row in loops
    ]


def loop_documents(loops: "Sequence[LoopRow]") -> list[dict[str, Any]]:
    """The same for machines; money is US dollars, a lower bound unless `cost_known`."""
    return [{"state": loop_state(row), **row._asdict()} for row in loops]


def _is_alive(row: "LoopRow") -> bool:
    return row.status != "ended" and not row.landed
