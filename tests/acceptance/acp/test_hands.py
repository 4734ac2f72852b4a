"""The editor's files and terminal: unsaved text is seen, edits land in it, commands run in view and are given back."""

import asyncio
from collections.abc import Mapping
from typing import Any

from acp_agent.testing.editor_hands import EditorHands
from acp_agent.testing.script import Rule, Step
from tests.acceptance.acp.conftest import DeskOf
from tests.acceptance.acp.desk import CONFIG, READ, Desk, edit, shell
from tests.acceptance.acp.test_questions import acp

FILES: Mapping[str, Any] = {"fs": {"readTextFile": True, "writeTextFile": True}}
READS: Mapping[str, Any] = {"fs": {"readTextFile": True, "writeTextFile": False}}
TERMINAL: Mapping[str, Any] = {"terminal": True}
OFF = CONFIG + '[sandbox]\nlevel = "off"\n'


def results(desk: Desk) -> list[Mapping[str, Any]]:
    return [event.data["result"] for event in desk.facts() if event.type == "tool_finished"]


async def test_what_is_not_saved_is_seen_and_an_edit_lands_in_it(desk_of: DeskOf) -> None:
    desk = desk_of(Rule(turns=[READ, edit("LIMIT = 20", old="LIMIT = 15"), Step(text="Raised.")]))
    path, hands = str(desk.project / "limits.py"), EditorHands()
    hands.buffers[path] = "# typed\nLIMIT = 15\n"
    async with desk.editor(capabilities=FILES, hands=hands) as editor:
        session = await desk.session(editor, "edit")
        turn = await editor.prompt(session, "raise the limit")
        assert turn.text() == "Raised."
        (diff,) = list(turn.tool_cards.values())[1].diffs
        assert (diff["oldText"], diff["newText"]) == ("# typed\nLIMIT = 15\n", "# typed\nLIMIT = 20\n")
    assert desk.read() == "# typed\nLIMIT = 20\n"
    assert hands.buffers == {}
    assert ("write", path) in hands.calls
    (run,) = {event.stream_id for event in desk.facts()}
    undone = await asyncio.to_thread(acp, desk, "undo", run)
    assert (undone.returncode, desk.read()) == (0, "# typed\nLIMIT = 15\n"), undone.stderr


async def test_what_a_person_types_after_a_read_is_not_written_over(desk_of: DeskOf) -> None:
    later = [edit("LIMIT = 40", old="LIMIT = 20"), Step(text="It changed.")]
    desk = desk_of(Rule(turns=[READ, edit("LIMIT = 20"), Step(text="Raised."), *later]))
    path, hands = str(desk.project / "limits.py"), EditorHands()
    async with desk.editor(capabilities=FILES, hands=hands) as editor:
        session = await desk.session(editor, "edit")
        assert (await editor.prompt(session, "raise the limit")).text() == "Raised."
        hands.buffers[path] = "LIMIT = 20\n# typed\n"
        turn = await editor.prompt(session, "raise it more")
        assert [card.status for card in turn.tool_cards.values()] == ["failed"]
        assert turn.text() == "It changed."
    assert hands.buffers == {path: "LIMIT = 20\n# typed\n"}


async def test_an_editor_that_formats_is_told_to_the_model_and_one_that_refuses_is_not_overruled(
    desk_of: DeskOf,
) -> None:
    write = Step(tools=[("write_file", {"path": "new.txt", "content": "a  \nb\n"})])
    refused = edit("LIMIT = 20")
    desk = desk_of(Rule(turns=[write, READ, refused, Step(text="Done.")]))
    hands = EditorHands(formats=True, refuses=frozenset({str(desk.project / "limits.py")}))
    async with desk.editor(capabilities=FILES, hands=hands) as editor:
        turn = await editor.prompt(await desk.session(editor, "edit"), "write")
        assert turn.text() == "Done."
    made, _, left = results(desk)
    assert "The editor changed new.txt as it wrote" in made["output"]
    assert (left["kind"], desk.read()) == ("editor", "LIMIT = 10\n")
    assert desk.read("new.txt") == "a\nb\n"


