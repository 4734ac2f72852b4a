"""The protocol over HTTP, WebSocket and a socket file: real servers, and the SDK's own transports at the other end."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from acp_agent.testing.conformance import complaints
from acp_agent.testing.consent import Consent
from acp_agent.testing.remote import ServerProcess, Way, serving
from acp_agent.testing.script import Rule, Step
from tests.acceptance.acp.conftest import DeskOf
from tests.acceptance.acp.desk import READ, SCHEMA, Desk, edit

RAISE = Rule(contains="raise", turns=[READ, edit("LIMIT = 20"), Step(text="Raised, and told.", chunk=4)])
NEXT = Rule(contains="next", since="prompt", turns=[Step(text="Going on.")])


@pytest.mark.parametrize("way", ["http", "websocket", "unix"])
async def test_a_turn_with_an_approval_is_what_it_is_over_stdio(desk_of: DeskOf, way: Way) -> None:
    desk = desk_of(RAISE, NEXT)
    async with serving(desk.environment, desk.root) as server:
        async with server.editor(way, Consent("once")) as editor:
            await editor.initialize()
            session = await desk.session(editor)
            turn = await editor.prompt(session, "raise the limit")
            assert (turn.stop_reason, turn.text()) == ("end_turn", "Raised, and told.")
            assert [card.status for card in turn.tool_cards.values()] == ["completed", "completed"]
            assert len(editor.questions) == 1
            assert (await editor.prompt(session, "next")).text() == "Going on."
            listed = await editor.list_sessions()
            assert [one["sessionId"] for one in listed["sessions"]] == [session]
        assert editor.complaints + complaints(editor.lines, SCHEMA) == []
        assert await server.stop() == 143
        assert "Traceback" not in server.process.errors
    assert desk.read() == "LIMIT = 20\n"
