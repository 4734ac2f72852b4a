"""Questions of the agent to a person: by a form, a dialog, the next prompt, another terminal; and after a kill."""

import asyncio
import subprocess
from collections.abc import Mapping
from typing import Any

from acp_agent.testing import warm
from acp_agent.testing.consent import Consent
from acp_agent.testing.editor import started
from acp_agent.testing.script import Rule, Step
from tests.acceptance.acp.conftest import DeskOf
from tests.acceptance.acp.desk import WARM, Desk

FORMS: Mapping[str, Any] = {"elicitation": {"form": {}}}
WHICH = {"question": "Which limit?", "choices": ["20", "30"], "default": "20"}
OPEN = {"question": "What should the limit be called?"}


def asking(**arguments: Any) -> list[Rule]:
    """A model that asks, and then repeats the result it got."""
    ask = Step(tools=[("ask_user", arguments)])
    return [
        Rule(contains="raise", turn=0, reply=ask),
        Rule(result="answered: 30", reply=Step(text="It is 30.")),
        Rule(result="default holds: 20", reply=Step(text="It is 20.")),
        Rule(result="does not want to answer", reply=Step(text="I chose.")),
        Rule(result="answered: MAXIMUM", reply=Step(text="It is MAXIMUM.")),
    ]


def kinds(desk: Desk) -> list[str]:
    return [event.type for event in desk.facts() if event.type.startswith(("question", "run_"))]