async def test_a_method_that_is_not_advertised_is_never_called(desk_of: DeskOf) -> None:
    desk = desk_of(Rule(turns=[READ, edit("LIMIT = 20"), shell("echo ran"), Step(text="Raised.")]), config=OFF)
    hands = EditorHands()
    async with desk.editor(capabilities=READS, hands=hands, then="once") as editor:
        turn = await editor.prompt(await desk.session(editor), "raise the limit")
        assert turn.text() == "Raised."
    assert {name for name, _ in hands.calls} == {"read"}
    assert desk.read() == "LIMIT = 20\n"
    assert results(desk)[-1]["sandbox"] == "none"


async def test_a_command_runs_in_the_terminal_after_a_person_allowed_it_and_says_so(desk_of: DeskOf) -> None:
    script = [shell("echo $ACP_CALL_KEY | wc -c; pwd; exit 3"), shell("kill -TERM $$"), Step(text="Ran.")]
    desk = desk_of(Rule(turns=script), config=OFF)
    hands = EditorHands()
    async with desk.editor(capabilities=TERMINAL, hands=hands, then="once") as editor:
        # Even where everything else is allowed a person is asked: nothing confines it.
        session = await desk.session(editor, "auto")
        turn = await editor.prompt(session, "run it")
        assert turn.text() == "Ran."
        assert len(editor.questions) == 2
        why = editor.questions[0].tool_call["content"][0]["content"]["text"]
        assert why.startswith("it runs in your editor's terminal, without a sandbox")
        shown = [
            item["terminalId"]
            for update in turn.of("tool_call_update")
            for item in update.get("content") or ()
            if item["type"] == "terminal"
        ]
    first, second = results(desk)
    assert (first["sandbox"], first["exit_status"], second["exit_status"]) == ("client terminal", 3, 143)
    assert first["output"] == f"exit status 3\n33\n{desk.project}\n"
    assert [name for name, _ in hands.calls] == ["create", "wait", "output", "release"] * 2
    assert shown == [terminal for name, terminal in hands.calls if name == "create"]
    assert hands.open == {}


async def test_a_cancelled_command_is_killed_and_its_terminal_given_back(desk_of: DeskOf) -> None:
    desk = desk_of(Rule(turns=[shell("echo started; exec sleep 300")]), config=OFF)
    hands = EditorHands()
    async with desk.editor(capabilities=TERMINAL, hands=hands, then="once") as editor:
        session = await desk.session(editor)
        async with asyncio.TaskGroup() as tasks:
            turning = tasks.create_task(editor.prompt(session, "run it"))
            await hands.until("wait")
            (process,) = hands.open.values()
            await editor.cancel(session)
        assert turning.result().stop_reason == "cancelled"
        await process.wait()
    assert [name for name, _ in hands.calls] == ["create", "wait", "kill", "release"]
    assert process.returncode == -9
    assert hands.open == {}


async def test_a_command_that_takes_too_long_is_killed_and_its_output_told(desk_of: DeskOf) -> None:
    slow = Step(tools=[("shell", {"command": "echo started; exec sleep 300", "timeout": 0.5})])
    desk = desk_of(Rule(turns=[slow, Step(text="Too slow.")]), config=OFF)
    hands = EditorHands()
    async with desk.editor(capabilities=TERMINAL, hands=hands, then="once") as editor:
        turn = await editor.prompt(await desk.session(editor), "run it")
        assert turn.text() == "Too slow."
    (result,) = results(desk)
    assert (result["kind"], result["exit_status"]) == ("timeout", None)
    assert [name for name, _ in hands.calls] == ["create", "wait", "kill", "output", "release"]


async def test_where_a_sandbox_holds_commands_stay_in_it(desk_of: DeskOf) -> None:
    desk = desk_of(Rule(turns=[shell("echo inside"), Step(text="Ran.")]))
    hands = EditorHands()
    async with desk.editor(capabilities={**TERMINAL, **FILES}, hands=hands) as editor:
        turn = await editor.prompt(await desk.session(editor, "auto"), "run it")
        assert turn.text() == "Ran."
        assert editor.questions == []
    (result,) = results(desk)
    assert result["sandbox"] in ("bwrap", "landlock")
    assert not any(name == "create" for name, _ in hands.calls)
