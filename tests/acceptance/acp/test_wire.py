"""What goes over the pipes whatever happens: nothing but the protocol, and an end in time with the record finished."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from acp_agent.app import open_app
from acp_agent.surfaces.acp.agent import Agent
from acp_agent.surfaces.acp.connection import Connection
from acp_agent.surfaces.acp.descriptors import DescriptorTransport
from acp_agent.testing.conformance import complaints
from acp_agent.testing.consent import Consent
from acp_agent.testing.editor import Editor, in_process, started
from acp_agent.testing.script import Rule, Step
from acp_agent.testing.tap import RawError
from tests.acceptance.acp.conftest import DeskOf
from tests.acceptance.acp.desk import COMMAND, READ, SCHEMA, Desk, edit, settle, shell

SPEAK = Rule(contains="speak", reply=Step(text="word " * 200, gap=0.02, chunk=5))
NEXT = Rule(contains="next", since="prompt", turns=[Step(text="Going on.")])
NOISE = 'for i in $(seq 5000); do echo \'{"jsonrpc":"2.0"} noise\'; echo more noise >&2; done'
CRASH = "kill -SEGV $$"
EVERYWHERE = "echo to the terminal > /dev/tty; echo to parent > /proc/$PPID/fd/1; echo to one > /proc/1/fd/1; exit 3"
FORCED = "the process ends without it"
"""What an agent says that did not end by itself in the seconds it has for that."""


@pytest.mark.bwrap
@pytest.mark.parametrize("model", ["openai/test-model", "deepseek/test-model"], ids=["lean", "litellm"])
async def test_stdout_is_the_protocol_and_nothing_else_over_a_whole_session(desk_of: DeskOf, model: str) -> None:
    """First use of the database, an import of litellm, crashing tools, subprocesses that write wherever they can."""
    wrong = Step(tools=[("read_file", "{broken"), ("no_such_tool", {})])
    calls = [shell(NOISE), shell(CRASH), shell(EVERYWHERE), wrong]
    desk = desk_of(Rule(contains="noise", turns=[*calls, READ, edit("LIMIT = 20"), Step(text="Quiet again.")]))
    # A provider without a base URL of ours is litellm's; where it answers, litellm reads itself.
    environment = {"ACP_MODEL": model, "DEEPSEEK_API_KEY": "sk-none", "DEEPSEEK_API_BASE": desk.server.url}
    assert not (desk.root / "state").exists()
    async with desk.editor(then="once", environment=environment) as editor:
        session = await desk.session(editor)
        turn = await editor.prompt(session, "noise")
        assert (turn.stop_reason, turn.text(), desk.read()) == ("end_turn", "Quiet again.", "LIMIT = 20\n")
        cards = list(turn.tool_cards.values())
        assert [card.status for card in cards] == ["completed", *["failed"] * 4, "completed", "completed"]
        assert "exit status 139" in cards[1].text
        await editor.load_session(session, desk.project)
        await editor.list_sessions()
        await editor.delete_session(session)
        assert all(json.loads(line.data)["jsonrpc"] == "2.0" for line in editor.received)
    used = {request.headers.get("authorization") for request in desk.server.requests}
    assert used == {"Bearer sk-none" if model.startswith("deepseek") else "Bearer sk-not-a-real-key"}


async def end(editor: Editor, how: str) -> None:
    """End the agent. It must do so by itself and in time, with exit code 0 or the signal's."""
    if how == "sigterm":
        editor.terminate()
    else:
        await editor.close_stdin()
    code = await editor.exited(within=60)
    assert code in (0, 143, -signal.SIGTERM) if how == "sigterm" else code == 0
    assert editor.process is not None
    assert FORCED not in editor.process.errors


ENDS = pytest.mark.parametrize("how", ["sigterm", "end of stdin"])


@ENDS
async def test_an_idle_agent_ends_in_time(desk_of: DeskOf, how: str) -> None:
    desk = desk_of(NEXT)
    async with desk.editor() as editor:
        session = await desk.session(editor)
        await editor.prompt(session, "next")
        await end(editor, how)
    assert desk.reasons() == ["end_turn"]


@ENDS
async def test_an_agent_in_a_turn_ends_in_time_and_its_session_can_be_taken_up(desk_of: DeskOf, how: str) -> None:
    desk = desk_of(SPEAK, NEXT)
    async with desk.editor() as editor:
        session = await desk.session(editor)
        turning = _asked(editor, session, "speak")
        await editor.wait_for(lambda: "word" in editor.text(session))
        await end(editor, how)
        await asyncio.wait([turning])
        turning.exception()
    assert _open_calls(desk) == []
    await _taken_up(desk, session)