def acp(
    desk: Desk, *arguments: str, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return warm.run(*arguments, cwd=desk.root, environment={**desk.environment, **(environment or {})})


async def test_a_form_is_filled_in_where_the_editor_has_forms(desk_of: DeskOf) -> None:
    desk = desk_of(*asking(**WHICH))
    async with desk.editor(capabilities=FORMS, forms=[{"answer": "30"}]) as editor:
        session = await desk.session(editor)
        turn = await editor.prompt(session, "raise the limit")
        (form,) = editor.consent.forms
        assert form["message"] == "Which limit?"
        assert form["requestedSchema"]["properties"]["answer"]["enum"] == ["20", "30"]
        assert form["requestedSchema"]["properties"]["answer"]["default"] == "20"
        (card,) = turn.tool_cards.values()
        assert (card.title, card.status) == ("Which limit?", "completed")
        assert turn.stop_reason == "end_turn"
        assert turn.text().endswith("It is 30.")
        assert editor.questions == []
    assert kinds(desk) == ["run_started", "question_asked", "question_answered", "run_ended"]


async def test_who_declines_takes_the_default_and_without_one_leaves_it_to_the_agent(desk_of: DeskOf) -> None:
    desk = desk_of(*asking(**WHICH), Rule(contains="call", turn=0, reply=Step(tools=[("ask_user", OPEN)])))
    async with desk.editor(capabilities=FORMS, forms=[None, None]) as editor:
        turn = await editor.prompt(await desk.session(editor), "raise the limit")
        assert turn.text().endswith("It is 20.")
        turn = await editor.prompt(await desk.session(editor), "call it something")
        assert turn.text().endswith("I chose.")


async def test_a_dialog_shows_the_choices_where_the_editor_has_no_forms(desk_of: DeskOf) -> None:
    desk = desk_of(*asking(**{**WHICH, "choices": ["30", "20"]}))
    async with desk.editor("once") as editor:
        turn = await editor.prompt(await desk.session(editor), "raise the limit")
        (question,) = editor.questions
        assert [option["name"] for option in question.options] == ["30", "20", "Answer in a message"]
        assert turn.text().endswith("It is 30.")


async def test_a_deadline_takes_the_default_and_withdraws_the_form(desk_of: DeskOf) -> None:
    desk = desk_of(*asking(**WHICH, deadline=0.2))
    async with desk.editor(capabilities=FORMS) as editor:
        turn = await editor.prompt(await desk.session(editor), "raise the limit")
        assert turn.text().endswith("It is 20.")
        assert any(line.message.get("method") == "$/cancel_request" for line in editor.received)
    (answer,) = [event.data for event in desk.facts() if event.type == "question_answered"]
    assert (answer["by"], answer["text"]) == ("deadline", "20")


async def test_after_a_kill_the_next_prompt_is_the_answer_and_the_same_run_goes_on(desk_of: DeskOf) -> None:
    desk = desk_of(*asking(**OPEN))
    async with started(WARM, desk.environment, desk.root, Consent()) as editor:
        await editor.initialize()
        session = await desk.session(editor)
        turn = await editor.prompt(session, "raise the limit")
        assert (turn.stop_reason, turn.text()) == ("end_turn", "What should the limit be called?")
        editor.kill()
        await editor.exited()
    async with desk.editor() as editor:
        await editor.load_session(session, desk.project)
        assert editor.text(session).count("What should the limit be called?") == 1
        again = await editor.prompt(session, "MAXIMUM")
        assert (again.stop_reason, again.text()) == ("end_turn", "It is MAXIMUM.")
    async with desk.editor() as editor:
        await editor.load_session(session, desk.project)
        said = [text for kind, _, text in editor.transcript(session).messages if kind == "user_message_chunk"]
        assert said == ["raise the limit", "MAXIMUM"]
    assert kinds(desk) == ["run_started", "question_asked", "question_answered", "run_ended"]


async def test_an_answer_from_another_terminal_is_taken_while_the_form_is_open(desk_of: DeskOf) -> None:
    desk = desk_of(*asking(**WHICH))
    async with desk.editor(capabilities=FORMS) as editor:
        session = await desk.session(editor)
        async with asyncio.TaskGroup() as tasks:
            turning = tasks.create_task(editor.prompt(session, "raise the limit"))
            await editor.wait_for(lambda: bool(editor.consent.forms))
            answered = await asyncio.to_thread(acp, desk, "approve", "--answer", "2")
            assert (answered.returncode, "answers 30" in answered.stderr) == (0, True), answered.stderr
        assert turning.result().text().endswith("It is 30.")
        assert any(line.message.get("method") == "$/cancel_request" for line in editor.received)


async def test_a_cancelled_turn_withdraws_its_question(desk_of: DeskOf) -> None:
    desk = desk_of(*asking(**WHICH))
    async with desk.editor(capabilities=FORMS) as editor:
        session = await desk.session(editor)
        async with asyncio.TaskGroup() as tasks:
            turning = tasks.create_task(editor.prompt(session, "raise the limit"))
            await editor.wait_for(lambda: bool(editor.consent.forms))
            await editor.cancel(session)
        turn = turning.result()
        assert turn.stop_reason == "cancelled"
        assert [card.status for card in turn.tool_cards.values()] == ["failed"]
    assert desk.reasons() == ["cancelled"]


async def test_a_run_that_nobody_watches_takes_the_default_or_waits_for_an_answer(desk_of: DeskOf) -> None:
    desk = desk_of(*asking(**WHICH), Rule(contains="call", turn=0, reply=Step(tools=[("ask_user", OPEN)])))
    done = await asyncio.to_thread(acp, desk, "run", "raise the limit", str(desk.project), "--yes", "-o", "json")
    assert (done.returncode, "It is 20." in done.stdout) == (0, True), done.stderr
    waits = await asyncio.to_thread(acp, desk, "run", "call it something", str(desk.project), "--yes")
    assert waits.returncode == 4, waits.stdout + waits.stderr
    assert "--answer TEXT" in waits.stdout + waits.stderr
    shown = await asyncio.to_thread(acp, desk, "show")
    assert "What should the limit be called?" in shown.stdout
    bare = await asyncio.to_thread(acp, desk, "approve")
    assert (bare.returncode, "wants an answer in words" in bare.stderr) == (2, True), bare.stderr
    answered = await asyncio.to_thread(acp, desk, "approve", "--answer", "MAXIMUM", "-o", "json")
    assert (answered.returncode, "It is MAXIMUM." in answered.stdout) == (0, True), answered.stdout + answered.stderr
