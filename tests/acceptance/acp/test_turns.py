"""A turn as an editor sees it, from a real `acp serve` over its pipes: words, cards, questions, plans, money."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from acp_agent.testing.script import Rule, Step
from tests.acceptance.acp.conftest import DeskOf
from tests.acceptance.acp.desk import MODEL, READ, edit, settle, shell

WORDS = "Grüße aus der Datei 📎:\n\n```python\nLIMIT = 10\n```\nThat is all there is to say about the limit."
EDITED = "LIMIT = 20\n"
DIFF = {"type": "diff", "oldText": "LIMIT = 10\n", "newText": EDITED}


async def test_words_and_thoughts_arrive_while_the_model_still_speaks(desk_of: DeskOf) -> None:
    desk = desk_of(Rule(contains="tell me", turns=[Step(text=WORDS, reasoning="What is asked?", gap=0.02, chunk=8)]))
    async with desk.editor() as editor:
        session = await desk.session(editor)
        turn = await editor.prompt(session, "Please tell me about the limit.")
        assert turn.stop_reason == "end_turn"
        assert (turn.text(), turn.text("agent_thought_chunk")) == (WORDS, "What is asked?")
        said = [kind for kind, _, _ in turn.messages]
        assert said == ["agent_thought_chunk", "agent_message_chunk"]
        chunks = [line for line in editor.received if b"agent_message_chunk" in line.data]
        # 14 chunks with 20 ms between them: the first is on its way long before the last was spoken.
        assert len(chunks) > 3
        assert turn.answered_by.at - chunks[0].at > 0.1
        assert editor.transcript(session).of("session_info_update")[-1]["title"] == "Please tell me about the limit."


async def test_an_edit_is_shown_before_it_is_approved_and_made_after(desk_of: DeskOf) -> None:
    desk = desk_of(Rule(contains="raise", turns=[READ, edit("LIMIT = 20"), Step(text="Raised.")]))
    async with desk.editor("hold") as editor:
        session = await desk.session(editor)
        async with asyncio.TaskGroup() as tasks:
            turning = tasks.create_task(editor.prompt(session, "raise the limit"))
            await editor.wait_for(lambda: bool(editor.questions))
            assert desk.read() == "LIMIT = 10\n"
            (question,) = editor.questions
            editor.consent.release("once")
        turn = turning.result()
        path = str(desk.project / "limits.py")
        assert question.tool_call["title"] == "Edit limits.py"
        assert question.tool_call["content"] == [{**DIFF, "path": path}]
        assert question.kinds == ["allow_once", "allow_always", "reject_once"]
        _, card = turn.tool_cards.values()
        assert question.tool_call["toolCallId"] == card.call_id
        assert (card.title, card.fields["kind"]) == ("Edit limits.py", "edit")
        assert card.statuses == ("pending", "in_progress", "completed")
        assert card.fields["locations"] == [{"path": path}]
        assert list(card.diffs) == [{**DIFF, "path": path}]
        assert (turn.stop_reason, turn.text(), desk.read()) == ("end_turn", "Raised.", EDITED)
    assert [event.type for event in desk.facts() if event.type.startswith(("tool", "approval"))] == [
        "tool_started",
        "tool_finished",
        "approval_asked",
        "approval_given",
        "tool_started",
        "tool_finished",
    ]


async def test_a_refused_edit_changes_nothing_and_the_model_is_told(desk_of: DeskOf) -> None:
    desk = desk_of(Rule(contains="raise", turns=[READ, edit("LIMIT = 20"), Step(text="As you wish.")]))
    async with desk.editor("reject") as editor:
        turn = await editor.prompt(await desk.session(editor), "raise the limit")
        _, card = turn.tool_cards.values()
        assert (card.status, turn.stop_reason, turn.text()) == ("failed", "end_turn", "As you wish.")
        assert desk.read() == "LIMIT = 10\n"
    _, result = desk.server.requests[-1].tool_results
    assert result.startswith("refused")


async def test_what_is_always_allowed_is_remembered_by_name(desk_of: DeskOf) -> None:
    desk = desk_of(
        Rule(contains="twice", turns=[READ, edit("LIMIT = 20"), edit("LIMIT = 30", "LIMIT = 20"), Step(text="Twice.")]),
        Rule(
            contains="again",
            since="prompt",
            turns=[
                edit("LIMIT = 40", "LIMIT = 30"),
                Step(tools=[("write_file", {"path": "new.py", "content": "x\n"})]),
                Step(text="Again."),
            ],
        ),
    )
    async with desk.editor("always") as editor:
        session = await desk.session(editor)
        await editor.prompt(session, "twice please")
        assert (desk.read(), len(editor.questions)) == ("LIMIT = 30\n", 1)
        assert editor.questions[0].options[1]["name"] == "Always allow edit_file"
    # The memory is the agent's: another process, another connection.
    async with desk.editor("reject") as editor:
        await editor.resume_session(session, desk.project)
        turn = await editor.prompt(session, "again please")
        assert desk.read() == "LIMIT = 40\n"
        assert [question.tool_call["title"] for question in editor.questions] == ["Write new.py"]
        assert [card.status for card in turn.tool_cards.values()] == ["completed", "failed"]
        assert not (desk.project / "new.py").exists()


@pytest.mark.bwrap
async def test_a_command_is_asked_for_by_its_own_words_and_its_name_is_what_it_runs(desk_of: DeskOf) -> None:
    command = "cat limits.py | tr a-z A-Z"
    rule = Rule(contains="run", turns=[shell(command), shell(command), shell("true"), Step(text="Ran.")])
    desk = desk_of(rule)
    async with desk.editor("always", "reject") as editor:
        turn = await editor.prompt(await desk.session(editor), "run it")
        assert [question.tool_call["title"] for question in editor.questions] == [command, "true"]
        assert editor.questions[0].options[1]["name"] == "Always allow shell: cat *, tr *"
        first, second, third = turn.tool_cards.values()
        assert [card.status for card in (first, second, third)] == ["completed", "completed", "failed"]
        assert (first.title, first.fields["kind"]) == (command, "execute")
        assert "LIMIT = 10" in first.text


async def test_a_plan_is_shown_whole_each_time(desk_of: DeskOf) -> None:
    def planned(first: str, second: str) -> Step:
        return Step(
            tools=[("plan", {"steps": [{"text": "Read", "status": first}, {"text": "Edit", "status": second}]})]
        )

    turns = [planned("in_progress", "pending"), planned("completed", "in_progress"), Step(text="Planned.")]
    desk = desk_of(Rule(contains="plan", turns=turns))
    async with desk.editor() as editor:
        turn = await editor.prompt(await desk.session(editor), "plan it")
        shown = [[(entry["content"], entry["status"]) for entry in plan["entries"]] for plan in turn.of("plan")]
        assert shown == [
            [("Read", "in_progress"), ("Edit", "pending")],
            [("Read", "completed"), ("Edit", "in_progress")],
        ]
        assert editor.questions == []


async def test_usage_counts_the_money_of_the_whole_session(desk_of: DeskOf) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    desk = desk_of(Rule(contains="count", reply=Step(text="Counted.", usage=usage)))
    # 1000 * 10 + 100 * 50 US dollars per million.
    price = 0.015
    async with desk.editor() as editor:
        session = await desk.session(editor)
        told = [(await editor.prompt(session, "count")).usage for _ in range(2)]
    async with desk.editor() as editor:
        await editor.load_session(session, desk.project)
        told.append(editor.transcript(session).usage)
        told.append((await editor.prompt(session, "count")).usage)
    assert [entry and entry["cost"] for entry in told] == [
        {"amount": pytest.approx(price * turns), "currency": "USD"} for turns in (1, 2, 2, 3)
    ]
    assert all(entry and entry["used"] == 1100 and entry["size"] >= 1100 for entry in told)


async def test_a_prompt_too_large_for_every_model_ends_the_turn_visibly(desk_of: DeskOf) -> None:
    too_long = Step(
        status=400,
        error={
            "message": "This model's maximum context length is 8192 tokens. However, your messages resulted in 90000.",
            "type": "invalid_request_error",
            "code": "context_length_exceeded",
        },
    )
    desk = desk_of(Rule(contains="huge", reply=too_long), Rule(contains="small", reply=Step(text="Fits.")))
    async with desk.editor() as editor:
        session = await desk.session(editor)
        turn = await editor.prompt(session, "huge " + "word " * 100_000)
        assert turn.stop_reason == "max_tokens"
        assert "too" in turn.text() or "context" in turn.text(), turn.text()
        # The session stays usable.
        again = await editor.prompt(await desk.session(editor), "small")
        assert (again.stop_reason, again.text()) == ("end_turn", "Fits.")


async def test_every_kind_of_content_block_reaches_the_model(desk_of: DeskOf) -> None:
    desk = desk_of(Rule(contains="look", reply=Step(text="Seen.")))
    uri = (desk.project / "limits.py").as_uri()
    blocks: list[Mapping[str, Any]] = [
        {"type": "text", "text": "look at"},
        {"type": "resource_link", "uri": uri, "name": "limits.py"},
        {"type": "resource", "resource": {"uri": "file:///elsewhere/notes.md", "text": "a note of 5 words"}},
    ]
    async with desk.editor() as editor:
        await editor.prompt(await desk.session(editor), blocks)
    prompt = desk.server.requests[-1].prompt
    assert all(part in prompt for part in ("look at", "limits.py", "a note of 5 words", "notes.md"))


async def test_a_model_that_fails_ends_the_turn_with_words_and_the_session_goes_on(desk_of: DeskOf) -> None:
    wrong = Step(status=401, error={"message": "Incorrect API key provided.", "code": "invalid_api_key"})
    desk = desk_of(
        Rule(contains="first", reply=wrong), Rule(contains="second", since="prompt", turns=[Step(text="Ok.")])
    )
    async with desk.editor() as editor:
        session = await desk.session(editor)
        turn = await editor.prompt(session, "first")
        assert (turn.stop_reason, "error" in turn.text()) == ("end_turn", True)
        assert "sk-not-a-real-key" not in json.dumps([str(line.data) for line in editor.received])
        again = await editor.prompt(session, "second")
        assert (again.stop_reason, again.text()) == ("end_turn", "Ok.")
        await settle(editor)
    assert desk.server.requests[-1].model == MODEL
