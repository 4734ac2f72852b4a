"""The editor double against small agents of this file: one in this process, one as a program of its own."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from acp_agent.testing.consent import Consent
from acp_agent.testing.editor import AgentGone, Editor, Turn, in_process, started
from acp_agent.testing.tap import RawError

Message = dict[str, Any]


class SmallAgent:
    """Answers by rote; what it says to a prompt is in the prompt: each line of it is one message to send first."""

    def __init__(self, reads: int, writes: int) -> None:
        self._input = os.fdopen(reads, "rb")
        self._writes = writes

    async def serve(self) -> None:
        try:
            while line := await asyncio.to_thread(self._input.readline):
                self._take(json.loads(line))
        finally:
            self._input.close()
            os.close(self._writes)

    def _take(self, message: Message) -> None:
        params = message.get("params") or {}
        match message.get("method"):
            case "initialize":
                self._answer(message, {"protocolVersion": 1, "agentCapabilities": {}, "authMethods": []})
            case "session/new":
                self._answer(message, {"sessionId": "s1"})
            case "session/prompt":
                for line in params["prompt"][0]["text"].splitlines():
                    self._say(line)
                self._answer(message, {"stopReason": "end_turn"})
            case str() as method if "id" in message:
                self._send({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": method}})
            case _:
                return

    def _answer(self, message: Message, result: Message) -> None:
        self._send({"jsonrpc": "2.0", "id": message["id"], "result": result})

    def _send(self, message: Message) -> None:
        self._say(json.dumps(message))

    def _say(self, line: str) -> None:
        os.write(self._writes, line.encode() + b"\n")


async def serve(reads: int, writes: int) -> None:
    await SmallAgent(reads, writes).serve()


@asynccontextmanager
async def at_work(consent: Consent | None = None) -> AsyncIterator[Editor]:
    async with in_process(serve, consent) as editor:
        await editor.initialize()
        await editor.new_session("/")
        yield editor


def told(**update: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s1", "update": update}})


def chunk(text: str) -> str:
    return told(sessionUpdate="agent_message_chunk", messageId="m1", content={"type": "text", "text": text})


def asked(*kinds: str) -> str:
    options = [{"optionId": f"o-{kind}", "name": kind, "kind": kind} for kind in kinds]
    params = {"sessionId": "s1", "toolCall": {"toolCallId": "t1", "title": "Edit"}, "options": options}
    return json.dumps({"jsonrpc": "2.0", "id": 7, "method": "session/request_permission", "params": params})


def outcomes(editor: Editor) -> list[Mapping[str, Any]]:
    """What the editor answered to questions."""
    answers = [line.message for line in editor.lines if line.sent and line.message.get("id") == 7]
    return [answer["result"]["outcome"] for answer in answers]


async def test_what_was_said_is_put_together_in_the_order_it_came() -> None:
    said = [
        chunk("Grü"),
        told(sessionUpdate="tool_call", toolCallId="t1", title="Edit", rawInput={}),
        told(sessionUpdate="tool_call_update", toolCallId="t1", status="in_progress", title="Edit a.py"),
        chunk("ße"),
        told(sessionUpdate="tool_call_update", toolCallId="t1", status="completed", content=[]),
        told(sessionUpdate="plan", entries=[{"content": "Read", "priority": "medium", "status": "pending"}]),
        told(sessionUpdate="usage_update", used=5, size=10),
    ]
    async with at_work() as editor:
        turn = await editor.prompt("s1", "\n".join(said))
        assert (turn.stop_reason, turn.text(), editor.text("s1")) == ("end_turn", "Grüße", "Grüße")
        assert turn.messages == [("agent_message_chunk", "m1", "Grüße")]
        (card,) = turn.tool_cards.values()
        assert (card.title, card.statuses, card.status) == ("Edit a.py", ("in_progress", "completed"), "completed")
        assert turn.plan == [{"content": "Read", "priority": "medium", "status": "pending"}]
        assert turn.usage == {"sessionUpdate": "usage_update", "used": 5, "size": 10}
        assert editor.complaints == []
        assert [line.number for line in editor.lines] == list(range(len(editor.lines)))
        assert editor.lines[-1].data == b'{"jsonrpc": "2.0", "id": 2, "result": {"stopReason": "end_turn"}}\n'


async def test_a_turn_holds_its_own_updates_only() -> None:
    async with at_work() as editor:
        assert (await editor.prompt("s1", chunk("one"))).text() == "one"
        second = await editor.prompt("s1", chunk("two"))
        assert (second.text(), editor.text()) == ("two", "onetwo")
        assert editor.transcript("s1", after=second.answered_by.number).updates == ()


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("once", {"outcome": "selected", "optionId": "o-allow_once"}),
        ("always", {"outcome": "selected", "optionId": "o-allow_always"}),
        ("reject", {"outcome": "selected", "optionId": "o-reject_once"}),
        ("cancel", {"outcome": "cancelled"}),
    ],
)
async def test_questions_are_answered_by_the_script(answer: Any, outcome: Mapping[str, str]) -> None:
    async with at_work(Consent(answer)) as editor:
        await editor.prompt("s1", asked("allow_once", "allow_always", "reject_once"))
        await editor.wait_for(lambda: bool(outcomes(editor) or editor.questions[0].held is False))
        await anyio.wait_all_tasks_blocked()
        assert outcomes(editor) == [outcome]
        assert editor.questions[0].tool_call == {"toolCallId": "t1", "title": "Edit"}


async def test_a_question_is_held_until_it_is_released_cancelled_or_taken_back() -> None:
    back = json.dumps({"jsonrpc": "2.0", "method": "$/cancel_request", "params": {"requestId": 7}})
    question = asked("allow_once", "reject_once")
    async with at_work(Consent(then="hold")) as editor:
        for number in range(3):
            await editor.prompt("s1", question)
            await editor.wait_for(lambda number=number: len(editor.questions) == number + 1)  # type: ignore[misc]
            assert (len(editor.consent.held), len(outcomes(editor))) == (1, number)
            match number:
                case 0:
                    editor.consent.release("once")
                case 1:
                    await editor.cancel("s1")
                case _:
                    await editor.prompt("s1", back)
            await anyio.wait_all_tasks_blocked()
        assert [outcome["outcome"] for outcome in outcomes(editor)] == ["selected", "cancelled", "cancelled"]
        with pytest.raises(LookupError, match="no question is held"):
            editor.consent.release()


async def test_an_answer_that_is_not_offered_is_an_error_to_the_agent(caplog: pytest.LogCaptureFixture) -> None:
    async with at_work(Consent("always")) as editor:
        await editor.prompt("s1", asked("allow_once", "reject_once"))
        await editor.wait_for(lambda: bool(editor.questions))
        await anyio.wait_all_tasks_blocked()
        (answer,) = [line.message for line in editor.lines if line.sent and line.message.get("id") == 7]
        assert "offers no allow_always" in answer["error"]["data"]["details"]


async def test_what_the_sdk_cannot_parse_is_a_complaint_and_still_on_record() -> None:
    async with at_work() as editor:
        turn = await editor.prompt("s1", "\n".join([told(sessionUpdate="brand_new"), "no json", chunk("fine")]))
        assert [complaint[:20] for complaint in editor.complaints] == ["the SDK cannot parse", "no message: b'no jso"]
        assert (turn.kinds, turn.text()) == (["brand_new", "agent_message_chunk"], "fine")
        assert b"no json\n" in [line.data for line in editor.received]


async def test_methods_without_a_route_and_lines_of_any_form_can_be_sent() -> None:
    async with at_work() as editor:
        with pytest.raises(RawError) as caught:
            await editor.delete_session("s1")
        assert (caught.value.code, caught.value.message) == (-32601, "session/delete")
        with pytest.raises(RawError):
            await editor.set_mode("s1", "ask")
        await editor.send_line(b'{"jsonrpc":"2.0","id":"mine","method":"session/new","params":{}}\n')
        await editor.wait_for(lambda: editor.received[-1].message["id"] == "mine")
        assert editor.lines[-2].sent


async def test_waiting_in_vain_says_what_came_instead() -> None:
    async with at_work() as editor:
        with pytest.raises(TimeoutError, match="s1"):
            await editor.wait_for(lambda: False, within=0.05)
        with pytest.raises(RuntimeError, match="runs in this process"):
            editor.kill()


PROGRAM = """
import json, os, sys, time
sys.stderr.write("x" * 1_000_000 + "the end")
sys.stderr.flush()
for line in sys.stdin:
    message = json.loads(line)
    if message["method"] == "session/prompt":
        if "die" in line:
            os._exit(3)
        time.sleep(3600)
    result = {"protocolVersion": 1, "agentInfo": {"name": os.environ["NAME"], "version": os.getcwd()}}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""


