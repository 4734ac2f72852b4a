"""Whether a worker can drive a run that was queued for many; if not, `acp ps` says why."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio.to_thread

from acp_agent import __version__
from acp_agent.config.paths import host_queue
from acp_agent.domain.errors import Held, Refused
from acp_agent.domain.events_handover import PassedOver
from acp_agent.domain.ports import Journal

Told = Mapping[str, Any]
"""A fact as JSON says it."""
Priced = Callable[[str], bool]
PRICES, KNOWN = "prices", "known"
"""What a run carries whose models all had a price where it was queued."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """The judgement of one worker: `config` are the hashes of its settings, `priced` says whether it knows a price."""

    journal: Journal
    environ: Mapping[str, str]
    config: Mapping[str, str] = field(default_factory=dict)
    priced: Priced = lambda model: True
    _said: dict[str, str] = field(default_factory=dict)

    async def __call__(self, run_ids: Sequence[str]) -> frozenset[str]:
        """Those of some runs that this host and this version can drive; a reason against one goes on record, once."""
        began = await self.journal.beginnings(run_ids)
        reasons = await anyio.to_thread.run_sync(_reasons, began, self.config, self.priced)
        for run_id, why in reasons.items():
            await self._say(run_id, why)
        return frozenset(run_ids) - reasons.keys()

    async def _say(self, run_id: str, why: str) -> None:
        if self._said.get(run_id) == why:
            return
        self._said[run_id] = why
        host = host_queue(self.environ).removeprefix("host.")
        try:
            await self.journal.note(run_id, [PassedOver(host=host, why=why)], "worker")
        except (Held, Refused):
            # Stopped or gone since we looked: said when it is looked at again.
            del self._said[run_id]


def _reasons(began: Mapping[str, Sequence[Told]], config: Mapping[str, str], priced: Priced) -> dict[str, str]:
    return {run_id: why for run_id, facts in began.items() if (why := why_not(facts, config, priced)) is not None}


def why_not(facts: Sequence[Told], config: Mapping[str, str], priced: Priced) -> str | None:
    """Why a run that began with `facts` cannot be driven on this host by this version; None where it can."""
    request = facts[0].get("request", {})
    if request.get("version", "") not in ("", __version__):
        return f"it was queued by acp-agent {request['version']}, this is {__version__}"
    if request.get("queue") != "any":
        return None
    asked = {**request.get("config", {})}
    known = asked.pop(PRICES, "") == KNOWN
    if others := [part for part, value in asked.items() if config.get(part) != value]:
        return f"config.toml says other {' and '.join(others)} here than where it was queued"
    if known and (unknown := [model for model in request["models"] if not priced(model)]):
        # Nothing could be set aside for its calls, so no cap would hold.
        return f"nobody knows here what {unknown[0]} costs, and where it was queued one did"
    if len(facts) > 1:
        path = facts[-1]["path"]
        return None if os.path.isdir(path) else f"it has begun in {path}, which is not here"
    return _no_place(request["workplace"], request)


def _no_place(place: Told, request: Told) -> str | None:
    if os.path.isdir(place["root"]) or place.get("url") is not None:
        return None
    if place["kind"] == "inplace" and not request["read_only"]:
        return f"it works in {place['root']} itself, which is not here"
    return f"{place['root']} is not here, and project {request['project']} has no url to clone"
