"""A sample of the campaign `kill_sessions`, and proof that it would see what is lost or told twice."""

from pathlib import Path
from typing import Any

import pytest

from acp_agent.testing.transcript import Transcript
from tests.campaigns.kill_sessions import Told, besiege, lost


async def test_every_fact_once_shown_is_replayed_exactly_once_after_a_kill(tmp_path: Path) -> None:
    siege = await besiege(tmp_path, seed=5, kills=2)
    assert siege.problems == []
    assert siege.facts > 40


def chunk(kind: str, name: str, text: str) -> dict[str, Any]:
    return {"sessionUpdate": kind, "messageId": name, "content": {"type": "text", "text": text}}


CALL = {"sessionUpdate": "tool_call", "toolCallId": "c1", "title": "write", "status": "completed"}
SHOWN = (chunk("user_message_chunk", "r1", "turn 1."), chunk("agent_message_chunk", "m1", "turn 1."), CALL)


@pytest.mark.parametrize(
    ("replayed", "problem"),
    [
        ((SHOWN[0], SHOWN[2]), "the message ('agent_message_chunk', 'm1') is lost"),
        ((*SHOWN[:2],), "the tool call c1 is lost"),
        ((*SHOWN, CALL), "the tool call c1 is announced 2 times"),
        ((*SHOWN[:2], {**CALL, "status": "failed"}), "the tool call c1 ended as"),
        (
            (SHOWN[0], chunk("agent_message_chunk", "m1", "other"), CALL),
            "the message ('agent_message_chunk', 'm1') was",
        ),
        ((*SHOWN[1:],), "the prompts are []"),
        ((SHOWN[0], *SHOWN), "the prompts are ['turn 1.turn 1.']"),
    ],
)
def test_a_loss_would_be_seen(replayed: tuple[dict[str, Any], ...], problem: str) -> None:
    before = Told(Transcript(SHOWN), begun=True)
    assert lost(before, before, ["turn 1."]) == []
    assert any(found.startswith(problem) for found in lost(before, Told(Transcript(replayed)), ["turn 1."]))


def test_only_a_reply_that_was_cut_off_may_be_missing() -> None:
    cut = Told(Transcript((*SHOWN, chunk("agent_message_chunk", "m2", "half"))), begun=True)
    whole = Told(Transcript(SHOWN))
    assert lost(cut, whole, ["turn 1."]) == []
