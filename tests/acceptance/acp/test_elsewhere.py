"""A turn that lost its editor goes on from a terminal: after an approval, or as it was left; the editor hears of it."""

import asyncio
from collections.abc import Callable

import pytest

from acp_agent.testing.consent import Consent
from acp_agent.testing.editor import started
from acp_agent.testing.script import Rule, Step
from tests.acceptance.acp.desk import READ, WARM, Desk, edit
from tests.acceptance.acp.test_questions import acp

DeskOf = Callable[..., Desk]
SCRIPT = Rule(turns=[READ, edit("LIMIT = 20"), Step(text="Raised.")])


async def left_waiting(desk: Desk) -> tuple[str, str]:
    """A session, and its run that asks for approval, whose agent was killed."""
    async with started(WARM, desk.environment, desk.root, Consent("hold")) as editor:
        await editor.initialize()
        session = await desk.session(editor)
        turning = asyncio.ensure_future(editor.prompt(session, "raise the limit"))
        await editor.wait_for(lambda: bool(editor.questions))
        editor.kill()
        await editor.exited()
        await asyncio.gather(turning, return_exceptions=True)
    (run,) = {event.stream_id for event in desk.facts()}
    return session, run


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "later"])
async def test_a_turn_whose_editor_is_gone_is_approved_and_goes_on(desk_of: DeskOf, at_once: bool) -> None:
    desk = desk_of(SCRIPT)
    session, run = await left_waiting(desk)
    early = await asyncio.to_thread(acp, desk, "resume", run)
    assert (early.returncode, f"acp approve {run}" in early.stderr) == (4, True), early.stderr
    if at_once:
        gone_on = await asyncio.to_thread(acp, desk, "approve", run)
    else:
        answered = await asyncio.to_thread(acp, desk, "approve", run, "--no-resume")
        assert (answered.returncode, f"acp resume {run}" in answered.stderr) == (0, True), answered.stderr
        gone_on = await asyncio.to_thread(acp, desk, "resume", run)
    assert (gone_on.returncode, "Raised." in gone_on.stdout) == (0, True), gone_on.stdout + gone_on.stderr
    assert (desk.read(), desk.reasons()) == ("LIMIT = 20\n", ["end_turn"])
    over = await asyncio.to_thread(acp, desk, "resume", run)
    assert (over.returncode, "nothing to go on with" in over.stderr) == (5, True), over.stderr
    async with desk.editor() as editor:
        await editor.load_session(session, desk.project)
        told = editor.transcript(session)
        assert [card.status for card in told.tool_cards.values()] == ["completed", "completed"]
        assert told.messages[-1][2] == "Raised."
        assert (await editor.prompt(session, "thanks")).stop_reason == "end_turn"


async def test_a_turn_that_is_held_goes_on_where_it_is_held(desk_of: DeskOf) -> None:
    desk = desk_of(SCRIPT)
    async with desk.editor("hold") as editor:
        session = await desk.session(editor)
        async with asyncio.TaskGroup() as tasks:
            turning = tasks.create_task(editor.prompt(session, "raise the limit"))
            await editor.wait_for(lambda: bool(editor.questions))
            (run,) = {event.stream_id for event in desk.facts()}
            answered = await asyncio.to_thread(acp, desk, "approve", run)
            assert (answered.returncode, "goes on with it" in answered.stderr) == (0, True), answered.stderr
        assert turning.result().text().endswith("Raised.")
    assert desk.read() == "LIMIT = 20\n"
