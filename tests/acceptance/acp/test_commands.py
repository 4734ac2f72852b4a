"""What a prompt may begin with: commands of ours, which ask no model, and command files of a trusted project."""

from pathlib import Path
from typing import Any

from acp_agent.config.trust import trust
from acp_agent.testing.editor import Editor
from acp_agent.testing.script import Rule, Step
from tests.acceptance.acp.conftest import DeskOf
from tests.acceptance.acp.desk import MODEL, READ, edit, option, settle

SAY = Rule(contains="say", since="prompt", turns=[Step(text="Said.")])
GREET = "---\ndescription: Greets: politely.\nargument-hint: whom\n---\nsay hello to $ARGUMENTS\n"
RAISE = Rule(contains="raise", since="prompt", turns=[READ, edit("LIMIT = 20"), Step(text="Raised.")])


def offered(editor: Editor, session: str) -> dict[str, dict[str, Any]]:
    """The commands an editor was told last, by name."""
    told = editor.transcript(session).of("available_commands_update")
    return {command["name"]: command for command in told[-1]["availableCommands"]}


async def test_mode_and_model_are_changed_by_a_prompt_as_by_an_option(desk_of: DeskOf) -> None:
    desk = desk_of(SAY, config='[models.strong]\nchain = ["openai/other-model"]\n')
    async with desk.editor() as editor:
        session = await desk.session(editor)
        assert "(in use)" in (await editor.prompt(session, "/mode")).text()
        turn = await editor.prompt(session, "/mode edit")
        assert (turn.stop_reason, turn.text()) == ("end_turn", "From the next prompt on: mode edit.")
        assert turn.of("current_mode_update")[-1]["currentModeId"] == "edit"
        assert option(turn.of("config_option_update")[-1], "mode")["currentValue"] == "edit"
        assert "`strong`" in (await editor.prompt(session, "/model")).text()
        assert (await editor.prompt(session, "/model strong")).text() == "From the next prompt on: model strong."
        refused = await editor.prompt(session, "/model telepathy")
        assert (refused.stop_reason, "has no value 'telepathy'" in refused.text()) == ("end_turn", True)
        assert not desk.server.requests
        await editor.prompt(session, "say")
        assert desk.server.requests[-1].model == "other-model"


async def test_the_cost_is_told_and_a_turn_taken_back(desk_of: DeskOf) -> None:
    desk = desk_of(SAY, RAISE)
    async with desk.editor(then="once") as editor:
        session = await desk.session(editor)
        assert (await editor.prompt(session, "/undo")).text() == "nothing in this session is left to undo"
        await editor.prompt(session, "raise the limit")
        assert desk.read() == "LIMIT = 20\n"
        assert (await editor.prompt(session, "/undo")).text() == "Undone: 1 file.\n- `limits.py`"
        assert desk.read() == "LIMIT = 10\n"
        assert (await editor.prompt(session, "/undo back")).text() == "Brought back: 1 file.\n- `limits.py`"
        assert desk.read() == "LIMIT = 20\n"
        await editor.prompt(session, "say")
        cost = (await editor.prompt(session, "/cost")).text()
        assert cost.startswith("This session: 2 turns, ")
        assert "US$ 0." in cost


async def test_a_command_file_becomes_the_prompt_once_it_is_trusted(desk_of: DeskOf) -> None:
    desk = desk_of(SAY)
    files = {
        ".agents/commands/greet.md": GREET,
        ".claude/commands/plain.md": "# Plain words\nsay it\n",
        ".claude/commands/greet.md": "say nothing\n",
        ".claude/commands/strange.md": "say something strange\n",
    }
    for name, text in files.items():
        path = desk.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    trust(desk.project, desk.root / "state")
    Path(desk.project / ".claude/commands/strange.md").write_text("say something else\n", "utf-8")
    async with desk.editor() as editor:
        session = await desk.session(editor)
        await settle(editor)
        commands = offered(editor, session)
        assert commands["greet"] == {"name": "greet", "description": "Greets: politely.", "input": {"hint": "whom"}}
        assert commands["plain"] == {"name": "plain", "description": "Plain words"}
        assert {"help", "model", "mode", "cost", "undo"} < set(commands)
        assert "strange" not in commands
        turn = await editor.prompt(session, "/greet the people\nof Kyoto")
        assert turn.text() == "Said."
        assert desk.server.requests[-1].prompt == "say hello to the people\nof Kyoto"
        await editor.prompt(session, "/plain softly")
        assert desk.server.requests[-1].prompt == "# Plain words\nsay it\n\nsoftly"
        await editor.prompt(session, "/strange, do say")
        assert desk.server.requests[-1].prompt == "/strange, do say"
        help_of = (await editor.prompt(session, "/help")).text()
        assert "- `/greet` Greets: politely." in help_of
    async with desk.editor() as editor:
        await editor.load_session(session, desk.project)
        told = [text for kind, _, text in editor.transcript(session).messages if kind == "user_message_chunk"]
        assert told == ["/greet the people\nof Kyoto", "/plain softly", "/strange, do say"]
    assert desk.server.requests[-1].model == MODEL
