"""An agent that is killed while the editor writes or runs a command for it: nothing is done twice or guessed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from acp_agent.testing.consent import Consent
from acp_agent.testing.editor import started
from acp_agent.testing.editor_hands import EditorHands
from acp_agent.testing.script import Rule, Step
from tests.acceptance.acp.conftest import DeskOf
from tests.acceptance.acp.desk import COMMAND, READ, Desk, edit, shell
from tests.acceptance.acp.test_hands import FILES, OFF, TERMINAL, results
from tests.acceptance.acp.test_questions import acp

RAISE = [READ, edit("LIMIT = 20"), Step(text="Raised.")]


class HeldHands(EditorHands):
    """Never answers a write: `saves` is what stands in the file by then, None for what stood there before."""

    def __init__(self, saves: str | None) -> None:
        super().__init__()
        self.saves = saves
        self.reached = asyncio.Event()

    async def write_text_file(self, session_id: str, path: str, content: str, **_: Any) -> None:
        """Save, or do not, and say nothing."""
        if self.saves is not None:
            await asyncio.to_thread(Path(path).write_text, self.saves)
        self.reached.set()
        await asyncio.Event().wait()


@asynccontextmanager
async def killed(desk: Desk, capabilities: Any, hands: EditorHands, mode: str) -> AsyncIterator[None]:
    """A turn whose agent is killed at the end of the block."""
    async with started(COMMAND, desk.environment, desk.root, Consent(then="once"), hands) as editor:
        await editor.initialize(capabilities)
        session = await desk.session(editor, mode)
        turning = asyncio.create_task(editor.prompt(session, "raise the limit"))
        yield
        editor.kill()
        await editor.exited()
        await asyncio.wait([turning])
        assert turning.exception() is not None


def run_of(desk: Desk) -> str:
    (run,) = {event.stream_id for event in desk.facts()}
    return run


@pytest.mark.parametrize(
    ("saves", "said", "stands"),
    [
        (None, "Edit limits.py: 1 edit", "LIMIT = 20\n"),
        ("LIMIT = 20\n", "already applied before an interruption", "LIMIT = 20\n"),
        ("LIMIT = 30\n", "other content than before or after it", "LIMIT = 30\n"),
    ],
)
async def test_a_write_of_the_editor_is_told_by_what_stands_in_the_file(
    saves: str | None, said: str, stands: str, desk_of: DeskOf
) -> None:
    desk = desk_of(Rule(turns=RAISE))
    hands = HeldHands(saves)
    async with killed(desk, FILES, hands, "edit"):
        await hands.reached.wait()
    gone_on = await asyncio.to_thread(acp, desk, "resume", run_of(desk))
    assert gone_on.returncode == 0, gone_on.stdout + gone_on.stderr
    written = results(desk)[-1]
    assert said in written["output"]
    assert (desk.read(), desk.reasons()) == (stands, ["end_turn"])


async def test_a_command_in_the_editors_terminal_waits_for_whoever_knows_how_it_ended(desk_of: DeskOf) -> None:
    ran = "echo ran >> ran.txt; exec sleep 300"
    desk = desk_of(Rule(turns=[shell(ran), Step(text="Ran.")]), config=OFF)
    hands = EditorHands()
    async with killed(desk, TERMINAL, hands, "auto"):
        await hands.until("wait")
    (process,) = hands.open.values()
    process.kill()
    run = run_of(desk)
    gone_on = await asyncio.to_thread(acp, desk, "resume", run)
    assert gone_on.returncode == 4, gone_on.stdout + gone_on.stderr
    assert desk.reasons() == []
    told = await asyncio.to_thread(acp, desk, "approve", run, "--done")
    assert told.returncode == 0, told.stdout + told.stderr
    assert (desk.read("ran.txt"), desk.reasons()) == ("ran\n", ["end_turn"])
