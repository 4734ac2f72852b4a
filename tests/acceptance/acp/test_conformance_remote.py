"""A sample of the campaign `conformance_remote`, and several sessions over one connection."""

import asyncio
from pathlib import Path

import pytest

from acp_agent.testing.conformance import complaints
from acp_agent.testing.consent import Consent
from acp_agent.testing.remote import Way, serving
from acp_agent.testing.script import Rule, Step
from tests.acceptance.acp.conftest import DeskOf
from tests.acceptance.acp.desk import SCHEMA
from tests.acceptance.acp.test_conformance import CHECKS, ENDLESS
from tests.campaigns.conformance_remote import ELSEWHERE, cases, hold

SAMPLE: tuple[tuple[str, Way], ...] = (
    ("CANCEL-001 CANCEL-002", "http"),
    ("LOAD-001 LOAD-002 LOAD-003", "http"),
    ("CLIENTCAP-001 CLIENTCAP-002 CLIENTCAP-003", "websocket"),
    ("CLOSE-002", "unix"),
)


def test_every_check_is_held_to_by_every_way_but_those_that_are_about_another() -> None:
    assert set(ELSEWHERE) <= set(CHECKS)
    assert {name for name, _ in cases()} == set(CHECKS) - {"SHUTDOWN-001"}
    assert set(SAMPLE) <= set(cases())


@pytest.mark.parametrize(("name", "way"), SAMPLE)
async def test_conformance_by_another_way(name: str, way: Way, tmp_path: Path) -> None:
    await hold(tmp_path, name, way)


@pytest.mark.parametrize("way", ["http", "websocket"])
async def test_sessions_of_one_connection_are_kept_apart(way: Way, desk_of: DeskOf) -> None:
    counting = [
        Rule(contains=f"count {name}", since="prompt", turns=[Step(text=f"{name}-" * 400, chunk=2)]) for name in "abc"
    ]
    desk = desk_of(*counting, ENDLESS)
    async with serving(desk.environment, desk.root) as server:
        async with server.editor(way, Consent(then="once")) as editor:
            await editor.initialize()
            sessions = {name: await desk.session(editor) for name in "abc"}
            endless = await desk.session(editor)
            cancelled = asyncio.create_task(editor.prompt(endless, "endless"))
            turns = [asyncio.create_task(editor.prompt(sessions[name], f"count {name}")) for name in "abc"]
            await editor.wait_for(lambda: "word" in editor.text(endless))
            await editor.cancel(endless)
            assert (await cancelled).stop_reason == "cancelled"
            assert [(await turn).stop_reason for turn in turns] == ["end_turn"] * 3
            assert {name: editor.text(session) for name, session in sessions.items()} == {
                name: f"{name}-" * 400 for name in "abc"
            }
        assert complaints(editor.lines, SCHEMA) == []
