"""npm `acpx` drives the agent: another author's client, in another language, from its released package."""

import os
import signal

import pytest

from acp_agent.testing.script import Rule, Step
from tests.acceptance.acp.desk import READ, edit
from tests.acceptance.npm.client import PATIENCE, Acpx, gone, messages_of, wait_until
from tests.acceptance.npm.conftest import AcpxOf

pytestmark = pytest.mark.node

RAISE = Rule(contains="raise", since="prompt", turns=[READ, edit("LIMIT = 20"), Step(text="The limit is 20.")])
REMEMBER = Rule(contains="remember", since="prompt", turns=[Step(text="I will.")])
NEXT = Rule(contains="next", since="prompt", turns=[Step(text="Going on.")])
ENDLESS = Rule(contains="speak", reply=Step(text="word " * 500, gap=0.02))


def test_one_shot_with_an_approved_edit(acpx_of: AcpxOf) -> None:
    acpx = acpx_of(RAISE)
    ended = acpx.run("exec", "raise the limit", flags=["--approve-all", "--format", "json"])
    messages = messages_of(ended.output)
    updates = [message["params"]["update"] for message in messages if message.get("method") == "session/update"]
    said = "".join(update["content"]["text"] for update in updates if update["sessionUpdate"] == "agent_message_chunk")
    assert (said, acpx.desk.read()) == ("The limit is 20.", "LIMIT = 20\n")
    assert "session/request_permission" in {message.get("method") for message in messages}
    assert messages[-1]["result"] == {"stopReason": "end_turn"}


def test_one_shot_with_a_refused_edit(acpx_of: AcpxOf) -> None:
    acpx = acpx_of(RAISE)
    with acpx.start("exec", "raise the limit", flags=["--deny-all"]) as process:
        process.close_input()
        ended = process.wait(PATIENCE)
    assert "[done] end_turn" in ended.output
    assert acpx.desk.read() == "LIMIT = 10\n"


def test_a_persistent_session_remembers_and_takes_a_mode(acpx_of: AcpxOf) -> None:
    acpx = acpx_of(REMEMBER, NEXT, RAISE)
    session = acpx.run("sessions", "new").output.split()[-1]
    assert session.startswith("s_")
    assert "I will." in acpx.run("prompt", "remember 42").output
    assert "Going on." in acpx.run("prompt", "next").output
    assert acpx.conversations()[-1] == [("user", "remember 42"), ("assistant", "I will."), ("user", "next")]

    # Reads are free, and edits go through in this mode without a question. acpx writes the file, and has to allow that.
    acpx.run("set-mode", "edit")
    assert "The limit is 20." in acpx.run("prompt", "raise the limit", flags=["--approve-all"]).output
    assert acpx.desk.read() == "LIMIT = 20\n"
    assert "approval_asked" not in {fact.type for fact in acpx.desk.facts()}
    assert "effort" in acpx.run("set", "effort", "high").output
    acpx.run("prompt", "next")
    assert acpx.desk.server.requests[-1].body["reasoning_effort"] == "high"


def test_a_cancel_from_another_terminal_ends_the_turn(acpx_of: AcpxOf) -> None:
    acpx = acpx_of(ENDLESS, NEXT)
    acpx.run("sessions", "new")
    with acpx.start("prompt", "speak") as speaking:
        speaking.close_input()
        speaking.wait_until(lambda: _spoken(acpx), what="a first word")
        assert "cancel requested" in acpx.run("cancel").output
        assert "[done] cancelled" in speaking.wait(PATIENCE).output
    assert "Going on." in acpx.run("prompt", "next").output
    assert acpx.desk.reasons() == ["end_turn", "cancelled"]


def test_a_session_is_taken_up_after_its_owner_process_died(acpx_of: AcpxOf) -> None:
    acpx = acpx_of(REMEMBER, ENDLESS, NEXT)
    acpx.run("sessions", "new")
    acpx.run("set-mode", "plan")
    acpx.run("prompt", "remember 42")
    with acpx.start("prompt", "speak") as speaking:
        speaking.close_input()
        speaking.wait_until(lambda: _spoken(acpx), what="a first word")
        owner = acpx.owner()
        os.kill(owner, signal.SIGKILL)
        speaking.wait(PATIENCE)
    wait_until(gone(owner), "the end of the owner")
    ended = acpx.run("prompt", "next", flags=["--format", "json"])
    messages = messages_of(ended.output)
    assert "session/resume" in {message.get("method") for message in messages}
    assert acpx.owner() != owner
    asked = acpx.conversations()[-1]
    assert (asked[:2], asked[-1]) == ([("user", "remember 42"), ("assistant", "I will.")], ("user", "next"))
    assert acpx.desk.reasons() == ["end_turn", "cancelled", "end_turn"]


def _spoken(acpx: Acpx) -> bool:
    return any("speak" in request.prompt for request in acpx.desk.server.requests)
