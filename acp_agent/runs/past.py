"""What earlier runs of a session leave to the next one: conversation, taint, what the model has seen of files."""

from collections import OrderedDict
from itertools import takewhile
from typing import NamedTuple

from pydantic import Field

from acp_agent.domain.base import Frozen
from acp_agent.domain.message import Message
from acp_agent.domain.ports import Journal
from acp_agent.domain.run import RunState, fold
from acp_agent.domain.session import fold_session
from acp_agent.domain.skill import ActiveSkill
from acp_agent.domain.weight import Trait
from acp_agent.domain.work_plan import WorkPlan

MOST_KEPT = 64

Heads = tuple[tuple[str, int], ...]


class Past(Frozen):
    """The earlier runs of a session, folded. `plan` is approved and not done yet.

    `cost` is in US dollars, `cost_known` False where it is a lower bound.
    """

    messages: tuple[Message, ...] = ()
    seen: dict[str, str | None] = Field(default_factory=dict)
    skills: tuple[ActiveSkill, ...] = ()
    taint: frozenset[Trait] = frozenset()
    plan: WorkPlan | None = None
    cost: float = 0.0
    cost_known: bool = True


class _Kept(NamedTuple):
    """What is known of a session: the runs it inherited, and its earlier runs, of which `last` is the last one read."""

    inherited: tuple[str, ...]
    heads: Heads = ()
    past: Past = Past()
    last: RunState | None = None


class Pasts:
    """What sessions leave to their next runs, kept between turns: only runs with news on record are read again.

    At most 64 sessions are kept, those used last.
    """

    def __init__(self, journal: Journal, most: int = MOST_KEPT) -> None:
        self._journal = journal
        self._most = most
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    async def before(self, session_id: str, run_id: str | None = None) -> Past:
        """What came before `run_id` in its session; everything without one."""
        kept = await self._known(session_id)
        found = await self._journal.heads_of(session_id, kept.inherited)
        heads = tuple(takewhile(lambda head: head[0] != run_id, found))
        known, past = kept.heads, kept.past
        if heads[: len(known)] != known:
            known, past = (), Past()
        last = kept.last
        for earlier, _ in heads[len(known) :]:
            last = fold(await self._journal.events(earlier))
            past = after(past, last)
        self._keep(session_id, _Kept(kept.inherited, heads, past, last))
        return past

    async def last(self, session_id: str) -> RunState | None:
        """Where the last run of a session's own stands; None before its first one."""
        heads = await self._journal.heads_of(session_id)
        if not heads:
            return None
        run_id, seq = heads[-1]
        kept = await self._known(session_id)
        if kept.last is not None and (kept.last.run_id, kept.last.seq) == (run_id, seq):
            return kept.last
        last = fold(await self._journal.events(run_id))
        self._keep(session_id, kept._replace(last=last))
        return last

    async def _known(self, session_id: str) -> _Kept:
        """What is kept of a session; of one that is not, what it began with, which never changes."""
        kept = self._kept.get(session_id)
        return kept or _Kept(fold_session(await self._journal.events(session_id)).inherited)

    def _keep(self, session_id: str, kept: _Kept) -> None:
        self._kept[session_id] = kept
        self._kept.move_to_end(session_id)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)


def after(past: Past, run: RunState) -> Past:
    """`past` with one more run."""
    taken_up = {skill.name for skill in run.skills}
    return Past(
        messages=(*past.messages, *run.messages),
        seen={**past.seen, **run.seen},
        skills=(*(skill for skill in past.skills if skill.name not in taken_up), *run.skills),
        taint=past.taint | run.taint,
        plan=_plan(past, run),
        cost=past.cost + run.spent.cost,
        cost_known=past.cost_known and run.spent.cost_known,
    )


def _plan(past: Past, run: RunState) -> WorkPlan | None:
    """The approved plan, until every step of what the run showed as its plan is done."""
    done = bool(run.plan) and all(step.status == "completed" for step in run.plan)
    return None if done else run.approved or past.plan