@ENDS
async def test_an_agent_that_asks_a_person_ends_in_time_and_changes_nothing(desk_of: DeskOf, how: str) -> None:
    desk = desk_of(Rule(contains="raise", turns=[READ, edit("LIMIT = 20"), Step(text="Raised.")]), NEXT)
    async with desk.editor("hold") as editor:
        session = await desk.session(editor)
        turning = _asked(editor, session, "raise the limit")
        await editor.wait_for(lambda: bool(editor.questions))
        await end(editor, how)
        editor.consent.cancel(session)
        await asyncio.wait([turning])
        turning.exception()
    assert desk.read() == "LIMIT = 10\n"
    assert _open_calls(desk) == []
    await _taken_up(desk, session)


@pytest.mark.bwrap
@ENDS
async def test_an_agent_that_runs_a_command_ends_in_time_with_the_command(desk_of: DeskOf, how: str) -> None:
    command = shell("trap '' TERM; echo started > started; sleep 600; echo survived > survived")
    desk = desk_of(Rule(contains="wait", turns=[command, Step(text="No.")]), NEXT)
    async with desk.editor("once") as editor:
        session = await desk.session(editor)
        turning = _asked(editor, session, "wait")
        while not (desk.project / "started").exists():
            await asyncio.sleep(0.01)
        await end(editor, how)
        await asyncio.wait([turning])
        turning.exception()
        assert _at_work(desk.project) == []
    assert _open_calls(desk) == []
    await _taken_up(desk, session)


async def test_end_of_stdin_before_initialize_is_a_quiet_end(desk_of: DeskOf) -> None:
    desk = desk_of()
    async with started(COMMAND, desk.environment) as editor:
        await editor.close_stdin()
        assert await editor.exited() == 0
        assert (editor.received, editor.process and editor.process.errors) == ([], "")


async def test_an_agent_between_two_files_does_its_work_and_ends(desk_of: DeskOf) -> None:
    """As cron and systemd start programs: input and output are files, not pipes."""
    desk = desk_of(NEXT)
    asked = [
        {"id": 0, "method": "initialize", "params": {"protocolVersion": 1}},
        {"id": 1, "method": "session/new", "params": {"cwd": str(desk.project), "mcpServers": []}},
        {"id": 2, "method": "session/list", "params": {}},
    ]
    source, target = desk.root / "asked", desk.root / "answered"
    source.write_text("".join(json.dumps({"jsonrpc": "2.0", **message}) + "\n" for message in asked), "utf-8")
    with source.open("rb") as stdin, target.open("wb") as stdout:
        process = await asyncio.create_subprocess_exec(*COMMAND, env=desk.environment, stdin=stdin, stdout=stdout)
        assert await asyncio.wait_for(process.wait(), 60) == 0
    answers = [json.loads(line) for line in target.read_text("utf-8").splitlines()]
    assert sorted(answer["id"] for answer in answers if "result" in answer) == [0, 1, 2]


async def test_an_agent_whose_reader_is_gone_ends_and_keeps_its_record(desk_of: DeskOf) -> None:
    desk = desk_of(SPEAK, NEXT)
    async with desk.editor() as editor:
        session = await desk.session(editor)
    mine, agents = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *COMMAND, env=desk.environment, stdin=asyncio.subprocess.PIPE, stdout=agents
    )
    os.close(agents)
    assert process.stdin
    prompt = {"sessionId": session, "prompt": [{"type": "text", "text": "speak"}]}
    for number, (method, params) in enumerate([("initialize", {"protocolVersion": 1}), ("session/prompt", prompt)]):
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        process.stdin.write(json.dumps(message).encode() + b"\n")
    with os.fdopen(mine, "rb") as output:
        while b"agent_message_chunk" not in await asyncio.to_thread(output.readline):
            continue
    assert await asyncio.wait_for(process.wait(), 60) in (0, 1)
    process.stdin.close()
    assert _open_calls(desk) == []
    await _taken_up(desk, session)


