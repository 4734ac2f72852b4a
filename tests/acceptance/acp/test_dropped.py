"""A process that outlives its connections: a turn goes on without its client, and the next one takes it over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from acp_agent.app import open_app
from acp_agent.surfaces.acp.agent import Agent
from acp_agent.surfaces.acp.connection import Connection
from acp_agent.surfaces.acp.descriptors import DescriptorTransport
from acp_agent.surfaces.acp.turns import Turns
from acp_agent.testing.consent import Consent
from acp_agent.testing.editor import Editor, Serve, in_process
from acp_agent.testing.script import Rule, Step
from acp_agent.testing.tap import RawError
from tests.acceptance.acp.conftest import DeskOf
from tests.acceptance.acp.desk import READ, Desk, edit

RAISE = Rule(contains="raise", turns=[READ, edit("LIMIT = 20"), Step(text="Raised, and told.", chunk=4)])
NEXT = Rule(contains="next", since="prompt", turns=[Step(text="Going on.")])


@asynccontextmanager
async def serving(desk: Desk) -> AsyncIterator[Serve]:
    """What serves any number of connections in one process, as HTTP and WebSocket do."""
    async with open_app(desk.environment, desk.root) as app, anyio.create_task_group() as group:
        turns = Turns(group)

        async def serve(reads: int, writes: int) -> None:
            transport = DescriptorTransport(reads, writes)
            agent = Agent(app, turns)
            try:
                await Connection(transport, agent.methods(), cancel=agent.cancel).serve()
            finally:
                transport.close()

        yield serve
        group.cancel_scope.cancel()


def asked(editor: Editor, session: str, text: str) -> asyncio.Task[object]:
    prompt = {"sessionId": session, "prompt": [{"type": "text", "text": text}]}
    return asyncio.create_task(editor.request("session/prompt", prompt))


async def left_while_asked(desk: Desk, serve: Serve) -> str:
    """A client asks for an edit and is gone before it has answered whether it may be made; the session."""
    async with in_process(serve, Consent("hold")) as editor:
        await editor.initialize()
        session = await desk.session(editor)
        turning = asked(editor, session, "raise the limit")
        await editor.wait_for(lambda: bool(editor.questions))
        editor.consent.cancel(session)
    await asyncio.wait([turning])
    assert turning.exception() is not None
    assert desk.read() == "LIMIT = 10\n"
    return session


async def test_whoever_loads_the_session_hears_the_rest_and_is_asked(desk_of: DeskOf) -> None:
    desk = desk_of(RAISE, NEXT)
    async with serving(desk) as serve:
        session = await left_while_asked(desk, serve)
        async with in_process(serve, Consent("once")) as editor:
            await editor.initialize()
            await editor.load_session(session, desk.project)
            await editor.wait_for(lambda: "Raised, and told." in editor.text(session))
            assert desk.read() == "LIMIT = 20\n"
            cards = editor.transcript(session).tool_cards.values()
            assert [card.status for card in cards] == ["completed", "completed"]
            # It waits for the end of the turn that was taken over, which the protocol has no word for.
            assert (await editor.prompt(session, "next")).text() == "Going on."
    assert desk.reasons() == ["end_turn", "end_turn"]


async def test_a_turn_that_was_taken_over_can_be_cancelled(desk_of: DeskOf) -> None:
    desk = desk_of(RAISE, NEXT)
    async with serving(desk) as serve:
        session = await left_while_asked(desk, serve)
        async with in_process(serve, Consent("hold")) as editor:
            await editor.initialize()
            await editor.resume_session(session, desk.project)
            await editor.wait_for(lambda: bool(editor.questions))
            await editor.cancel(session)
            await editor.close_session(session)
            assert desk.reasons() == ["cancelled"]
            await editor.load_session(session, desk.project)
            assert (await editor.prompt(session, "next")).text() == "Going on."
    assert desk.read() == "LIMIT = 10\n"


async def test_another_client_is_told_who_holds_the_session(desk_of: DeskOf) -> None:
    desk = desk_of(RAISE, NEXT)
    async with serving(desk) as serve, in_process(serve, Consent("hold")) as editor, in_process(serve) as other:
        await editor.initialize()
        await other.initialize()
        session = await desk.session(editor)
        turning = asked(editor, session, "raise the limit")
        await editor.wait_for(lambda: bool(editor.questions))
        await other.load_session(session, desk.project)
        for refused in (asked(other, session, "next"), other.close_session(session)):
            with pytest.raises(RawError, match="acp-agent-testing 1"):
                await refused
        await other.cancel(session)
        editor.consent.release("once")
        assert await turning == {"stopReason": "end_turn"}
    assert (desk.read(), desk.reasons()) == ("LIMIT = 20\n", ["end_turn"])