@asynccontextmanager
async def program(folder: Path) -> AsyncIterator[Editor]:
    async with started([sys.executable, "-c", PROGRAM], {"NAME": "small"}, folder) as editor:
        info = (await editor.initialize())["agentInfo"]
        assert info == {"name": "small", "version": str(folder)}
        yield editor


async def test_a_process_gets_its_own_environment_and_its_stderr_is_drained(tmp_path: Path) -> None:
    async with program(tmp_path) as editor:
        await editor.close_stdin()
        assert await editor.exited() == 0
    assert editor.process is not None
    assert editor.process.errors.endswith("xthe end")


@pytest.mark.parametrize(("number", "code"), [("kill", -9), ("terminate", -15)])
async def test_a_process_can_be_ended_in_the_middle_of_a_turn(tmp_path: Path, number: str, code: int) -> None:
    async with program(tmp_path) as editor:
        turning: asyncio.Task[Turn] = asyncio.create_task(editor.prompt("s1", "wait"))
        await editor.wait_for(lambda: editor.lines[-1].sent)
        getattr(editor, number)()
        assert await editor.exited() == code
        with pytest.raises(AgentGone, match="the end"):
            await turning


async def test_an_agent_that_dies_fails_what_waits_for_it(tmp_path: Path) -> None:
    async with program(tmp_path) as editor:
        asking = asyncio.create_task(editor.request("session/prompt", {"text": "die"}))
        with pytest.raises(AgentGone, match="the end"):
            await editor.wait_for(lambda: False)
        with pytest.raises(AgentGone):
            await asking
        assert await editor.exited() == 3
