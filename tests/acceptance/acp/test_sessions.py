"""Sessions: several at once, told again after a kill, resumed silently, listed, closed, deleted, and their choices."""

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from acp_agent.config.trust import trust
from acp_agent.testing.script import Rule, Step
from acp_agent.testing.tap import RawError
from acp_agent.testing.transcript import Transcript
from tests.acceptance.acp.conftest import DeskOf
from tests.acceptance.acp.desk import MODEL, READ, edit, option, settle, shell

NEXT = Rule(contains="next", since="prompt", turns=[Step(text="Going on.")])
TOLD = Step(text="Die Grenze 📎 ist erhöht.\n\nZeile zwei.", reasoning="Done.", chunk=3, gap=0.002)


def without_commands(transcript: Transcript) -> list[Mapping[str, Any]]:
    return [update for update in transcript.updates if update["sessionUpdate"] != "available_commands_update"]


async def test_an_editor_is_told_of_skills_and_takes_one_up(desk_of: DeskOf) -> None:
    desk = desk_of(NEXT)
    skill = desk.project / ".agents/skills/stamp"
    skill.mkdir(parents=True)
    (skill / "SKILL.md").write_text("---\nname: stamp\ndescription: Stamps.\n---\nStamp it.\n", encoding="utf-8")
    trust(skill, desk.root / "state")
    async with desk.editor() as editor:
        session = await desk.session(editor)
        await settle(editor)
        (told_once,) = editor.transcript(session).updates
        stamp = {"name": "stamp", "description": "Stamps.", "input": {"hint": "what to do with it"}}
        assert stamp in told_once["availableCommands"]
        await editor.prompt(session, "/stamp next")
    assert '<skill name="stamp">\nStamp it.\n</skill>' in desk.server.requests[-1].messages[0]["content"]


async def test_two_sessions_of_one_connection_do_not_wait_for_each_other(desk_of: DeskOf) -> None:
    desk = desk_of(
        Rule(contains="raise", turns=[READ, edit("LIMIT = 20"), Step(text="Raised.")]),
        Rule(contains="speak", reply=Step(text="one two three four", gap=0.02, chunk=4)),
    )
    async with desk.editor("hold") as editor:
        first, second = await desk.session(editor), await desk.session(editor)
        assert first != second
        held = asyncio.create_task(editor.prompt(first, "raise the limit"))
        await editor.wait_for(lambda: bool(editor.questions))
        # The first waits for a person; the second has a whole turn, and the connection answers other things.
        turn = await editor.prompt(second, "speak")
        assert (turn.stop_reason, turn.text()) == ("end_turn", "one two three four")
        assert len((await editor.list_sessions())["sessions"]) == 2
        await editor.set_mode(second, "plan")
        assert not held.done()
        editor.consent.release("once")
        assert ((await held).stop_reason, desk.read()) == ("end_turn", "LIMIT = 20\n")


async def test_two_turns_stream_at_the_same_time(desk_of: DeskOf) -> None:
    desk = desk_of(
        Rule(contains="first", reply=Step(text="a" * 60, gap=0.02, chunk=4)),
        Rule(contains="second", reply=Step(text="b" * 60, gap=0.02, chunk=4)),
    )
    async with desk.editor() as editor:
        sessions = [await desk.session(editor), await desk.session(editor)]
        async with asyncio.TaskGroup() as tasks:
            turning = [
                tasks.create_task(editor.prompt(session, prompt))
                for session, prompt in zip(sessions, ("first", "second"), strict=True)
            ]
        turns = [task.result() for task in turning]
        assert [turn.text() for turn in turns] == ["a" * 60, "b" * 60]
        chunks = [line for line in editor.received if b"agent_message_chunk" in line.data]
        order = [line.message["params"]["sessionId"] for line in chunks]
        changes = sum(before != after for before, after in itertools.pairwise(order))
        assert changes > 3


async def test_a_second_prompt_to_a_busy_session_is_refused_or_waits_but_never_mixes(desk_of: DeskOf) -> None:
    desk = desk_of(Rule(contains="speak", reply=Step(text="one two three four", gap=0.05, chunk=4)), NEXT)
    async with desk.editor() as editor:
        session = await desk.session(editor)
        first = asyncio.create_task(editor.prompt(session, "speak"))
        await editor.wait_for(lambda: "one" in editor.text(session))
        with pytest.raises(RawError, match="busy"):
            await editor.request("session/prompt", {"sessionId": session, "prompt": [{"type": "text", "text": "next"}]})
        assert (await first).text() == "one two three four"
        assert (await editor.prompt(session, "next")).text() == "Going on."


