"""Further directories of a session: file tools work in them, commands read them, and nothing else is opened."""

from pathlib import Path
from typing import Any

import pytest

from acp_agent.testing.editor import Editor
from acp_agent.testing.script import Rule, Step
from acp_agent.testing.tap import RawError
from tests.acceptance.acp.conftest import DeskOf
from tests.acceptance.acp.desk import Desk, shell

Call = tuple[str, dict[str, Any]]


def shared(root: Path) -> Path:
    """A directory beside the project, and a file beside it that nobody lends."""
    place = root.resolve() / "shared"
    (place / "deep").mkdir(parents=True)
    (place / "notes.md").write_text("the limit is 10\n", "utf-8")
    (place / "deep" / "more.md").write_text("another limit\n", "utf-8")
    (root / "elsewhere.md").write_text("not yours\n", "utf-8")
    return place


def turn(word: str, *calls: Call | Step) -> Rule:
    """A turn that makes each call in a reply of its own."""
    steps = [call if isinstance(call, Step) else Step(tools=[call]) for call in calls]
    return Rule(contains=word, since="prompt", turns=[*steps, Step(text="Done.")])


async def opened(editor: Editor, desk: Desk, *places: Path) -> str:
    params = {"cwd": str(desk.project), "mcpServers": [], "additionalDirectories": [str(place) for place in places]}
    return str((await editor.request("session/new", params))["sessionId"])


async def test_file_tools_work_in_them_and_a_turn_there_can_be_taken_back(desk_of: DeskOf, tmp_path: Path) -> None:
    place = shared(tmp_path)
    notes = str(place / "notes.md")
    look = turn(
        "look",
        ("read_file", {"path": notes}),
        ("list_files", {"path": str(place)}),
        ("search", {"pattern": "limit", "path": str(place)}),
        ("read_file", {"path": str(place.parent / "elsewhere.md")}),
        ("read_file", {"path": f"{place}/../elsewhere.md"}),
    )
    change = turn(
        "change",
        ("read_file", {"path": notes}),
        ("edit_file", {"path": notes, "edits": [{"old": "is 10", "new": "is 20"}]}),
        ("write_file", {"path": str(place / "new" / "file.md"), "content": "new\n"}),
        ("write_file", {"path": str(place / ".git" / "hooks" / "x"), "content": "no\n"}),
    )
    desk = desk_of(look, change)
    async with desk.editor(then="once") as editor:
        session = await opened(editor, desk, place)
        cards = list((await editor.prompt(session, "look")).tool_cards.values())
        assert [card.status for card in cards] == ["completed", "completed", "completed", "failed", "failed"]
        texts = [card.text for card in cards]
        assert "the limit is 10" in texts[0]
        assert [line for line in texts[1].splitlines() if line[:1] == "/"] == [f"{place}/deep/more.md", notes]
        assert f"{notes}:1: the limit is 10" in texts[2]
        assert "outside the workspace" in texts[3]
        cards = list((await editor.prompt(session, "change")).tool_cards.values())
        assert [card.status for card in cards] == ["completed", "completed", "completed", "failed"]
        assert cards[1].diffs[0]["path"] == notes
        assert (place / "notes.md").read_text("utf-8") == "the limit is 20\n"
        assert (place / "new" / "file.md").read_text("utf-8") == "new\n"
        undone = (await editor.prompt(session, "/undo")).text()
        assert undone.startswith("Undone: 2 files."), undone
    assert (place / "notes.md").read_text("utf-8") == "the limit is 10\n"
    assert not (place / "new").exists()
    assert not (place / ".git").exists()


async def test_they_are_those_named_this_time(desk_of: DeskOf, tmp_path: Path) -> None:
    place = shared(tmp_path)
    desk = desk_of(
        Rule(
            contains="look",
            since="prompt",
            turns=[Step(tools=[("read_file", {"path": str(place / "notes.md")})]), Step(text="Done.")],
        )
    )
    async with desk.editor() as editor:
        session = await opened(editor, desk, place)
        (card,) = (await editor.prompt(session, "look")).tool_cards.values()
        assert card.status == "completed"
    async with desk.editor() as editor:
        params: dict[str, Any] = {"sessionId": session, "cwd": str(desk.project), "mcpServers": []}
        for named, status in (([], "failed"), ([str(place)], "completed")):
            await editor.request("session/resume", {**params, "additionalDirectories": named})
            (card,) = (await editor.prompt(session, "look")).tool_cards.values()
            assert (named, card.status) == (named, status)
        for wrong in ("relative", str(place / "missing"), str(place / "notes.md")):
            with pytest.raises(RawError) as caught:
                await editor.request("session/load", {**params, "additionalDirectories": [wrong]})
            assert (caught.value.code, "additionalDirectories[0]" in caught.value.message) == (-32602, True)


@pytest.mark.bwrap
async def test_commands_read_them_and_write_nothing_there(desk_of: DeskOf, tmp_path: Path) -> None:
    place = shared(tmp_path)
    desk = desk_of(turn("run", shell(f"cat {place}/notes.md; cat {place}/../elsewhere.md; echo no > {place}/written")))
    async with desk.editor(then="once") as editor:
        session = await opened(editor, desk, place)
        (card,) = (await editor.prompt(session, "run")).tool_cards.values()
        assert "the limit is 10" in card.text
        assert "not yours" not in card.text
    assert not (place / "written").exists()