async def test_the_same_agent_can_be_served_inside_a_process(desk_of: DeskOf) -> None:
    desk = desk_of(Rule(contains="raise", turns=[READ, edit("LIMIT = 20"), Step(text="Raised.")]))

    async def serve(reads: int, writes: int) -> None:
        transport = DescriptorTransport(reads, writes)
        try:
            async with open_app(desk.environment, desk.root) as app:
                await Connection(transport, Agent(app).methods()).serve()
        finally:
            transport.close()

    async with in_process(serve, Consent("once")) as editor:
        await editor.initialize()
        turn = await editor.prompt(await desk.session(editor), "raise the limit")
        assert (turn.stop_reason, turn.text(), desk.read()) == ("end_turn", "Raised.", "LIMIT = 20\n")
        lines = list(editor.lines)
    assert editor.complaints + complaints(lines, SCHEMA) == []


async def test_malformed_lines_are_answered_and_harm_nothing(desk_of: DeskOf) -> None:
    desk = desk_of(SPEAK, NEXT)
    async with desk.editor() as editor:
        session = await desk.session(editor)
        speaking = asyncio.create_task(editor.prompt(session, "speak"))
        await editor.wait_for(lambda: "word" in editor.text(session))
        first = len(editor.lines)
        for line in (b"not json", b"[]", b"\xff\xfe", b'"text"', b"", b'{"jsonrpc":"2.0","id":1}', b"[" * 9000):
            await editor.send_line(line + b"\n")
        await editor.wait_for(lambda: len(_errors(editor, first)) >= 6)
        codes = [message["error"]["code"] for message in _errors(editor, first)]
        assert codes == [-32700, -32600, -32700, -32600, -32600, -32600]
        await editor.cancel(session)
        assert (await speaking).stop_reason == "cancelled"
        assert (await editor.prompt(session, "next")).text() == "Going on."


async def test_a_prompt_of_eight_megabytes_is_taken(desk_of: DeskOf) -> None:
    desk = desk_of(Rule(contains="long", reply=Step(text="Read.")))
    async with desk.editor() as editor:
        turn = await editor.prompt(await desk.session(editor), "long " + "x" * 8 * 1024 * 1024)
        assert turn.text() == "Read."
    assert len(desk.server.requests[-1].prompt) > 8 * 1024 * 1024


@pytest.mark.bwrap
async def test_no_line_is_longer_than_clients_read(desk_of: DeskOf) -> None:
    big = "y" * (12 * 1024 * 1024)
    write = Step(tools=[("write_file", {"path": "big.txt", "content": big})], chunk=1024 * 1024)
    desk = desk_of(Rule(contains="big", turns=[write, Step(text="Big.")]))
    async with desk.editor(then="once") as editor:
        session = await desk.session(editor)
        turn = await editor.prompt(session, "big")
        assert (turn.stop_reason, turn.text()) == ("end_turn", "Big.")
        await editor.load_session(session, desk.project)
        await settle(editor)
        assert max(len(line.data) for line in editor.received) < 8 * 1024 * 1024


async def test_a_wrong_configuration_is_told_to_the_person_in_the_editor(desk_of: DeskOf) -> None:
    desk = desk_of(config="[models.main]\nchain = 3\n")
    async with desk.editor() as editor:
        with pytest.raises(RawError) as caught:
            await editor.request("session/new", {"cwd": str(desk.project), "mcpServers": []})
        assert "config.toml" in caught.value.message


def _asked(editor: Editor, session: str, text: str) -> asyncio.Task[object]:
    params = {"sessionId": session, "prompt": [{"type": "text", "text": text}]}
    return asyncio.create_task(editor.request("session/prompt", params))


def _errors(editor: Editor, first: int) -> list[dict[str, dict[str, int]]]:
    return [line.message for line in editor.lines[first:] if not line.sent and "error" in line.message]


def _open_calls(desk: Desk) -> list[str]:
    """Intents on record that have no result."""
    closing = ("tool_finished", "tool_refused", "model_replied", "model_failed")
    facts = desk.facts()
    closed = {event.data["call_id"] for event in facts if event.type in closing}
    started = [event for event in facts if event.type in ("tool_started", "model_called")]
    return [event.type for event in started if event.data["call_id"] not in closed]


def _at_work(place: Path) -> list[str]:
    """Processes that stand in `place`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if (entry / "cwd").readlink().is_relative_to(place):
                    found.append((entry / "cmdline").read_text("utf-8"))
            except OSError:
                continue  # it ended meanwhile
    return found


async def _taken_up(desk: Desk, session: str) -> None:
    """Another agent loads the session and goes on."""
    async with desk.editor() as editor:
        await editor.load_session(session, desk.project)
        turn = await editor.prompt(session, "next")
        assert (turn.stop_reason, turn.text()) == ("end_turn", "Going on.")