def told(transcript: Transcript) -> object:
    """What a person could see of a conversation, without what only exists while it happens."""
    cards = {
        call_id: (card.status, card.fields["title"], card.fields.get("content"), card.fields["rawInput"])
        for call_id, card in transcript.tool_cards.items()
    }
    return transcript.messages, cards, transcript.plan, transcript.usage


async def test_after_a_kill_the_whole_conversation_is_told_again_byte_for_byte(desk_of: DeskOf) -> None:
    plan = Step(tools=[("plan", {"steps": [{"text": "Read", "status": "completed"}]})], reasoning="A plan first.")
    desk = desk_of(
        Rule(contains="raise", turns=[plan, READ, edit("LIMIT = 20"), TOLD]),
        Rule(contains="refuse", since="prompt", turns=[edit("LIMIT = 30", "LIMIT = 20"), Step(text="Well.\n")]),
        NEXT,
    )
    async with desk.editor("once", "reject") as editor:
        session = await desk.session(editor)
        await editor.prompt(session, "raise the limit\n  exactly 📎")
        await editor.prompt(session, "refuse this")
        before = editor.transcript(session)
        editor.kill()
        assert await editor.exited() == -9
    async with desk.editor() as editor:
        answer = await editor.load_session(session, desk.project)
        after = editor.transcript(session)
        prompts = [text for kind, _, text in after.messages if kind == "user_message_chunk"]
        assert prompts == ["raise the limit\n  exactly 📎", "refuse this"]
        replayed = Transcript(update for update in after.updates if update["sessionUpdate"] != "user_message_chunk")
        assert told(replayed) == told(before)
        assert answer["modes"]["currentModeId"] == "ask"
        await settle(editor)
        assert len(without_commands(editor.transcript(session))) == len(without_commands(after))
        assert (await editor.prompt(session, "next")).text() == "Going on."
    seen = [message["content"] for message in desk.server.requests[-1].messages if message["role"] == "user"]
    assert seen == ["raise the limit\n  exactly 📎", "refuse this", "next"]


async def test_after_a_kill_in_the_middle_of_a_reply_the_session_goes_on(desk_of: DeskOf) -> None:
    desk = desk_of(Rule(contains="speak", reply=Step(text="word " * 200, gap=0.02)), NEXT)
    async with desk.editor() as editor:
        session = await desk.session(editor)
        turning = asyncio.create_task(editor.request("session/prompt", _prompt(session, "speak")))
        await editor.wait_for(lambda: "word" in editor.text(session))
        editor.kill()
        await asyncio.wait([turning])
        assert turning.exception() is not None
    async with desk.editor() as editor:
        await editor.load_session(session, desk.project)
        turn = await editor.prompt(session, "next")
        assert (turn.stop_reason, turn.text()) == ("end_turn", "Going on.")


async def test_after_a_kill_while_a_person_was_asked_nothing_was_changed(desk_of: DeskOf) -> None:
    desk = desk_of(Rule(contains="raise", turns=[READ, edit("LIMIT = 20"), Step(text="Raised.")]), NEXT)
    async with desk.editor("hold") as editor:
        session = await desk.session(editor)
        turning = asyncio.create_task(editor.request("session/prompt", _prompt(session, "raise the limit")))
        await editor.wait_for(lambda: bool(editor.questions))
        editor.kill()
        await asyncio.wait([turning])
        assert turning.exception() is not None
        editor.consent.cancel(session)
    async with desk.editor() as editor:
        await editor.load_session(session, desk.project)
        turn = await editor.prompt(session, "next")
        assert (turn.stop_reason, turn.text(), desk.read()) == ("end_turn", "Going on.", "LIMIT = 10\n")


@pytest.mark.bwrap
async def test_after_a_kill_in_the_middle_of_a_command_the_session_goes_on(desk_of: DeskOf) -> None:
    desk = desk_of(Rule(contains="wait", turns=[shell("echo started > started; sleep 600"), Step(text="No.")]), NEXT)
    async with desk.editor("once") as editor:
        session = await desk.session(editor)
        turning = asyncio.create_task(editor.request("session/prompt", _prompt(session, "wait for it")))
        while not (desk.project / "started").exists():
            await asyncio.sleep(0.01)
        editor.kill()
        await asyncio.wait([turning])
        assert turning.exception() is not None
    async with desk.editor() as editor:
        await editor.load_session(session, desk.project)
        turn = await editor.prompt(session, "next")
        assert (turn.stop_reason, turn.text()) == ("end_turn", "Going on.")


