"""What earlier runs of a session leave to the next one: conversation, taint, what the model has seen of files."""

from collections import OrderedDict
from itertools import takewhile

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


class Pasts:
    """What sessions leave to their next runs, kept between turns: only runs with news on record are read again.

    At most 64 sessions are kept, those used last.
    """

    def __init__(self, journal: Journal, most: int = MOST_KEPT) -> None:
        self._journal = journal
        self._most = most
        self._kept: OrderedDict[str, tuple[Heads, Past]] = OrderedDict()

    async def before(self, session_id: str, run_id: str | None = None) -> Past:
        """What came before `run_id` in its session; everything without one."""
        inherited = fold_session(await self._journal.events(session_id)).inherited
        found = await self._journal.heads_of(session_id, inherited)
        heads = tuple(takewhile(lambda head: head[0] != run_id, found))
        known, past = self._kept.pop(session_id, ((), Past()))
        if heads[: len(known)] != known:
            known, past = (), Past()
        for earlier, _ in heads[len(known) :]:
            past = after(past, fold(await self._journal.events(earlier)))
        self._kept[session_id] = (heads, past)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return past


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
