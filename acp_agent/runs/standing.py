"""Facts that hold for the whole store: each kind has one stream, opened by its first fact."""

from acp_agent.domain.errors import Refused
from acp_agent.domain.events import Fact
from acp_agent.domain.ports import Journal, NewStream


async def tell(journal: Journal, stream: str, fact: Fact, actor: str) -> None:
    """Record `fact` in the stream of that name and kind."""
    try:
        await journal.create([NewStream(stream_id=stream, kind=stream, facts=(fact,))], actor)
    except Refused:
        # It exists, as it does after the first time; two processes may have begun it at once.
        await journal.note(stream, [fact], actor)