async def test_resume_tells_nothing_and_the_model_remembers(desk_of: DeskOf) -> None:
    desk = desk_of(Rule(contains="remember", reply=Step(text="I will.")), NEXT)
    async with desk.editor() as editor:
        session = await desk.session(editor)
        await editor.prompt(session, "remember 42")
    async with desk.editor() as editor:
        answer = await editor.resume_session(session, desk.project)
        assert set(answer) == {"modes", "configOptions"}
        await settle(editor)
        assert without_commands(editor.transcript(session)) == []
        await editor.prompt(session, "next")
    conversation = [(message["role"], message.get("content")) for message in desk.server.requests[-1].messages]
    assert conversation[-3:] == [("user", "remember 42"), ("assistant", "I will."), ("user", "next")]


async def test_sessions_are_listed_by_folder_closed_and_deleted(desk_of: DeskOf) -> None:
    desk = desk_of(NEXT)
    other = desk.root / "other"
    other.mkdir()
    async with desk.editor() as editor:
        assert (await editor.list_sessions(desk.project))["sessions"] == []
        first, second = await desk.session(editor), await desk.session(editor)
        third = str((await editor.new_session(other))["sessionId"])
        await editor.prompt(first, "next\nof several lines")
        mine = (await editor.list_sessions(desk.project))["sessions"]
        assert [entry["sessionId"] for entry in mine] == [first, second]
        assert (mine[0]["title"], mine[0]["cwd"]) == ("next", str(desk.project))
        assert len((await editor.list_sessions())["sessions"]) == 3
        await editor.close_session(second)
        assert await editor.delete_session(first) == {}
        assert await editor.delete_session("s_unknown") == {}
        left = {entry["sessionId"] for entry in (await editor.list_sessions())["sessions"]}
        assert left == {second, third}
        for method in ("session/load", "session/resume"):
            with pytest.raises(RawError) as caught:
                await editor.request(method, {"sessionId": first, "cwd": str(desk.project), "mcpServers": []})
            assert caught.value.code == -32002
        with pytest.raises(RawError):
            await editor.list_sessions(cursor="nonsense")


async def test_a_long_list_comes_in_pages(desk_of: DeskOf) -> None:
    desk = desk_of(NEXT)
    async with desk.editor() as editor:
        made = [await desk.session(editor) for _ in range(55)]
        page = await editor.list_sessions(desk.project)
        rest = await editor.list_sessions(desk.project, cursor=page["nextCursor"])
        ids = [entry["sessionId"] for entry in (*page["sessions"], *rest["sessions"])]
        assert (sorted(ids), "nextCursor" in rest) == (sorted(made), False)


async def test_a_mode_is_the_same_whichever_way_it_was_set(desk_of: DeskOf) -> None:
    desk = desk_of(
        Rule(contains="first", turns=[READ, edit("LIMIT = 20"), Step(text="Tried.")]),
        Rule(contains="second", since="prompt", turns=[READ, edit("LIMIT = 20"), Step(text="Did.")]),
    )
    async with desk.editor() as editor:
        answer = await editor.new_session(desk.project)
        session = str(answer["sessionId"])
        assert (answer["modes"]["currentModeId"], option(answer, "mode")["currentValue"]) == ("ask", "ask")
        known = [mode["id"] for mode in answer["modes"]["availableModes"]]
        assert known == [entry["value"] for entry in option(answer, "mode")["options"]]

        await editor.set_mode(session, "plan")
        await editor.wait_for(lambda: bool(editor.transcript(session).of("config_option_update")))
        (update,) = editor.transcript(session).of("config_option_update")
        assert option(update, "mode")["currentValue"] == "plan"
        turn = await editor.prompt(session, "first")
        assert ([card.status for card in turn.tool_cards.values()], desk.read()) == (
            ["completed", "failed"],
            "LIMIT = 10\n",
        )

        changed = await editor.set_option(session, "mode", "edit")
        assert option(changed, "mode")["currentValue"] == "edit"
        assert [entry["id"] for entry in changed["configOptions"]] == ["mode", "model", "effort"]
        await settle(editor)
        assert editor.transcript(session).of("current_mode_update")[-1]["currentModeId"] == "edit"
        await editor.prompt(session, "second")
        assert (desk.read(), editor.questions) == ("LIMIT = 20\n", [])
        for refused in (editor.set_mode(session, "wild"), editor.set_option(session, "mode", "wild")):
            with pytest.raises(RawError) as caught:
                await refused
            assert caught.value.code == -32602
    async with desk.editor() as editor:
        answer = await editor.resume_session(session, desk.project)
        assert (answer["modes"]["currentModeId"], option(answer, "mode")["currentValue"]) == ("edit", "edit")


