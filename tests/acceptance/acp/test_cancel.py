"""A cancelled turn: answered as cancelled, silent afterwards, nothing half done, and the session goes on."""

import asyncio

import pytest

from acp_agent.testing.editor import Editor, Turn
from acp_agent.testing.killer import leftovers
from acp_agent.testing.script import Rule, Step
from acp_agent.testing.tap import RawError
from tests.acceptance.acp.conftest import DeskOf
from tests.acceptance.acp.desk import READ, Desk, edit, settle, shell

ENDLESS = Step(text="word " * 200, gap=0.02, chunk=5)
AFTERWARDS = Rule(contains="afterwards", since="prompt", turns=[Step(text="Here I am.")])


async def cancelled(editor: Editor, session: str, turning: asyncio.Task[Turn]) -> Turn:
    """Cancel the turn; its answer, after the agent had the occasion to say more."""
    await editor.cancel(session)
    turn = await turning
    assert turn.result == {"stopReason": "cancelled"}
    await settle(editor)
    return turn


async def assert_silent_and_alive(desk: Desk, editor: Editor, session: str, turn: Turn) -> None:
    assert editor.transcript(session, after=turn.answered_by.number).kinds == []
    again = await editor.prompt(session, "afterwards")
    assert (again.stop_reason, again.text()) == ("end_turn", "Here I am.")


async def test_a_cancel_while_the_model_speaks_is_the_last_word(desk_of: DeskOf) -> None:
    desk = desk_of(AFTERWARDS, Rule(contains="speak", reply=ENDLESS))
    async with desk.editor() as editor:
        session = await desk.session(editor)
        turning = asyncio.create_task(editor.prompt(session, "speak"))
        await editor.wait_for(lambda: "word" in editor.text(session))
        turn = await cancelled(editor, session, turning)
        # The model was let go, not only ignored.
        await asyncio.to_thread(desk.server.wait_for_hang_ups, 1)
        await assert_silent_and_alive(desk, editor, session, turn)
    assert desk.reasons() == ["end_turn", "cancelled"]


async def test_a_cancel_before_the_first_word_works_too(desk_of: DeskOf) -> None:
    desk = desk_of(AFTERWARDS, Rule(contains="think", reply=Step(text="Late.", delay=30)))
    async with desk.editor() as editor:
        session = await desk.session(editor)
        turning = asyncio.create_task(editor.prompt(session, "think"))
        await desk.server.requests_arrived(1)
        turn = await cancelled(editor, session, turning)
        await assert_silent_and_alive(desk, editor, session, turn)


async def test_a_cancel_right_behind_the_prompt_is_not_lost(desk_of: DeskOf) -> None:
    desk = desk_of(AFTERWARDS, Rule(contains="speak", reply=ENDLESS))
    async with desk.editor() as editor:
        session = await desk.session(editor)
        turning = asyncio.create_task(editor.prompt(session, "speak"))
        await editor.wait_for(lambda: any(line.sent and b"session/prompt" in line.data for line in editor.lines))
        turn = await cancelled(editor, session, turning)
        await assert_silent_and_alive(desk, editor, session, turn)


async def test_a_cancel_while_a_person_is_asked_leaves_the_file_alone(desk_of: DeskOf) -> None:
    desk = desk_of(AFTERWARDS, Rule(contains="raise", turns=[READ, edit("LIMIT = 20"), Step(text="Raised.")]))
    async with desk.editor("hold") as editor:
        session = await desk.session(editor)
        turning = asyncio.create_task(editor.prompt(session, "raise the limit"))
        await editor.wait_for(lambda: bool(editor.questions))
        turn = await cancelled(editor, session, turning)
        assert [card.status for card in turn.tool_cards.values()] == ["completed", "failed"]
        assert desk.read() == "LIMIT = 10\n"
        await assert_silent_and_alive(desk, editor, session, turn)
        assert len(desk.server.requests) == 3


@pytest.mark.bwrap
async def test_a_cancel_while_a_command_runs_ends_the_command(desk_of: DeskOf) -> None:
    desk = desk_of(
        AFTERWARDS, Rule(contains="wait", turns=[shell("echo started > started; sleep 600"), Step(text="No.")])
    )
    async with desk.editor("once") as editor:
        session = await desk.session(editor)
        turning = asyncio.create_task(editor.prompt(session, "wait for it"))
        while not (desk.project / "started").exists():
            await asyncio.sleep(0.01)
        turn = await cancelled(editor, session, turning)
        (card,) = turn.tool_cards.values()
        assert (card.status, card.statuses[:2]) == ("failed", ("pending", "in_progress"))
        assert editor.process is not None
        left = [process for process in leftovers(editor.process.marker) if process.pid != editor.process.process.pid]
        assert left == []
        await assert_silent_and_alive(desk, editor, session, turn)


async def test_a_request_can_be_cancelled_by_its_id(desk_of: DeskOf) -> None:
    desk = desk_of(AFTERWARDS, Rule(contains="speak", reply=ENDLESS))
    async with desk.editor() as editor:
        session = await desk.session(editor)
        params = {"sessionId": session, "prompt": [{"type": "text", "text": "speak"}]}
        asking = asyncio.create_task(editor.request("session/prompt", params))
        await editor.wait_for(lambda: "word" in editor.text(session))
        await editor.send_line(b'{"jsonrpc":"2.0","method":"$/cancel_request","params":{"requestId":"raw-1"}}\n')
        try:
            assert await asking == {"stopReason": "cancelled"}
        except RawError as error:
            assert error.code == -32800
        last = editor.lines[-1].number
        await settle(editor)
        assert editor.transcript(session, after=last).kinds == []


async def test_closing_a_session_ends_its_turn_as_cancelled(desk_of: DeskOf) -> None:
    desk = desk_of(AFTERWARDS, Rule(contains="speak", reply=ENDLESS))
    async with desk.editor() as editor:
        session = await desk.session(editor)
        turning = asyncio.create_task(editor.prompt(session, "speak"))
        await editor.wait_for(lambda: "word" in editor.text(session))
        await editor.close_session(session)
        turn = await turning
        assert turn.stop_reason == "cancelled"
        await settle(editor)
        assert editor.transcript(session, after=turn.answered_by.number).kinds == []
        # It is stored, not gone.
        await editor.load_session(session, desk.project)
