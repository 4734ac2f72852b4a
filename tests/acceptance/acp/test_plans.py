"""Plans that wait for a person: approved, changed as text, rejected, after a kill; and what they hold for then."""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acp_agent.testing.consent import Consent
from acp_agent.testing.editor import started
from acp_agent.testing.script import Rule, Step
from tests.acceptance.acp.conftest import DeskOf
from tests.acceptance.acp.desk import READ, WARM, Desk, edit
from tests.acceptance.acp.test_questions import FORMS, acp

STEPS = [{"text": "Change LIMIT", "files": ["limits.py"], "acceptance": "it is 20"}, {"text": "Tell people"}]
PROPOSE = Step(tools=[("propose_plan", {"goal": "Raise the limit", "steps": STEPS})])
TEXT = "# Raise the limit\n\n1. Change LIMIT\n   files: limits.py\n   acceptance: it is 20\n2. Tell people\n"
PENDING = [{"content": step["text"], "priority": "medium", "status": "pending"} for step in STEPS]
TOLD = "A person approved this plan. Keep to it"


def systems(desk: Desk) -> list[str]:
    return [str(request.body["messages"][0]["content"]) for request in desk.server.requests]


def kinds(desk: Desk) -> list[str]:
    return [event.type for event in desk.facts() if event.type.startswith(("plan", "approval", "run_"))]


async def test_an_approved_plan_is_carried_out_in_the_same_turn_and_stays_in_every_context(desk_of: DeskOf) -> None:
    progress = Step(
        tools=[("plan", {"steps": [{"text": "Change LIMIT", "status": "completed"}, {"text": "Tell people"}]})]
    )
    desk = desk_of(Rule(turns=[READ, PROPOSE, edit("LIMIT = 20"), progress, Step(text="Raised."), Step(text="Later.")]))
    async with desk.editor("always") as editor:
        session = await desk.session(editor, "plan")
        turn = await editor.prompt(session, "raise the limit")
        assert (turn.stop_reason, turn.text(), desk.read()) == ("end_turn", "Raised.", "LIMIT = 20\n")
        (question,) = editor.questions
        assert question.tool_call["content"][0]["content"]["text"] == TEXT
        assert question.kinds == ["allow_once", "allow_always", "reject_once"]
        assert turn.of("plan")[0]["entries"] == PENDING
        assert turn.of("plan")[-1]["entries"][0]["status"] == "completed"
        assert [update["currentModeId"] for update in turn.of("current_mode_update")] == ["edit"]
        assert turn.of("config_option_update")[-1]["configOptions"][0]["currentValue"] == "edit"
        assert (await editor.prompt(session, "go on")).text() == "Later."
    # The newest run comes first.
    assert kinds(desk)[2:7] == ["run_started", "plan_proposed", "approval_asked", "approval_given", "plan_approved"]
    first, *_, last = systems(desk)
    assert "call propose_plan" in first
    assert TOLD in last
    assert TEXT in last


async def test_a_plan_is_changed_in_a_form_and_what_is_no_plan_is_asked_about_again(desk_of: DeskOf) -> None:
    desk = desk_of(Rule(turns=[PROPOSE, Step(text="Done.")]))
    mine = "# Raise it\n1. Only this\n"
    forms = [{"decision": "ask", "plan": "nonsense"}, {"decision": "ask", "plan": mine}]
    async with desk.editor(capabilities=FORMS, forms=forms) as editor:
        turn = await editor.prompt(await desk.session(editor, "plan"), "raise the limit")
        assert turn.text() == "Done."
        assert editor.consent.forms[0]["requestedSchema"]["properties"]["plan"]["default"] == TEXT
        assert editor.consent.forms[1]["message"].startswith("This is no plan: line 1")
        assert [entry["content"] for entry in turn.of("plan")[-1]["entries"]] == ["Only this"]
    assert "1. Only this" in systems(desk)[-1]
    assert "plan_edited" in kinds(desk)


