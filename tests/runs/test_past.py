"""What a session leaves to its next run is read once, and read again where its record has news."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from acp_agent.app import App
from acp_agent.domain.events import Event, LateResult
from acp_agent.domain.ports import Journal
from acp_agent.domain.request import RunRequest
from acp_agent.runs.past import Past, Pasts
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.script import Rule, Step

OpenAgent = Callable[..., AbstractAsyncContextManager[App]]
MakeRequest = Callable[..., RunRequest]


class Counted:
    """A journal that remembers which runs were read."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.read: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.journal, name)

    async def events(self, stream_id: str, after: int = 0) -> list[Event]:
        if stream_id.startswith("r_"):
            self.read.append(stream_id)
        return await self.journal.events(stream_id, after)


async def turn(app: App, request: RunRequest) -> str:
    run_id = await app.runner.start(request)
    await app.engine.drive(run_id)
    return run_id


async def test_a_turn_reads_only_what_earlier_turns_have_added(open_agent: OpenAgent, request_in: MakeRequest) -> None:
    with ModelServer([Rule(reply=Step(text="Done."))]) as server:
        async with open_agent(server) as app:
            request = request_in(session_id="s_talk")
            journal = Counted(app.journal)
            pasts = Pasts(journal)
            first, second = await turn(app, request), await turn(app, request)
            before_second = await pasts.before("s_talk", second)
            assert (len(before_second.messages), journal.read) == (2, [first])
            everything = await pasts.before("s_talk")
            assert (len(everything.messages), journal.read) == (4, [first, second])
            await pasts.before("s_talk")
            assert journal.read == [first, second]
            await app.journal.note(first, [LateResult(fence=1, fact={})], "test")
            assert await pasts.before("s_talk") == everything
            assert journal.read == [first, second, first, second]


async def test_sessions_unused_for_long_are_forgotten_and_read_again(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    with ModelServer([Rule(reply=Step(text="Done."))]) as server:
        async with open_agent(server) as app:
            runs = {name: await turn(app, request_in(session_id=name)) for name in ("s_one", "s_two", "s_three")}
            journal = Counted(app.journal)
            pasts = Pasts(journal, most=2)
            for name in ("s_one", "s_two", "s_three", "s_two", "s_one"):
                assert len((await pasts.before(name)).messages) == 2
            assert journal.read == [runs[name] for name in ("s_one", "s_two", "s_three", "s_one")]
            assert await pasts.before("s_unknown") == Past()
