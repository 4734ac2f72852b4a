"""Samples of the campaigns `http_siege` and `http_cuts`, and what their checks would notice."""

from pathlib import Path

import pytest

from acp_agent.testing.transcript import Transcript
from tests.campaigns.http_cuts import Owed, cut_off
from tests.campaigns.http_siege import besiege
from tests.campaigns.kill_sessions import Told, answer_of, twice


async def test_a_client_works_while_three_hundred_stall(tmp_path: Path) -> None:
    siege = await besiege(tmp_path, seed=1, stalled=300, requests=60, to_the_end=False)
    assert (siege.problems, len(siege.latencies)) == ([], 60)
    # Of those without a token no more than there is room for are still there.
    assert sum(siege.ended.values()) > 50


async def test_what_is_cut_off_is_told_again_and_nothing_is_lost(tmp_path: Path) -> None:
    done = await cut_off(tmp_path, seed=5, cuts=12)
    assert done.problems == []
    assert done.places["during the turn"] > 0


def message(name: str, text: str, kind: str = "agent_message_chunk") -> dict[str, object]:
    return {"sessionUpdate": kind, "messageId": name, "content": {"type": "text", "text": text}}


PROMPT = message("u1", "turn 1.0.", "user_message_chunk")
THOUGHT = message("m1", "turn 1.0. thinks", "agent_thought_chunk")
ANSWER = message("m2", answer_of("turn 1.0."))
CALL = {"sessionUpdate": "tool_call", "toolCallId": "c1", "title": "Write", "status": "completed"}
WHOLE = [PROMPT, THOUGHT, CALL, ANSWER]


@pytest.mark.parametrize(
    ("replayed", "broken"),
    [
        (WHOLE, False),
        (WHOLE[1:], True),
        ([PROMPT, CALL, ANSWER], True),
        ([PROMPT, THOUGHT, ANSWER], True),
        ([PROMPT, THOUGHT, CALL], True),
        ([PROMPT, THOUGHT, THOUGHT, CALL, ANSWER], True),
        ([PROMPT, THOUGHT, CALL, THOUGHT, ANSWER], True),
        ([PROMPT, THOUGHT, CALL, CALL, ANSWER], True),
        ([PROMPT, THOUGHT, {**CALL, "status": "failed"}, ANSWER], True),
        ([PROMPT, THOUGHT, CALL, message("m2", answer_of("turn 1.0.")[:-1])], True),
        ([*WHOLE, PROMPT], True),
    ],
)
def test_what_is_lost_or_told_twice_is_noticed(replayed: list[dict[str, object]], broken: bool) -> None:
    owed = Owed()
    owed.asked, owed.heard = ["turn 1.0."], ["turn 1.0."]
    owed.add(Transcript(WHOLE[1:]))
    now = Transcript(replayed)
    found = owed.look(now) + owed.not_paid(now) + twice(Told(now))
    assert bool(found) == broken, found


@pytest.mark.parametrize(
    ("text", "is_said"), [("tu", True), ("turn 1.", True), ("turn 1.0.:", True), ("turn 1.0.x", False)]
)
def test_words_that_nobody_said_are_noticed(text: str, is_said: bool) -> None:
    assert (twice(Told(Transcript([message("m1", text)]))) == []) == is_said