async def test_a_rejected_plan_is_revised_with_what_the_person_said(desk_of: DeskOf) -> None:
    desk = desk_of(Rule(turns=[PROPOSE, edit("LIMIT = 20"), Step(text="As you like.")]))
    async with desk.editor(capabilities=FORMS, forms=[{"decision": "reject", "note": "not so high"}]) as editor:
        turn = await editor.prompt(await desk.session(editor, "plan"), "raise the limit")
        assert turn.text() == "As you like."
    assert "They say: not so high" in json.dumps(desk.server.requests[1].body["messages"])
    refused = [event.data["result"]["output"] for event in desk.facts() if event.type == "tool_refused"]
    assert refused[-1] == "edit_file is not allowed in mode plan."
    assert desk.read() == "LIMIT = 10\n"


async def test_a_plan_outlives_a_kill_and_the_next_prompt_is_what_is_said_about_it(desk_of: DeskOf) -> None:
    desk = desk_of(Rule(turns=[PROPOSE, PROPOSE, Step(text="Done.")]))
    async with started(WARM, desk.environment, desk.root, Consent("hold")) as editor:
        await editor.initialize()
        session = await desk.session(editor, "plan")
        turning = asyncio.ensure_future(editor.prompt(session, "raise the limit"))
        await editor.wait_for(lambda: bool(editor.questions))
        editor.kill()
        await editor.exited()
        await asyncio.gather(turning, return_exceptions=True)
    (run,) = {event.stream_id for event in desk.facts()}
    assert (await asyncio.to_thread(acp, desk, "show", run, "--plan")).stdout == TEXT
    async with desk.editor("once") as editor:
        await editor.load_session(session, desk.project)
        # What is said about a plan that waits is no approval: it is planned again, and asked about again.
        async with asyncio.TaskGroup() as tasks:
            again = tasks.create_task(editor.prompt(session, "tell people first"))
        assert again.result().text() == "Done."
        assert len(editor.questions) == 1
    assert "They say: tell people first" in json.dumps(desk.server.requests[1].body["messages"])
    async with desk.editor() as editor:
        await editor.load_session(session, desk.project)
        said = [text for kind, _, text in editor.transcript(session).messages if kind == "user_message_chunk"]
        assert said == ["raise the limit", "tell people first"]


async def test_a_plan_edited_in_a_terminal_is_asked_about_as_it_is_then(desk_of: DeskOf, tmp_path: Path) -> None:
    desk = desk_of(Rule(turns=[PROPOSE, Step(text="Done.")]))
    script = tmp_path / "editor.py"
    script.write_text("import sys\nopen(sys.argv[1], 'w').write('# Raise it\\n1. Only this\\n')\n")
    async with desk.editor("hold", "once") as editor:
        session = await desk.session(editor, "plan")
        async with asyncio.TaskGroup() as tasks:
            turning = tasks.create_task(editor.prompt(session, "raise the limit"))
            await editor.wait_for(lambda: bool(editor.questions))
            (run,) = {event.stream_id for event in desk.facts()}
            edited = await asyncio.to_thread(
                acp, desk, "show", run, "--plan", "--edit", environment={"EDITOR": f"{sys.executable} {script}"}
            )
            assert edited.returncode == 0, edited.stderr
        assert turning.result().text() == "Done."
        shown = [question.tool_call["content"][0]["content"]["text"] for question in editor.questions]
        assert shown == [TEXT, "# Raise it\n\n1. Only this\n"]
    assert "1. Only this" in systems(desk)[-1]


async def test_a_batch_run_in_mode_plan_waits_and_works_once_it_is_approved(desk_of: DeskOf) -> None:
    planner: Mapping[str, Any] = {"config": '[roles.planner]\npolicy = "plan"\n'}
    desk = desk_of(Rule(turns=[READ, PROPOSE, edit("LIMIT = 20"), Step(text="Raised.")]), **planner)
    start = ("run", "raise the limit", str(desk.project), "--role", "planner", "--yes")
    waits = await asyncio.to_thread(acp, desk, *start)
    assert waits.returncode == 4, waits.stdout + waits.stderr
    approved = await asyncio.to_thread(acp, desk, "approve", "-o", "json")
    assert (approved.returncode, "Raised." in approved.stdout) == (0, True), approved.stdout + approved.stderr
    (fact,) = [event.data for event in desk.facts() if event.type == "plan_approved"]
    assert fact["mode"] == "auto"
    again = await asyncio.to_thread(acp, desk, "show", "--plan", "--edit")
    assert (again.returncode, "is approved already" in again.stderr) == (6, True), again.stderr