async def test_model_and_thought_level_hold_for_the_next_request(desk_of: DeskOf) -> None:
    config = '[models.strong]\nchain = ["openai/other-model"]\n'
    desk = desk_of(Rule(contains="say", reply=Step(text="Said.")), config=config)
    async with desk.editor() as editor:
        session = await desk.session(editor)
        await editor.prompt(session, "say")
        answer = await editor.set_option(session, "model", "strong")
        assert option(answer, "model")["currentValue"] == "strong"
        await editor.set_option(session, "effort", "high")
        await editor.prompt(session, "say")
    requests = desk.server.requests
    assert [request.model for request in requests] == [MODEL, "other-model"]
    assert [request.body.get("reasoning_effort") for request in requests] == [None, "high"]


async def test_what_does_not_exist_is_an_error_and_nothing_else(desk_of: DeskOf) -> None:
    desk = desk_of(NEXT)
    project = str(desk.project)
    wrong = [
        ("session/new", {"cwd": "relative", "mcpServers": []}, -32602),
        ("session/new", {"cwd": project}, -32602),
        ("session/prompt", {"sessionId": "s_unknown", "prompt": [{"type": "text", "text": "next"}]}, -32002),
        ("session/load", {"sessionId": "s_unknown", "cwd": project, "mcpServers": []}, -32002),
        ("session/set_mode", {"sessionId": "s_unknown", "modeId": "ask"}, -32002),
        ("authenticate", {"methodId": "unknown"}, -32602),
        ("initialize", {"protocolVersion": 1}, -32600),
        ("session/fork", {"sessionId": "s_unknown", "cwd": project}, -32002),
        ("session/list", {"cursor": "bm9uc2Vuc2U="}, -32602),
        ("providers/list", {}, -32601),
        ("_acp-agent/unknown", {}, -32601),
    ]
    async with desk.editor() as editor:
        for method, params, code in wrong:
            with pytest.raises(RawError) as caught:
                await editor.request(method, params)
            assert (method, caught.value.code) == (method, code)
        await editor.authenticate("api-keys")


async def test_parameters_cannot_be_redirected_by_meta(desk_of: DeskOf) -> None:
    desk = desk_of(NEXT)
    async with desk.editor() as editor:
        first, second = await desk.session(editor), await desk.session(editor)
        meta = {"sessionId": second, "session_id": second, "prompt": [{"type": "text", "text": "evil"}]}
        await editor.request("session/prompt", {**_prompt(first, "next"), "_meta": meta})
        assert (editor.text(first), editor.text(second)) == ("Going on.", "")


SPEAK = Rule(contains="speak", reply=Step(text="one two three four", gap=0.5, chunk=4))
RAISE = Rule(contains="raise", turns=[READ, edit("LIMIT = 20"), Step(text="Raised.")])


async def test_another_editor_cannot_speak_into_a_turn(desk_of: DeskOf) -> None:
    desk = desk_of(SPEAK, NEXT)
    async with desk.editor() as editor, desk.editor() as other:
        session = await desk.session(editor)
        await other.resume_session(session, desk.project)
        speaking = asyncio.create_task(editor.prompt(session, "speak"))
        await editor.wait_for(lambda: "one" in editor.text(session))
        assert editor.process is not None
        with pytest.raises(RawError, match=rf"is worked on by another process \({editor.process.process.pid} on .+\)"):
            await other.request("session/prompt", _prompt(session, "next"))
        turn = await speaking
        assert (turn.stop_reason, turn.text()) == ("end_turn", "one two three four")
        assert (await other.prompt(session, "next")).text() == "Going on."


async def test_another_editor_cannot_end_a_turn_that_waits_for_its_person(desk_of: DeskOf) -> None:
    desk = desk_of(RAISE, NEXT)
    async with desk.editor("hold") as editor, desk.editor() as other:
        session = await desk.session(editor)
        held = asyncio.create_task(editor.prompt(session, "raise the limit"))
        await editor.wait_for(lambda: bool(editor.questions))
        await other.resume_session(session, desk.project)
        with pytest.raises(RawError, match="is worked on by another process"):
            await other.request("session/prompt", _prompt(session, "next"))
        editor.consent.release("once")
        turn = await held
        assert (turn.stop_reason, turn.text(), desk.read()) == ("end_turn", "Raised.", "LIMIT = 20\n")


def _prompt(session: str, text: str) -> dict[str, object]:
    return {"sessionId": session, "prompt": [{"type": "text", "text": text}]}
