"""Forks: a new session that knows what the old one knew at that moment, and goes its own way."""

import asyncio

from acp_agent.testing.editor import Editor
from acp_agent.testing.script import Rule, Step
from tests.acceptance.acp.conftest import DeskOf
from tests.acceptance.acp.desk import Desk, option

SAY = Rule(contains="say", reply=Step(text="Said."))
SLOW = Rule(contains="slowly", since="prompt", turns=[Step(text="one two three", gap=0.3, chunk=4)])


def conversation(desk: Desk) -> list[str]:
    """The prompts that the last call of the model saw."""
    return [message["content"] for message in desk.server.requests[-1].messages if message["role"] == "user"]


async def fork(editor: Editor, desk: Desk, session: str) -> str:
    params = {"sessionId": session, "cwd": str(desk.project), "mcpServers": []}
    answer = await editor.request("session/fork", params)
    assert option(answer, "mode")["currentValue"] == answer["modes"]["currentModeId"]
    return str(answer["sessionId"])


async def test_a_fork_has_the_conversation_so_far_and_both_go_on_by_themselves(desk_of: DeskOf) -> None:
    desk = desk_of(SAY)
    async with desk.editor() as editor:
        old = await desk.session(editor, "edit")
        await editor.prompt(old, "say one")
        new = await fork(editor, desk, old)
        await editor.prompt(old, "say two")
        assert conversation(desk) == ["say one", "say two"]
        await editor.prompt(new, "say three")
        assert conversation(desk) == ["say one", "say three"]
        newest = await fork(editor, desk, new)
        await editor.delete_session(old)
    # Another process knows it too; a fork of a fork has the whole line.
    async with desk.editor() as editor:
        answer = await editor.load_session(newest, desk.project)
        told = [text for kind, _, text in editor.transcript(newest).messages if kind == "user_message_chunk"]
        assert (told, answer["modes"]["currentModeId"]) == (["say one", "say three"], "edit")
        await editor.prompt(newest, "say four")
        assert conversation(desk) == ["say one", "say three", "say four"]
        titles = {row["sessionId"]: row["title"] for row in (await editor.list_sessions())["sessions"]}
        assert titles == {new: "say one", newest: "say one"}


async def test_a_turn_under_way_stays_with_the_old_session(desk_of: DeskOf) -> None:
    desk = desk_of(SLOW, SAY)
    async with desk.editor() as editor:
        old = await desk.session(editor)
        await editor.prompt(old, "say one")
        speaking = asyncio.create_task(editor.prompt(old, "slowly"))
        await editor.wait_for(lambda: "one" in editor.text(old))
        new = await fork(editor, desk, old)
        assert (await editor.prompt(new, "say two")).stop_reason == "end_turn"
        assert conversation(desk) == ["say one", "say two"]
        assert (await speaking).text() == "one two three"
