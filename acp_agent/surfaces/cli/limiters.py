"""Which limiters, shared by all processes, have calls or hold some back: a line of `acp ps` each."""

import os
from typing import TYPE_CHECKING, Any

from acp_agent.config.paths import database_location
from acp_agent.domain.permits import REST
from acp_agent.store.reads import Reads
from acp_agent.surfaces.cli.text import one_line

if TYPE_CHECKING:
    from acp_agent.domain.permits import Permit


def limiter_documents() -> list[dict[str, Any]]:
    """Each limiter that is in use: calls under way, the limit, who waits by urgency, and whether it rests."""
    with Reads(database_location(os.environ)) as reads:
        permits = reads.permits()
    return [
        _document(name, [permit for permit in permits if permit.limiter == name])
        for name in sorted({permit.limiter for permit in permits})
    ]


def limiter_lines() -> list[str]:
    """The limiters for whom somebody waits, or that rest, a line each."""
    return [line for document in limiter_documents() if (line := _line(document)) is not None]


def _document(name: str, permits: "list[Permit]") -> dict[str, Any]:
    # Most of the time there is none, and this takes longer than all the rest of the command.
    from acp_agent.domain.ports import URGENCIES

    calls = [permit for permit in permits if permit.urgency != REST]
    waiting = [URGENCIES[permit.urgency] for permit in calls if not permit.held]
    return {
        "limiter": name,
        "under_way": sum(permit.held for permit in calls),
        "most": max((permit.most for permit in calls), default=None),
        "waiting": {urgency: waiting.count(urgency) for urgency in URGENCIES if urgency in waiting},
        "rests": len(calls) < len(permits),
    }


def _line(document: dict[str, Any]) -> str | None:
    told = []
    if document["waiting"]:
        who = ", ".join(f"{number} {urgency}" for urgency, number in document["waiting"].items())
        told.append(f"{document['under_way']} of {document['most']} calls under way, waiting: {who}")
    if document["rests"]:
        told.append("rests, as its provider asked")
    return f"limit {one_line(document['limiter'])}: {'; '.join(told)}" if told else None
