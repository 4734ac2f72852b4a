"""What earlier runs of a session leave to the next one: the conversation, and what the model has seen of files."""

from pydantic import Field

from acp_agent.domain.base import Frozen
from acp_agent.domain.message import Message
from acp_agent.domain.ports import Journal
from acp_agent.domain.run import RunState, fold


class Past(Frozen):
    """The earlier runs of a session, folded. `cost` is in US dollars, `cost_known` False where it is a lower bound."""

    messages: tuple[Message, ...] = ()
    seen: dict[str, str | None] = Field(default_factory=dict)
    cost: float = 0.0
    cost_known: bool = True


async def past_of(journal: Journal, session_id: str, run_id: str) -> Past:
    """What came before `run_id` in its session."""
    past = Past()
    for earlier in await journal.runs_of(session_id):
        if earlier == run_id:
            break
        past = after(past, fold(await journal.events(earlier)))
    return past


def after(past: Past, run: RunState) -> Past:
    """`past` with one more run."""
    return Past(
        messages=(*past.messages, *run.messages),
        seen={**past.seen, **run.seen},
        cost=past.cost + run.spent.cost,
        cost_known=past.cost_known and run.spent.cost_known,
    )
