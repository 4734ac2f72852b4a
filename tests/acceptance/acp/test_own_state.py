"""The agent's own state, and its token, where a session is opened above them."""

import pytest

from acp_agent.testing.consent import Consent
from acp_agent.testing.remote import serving
from acp_agent.testing.script import Rule, Step
from tests.acceptance.acp.conftest import DeskOf
from tests.acceptance.acp.desk import CONFIG, shell
from tests.acceptance.acp.test_hands import results

GIVEN = '[{"name": "me", "sha256": "00", "scopes": ["admin"], "created": 0}]'
TOKEN = "a-token-that-nobody-else-may-see"


def write(path: str, content: str) -> Step:
    return Step(tools=[("write_file", {"path": path, "content": content})])


async def test_a_session_above_our_own_state_asks_before_it_writes_there_and_has_no_commands(desk_of: DeskOf) -> None:
    desk = desk_of(Rule(turns=[write("state/tokens.json", GIVEN), shell("touch state/more"), Step(text="Tried.")]))
    elsewhere = desk.root.parent / f"{desk.root.name}-home"
    elsewhere.mkdir()
    async with desk.editor(environment={"HOME": str(elsewhere)}) as editor:
        session = str((await editor.new_session(desk.root))["sessionId"])
        await editor.set_mode(session, "auto")
        assert (await editor.prompt(session, "let me in")).text() == "Tried."
        (question,) = editor.questions
        assert question.tool_call["title"] == "Write state/tokens.json"
    refused = [event.data["result"]["kind"] for event in desk.facts() if event.type == "tool_refused"]
    assert refused == ["denied", "unknown_tool"]
    assert not (desk.root / "state" / "tokens.json").exists()


async def test_what_governs_is_written_once_a_person_allowed_it(desk_of: DeskOf) -> None:
    desk = desk_of(Rule(turns=[write(".mcp.json", "{}\n"), Step(text="Written.")]))
    async with desk.editor("once") as editor:
        session = await desk.session(editor, "auto")
        assert (await editor.prompt(session, "write it")).text() == "Written."
        assert len(editor.questions) == 1
    assert desk.read(".mcp.json") == "{}\n"


@pytest.mark.parametrize("level", ["prefer", "off"])
async def test_no_command_sees_the_servers_token(level: str, desk_of: DeskOf) -> None:
    # Written backwards, or what hides secrets from the model would hide that it is there.
    turns = [shell("env | rev > seen.txt"), Step(text="Looked.")]
    desk = desk_of(Rule(turns=turns), config=f'{CONFIG}[sandbox]\nlevel = "{level}"\n')
    async with (
        serving({**desk.environment, "ACP_TOKEN": TOKEN}, desk.root) as server,
        server.editor("unix", Consent(then="once")) as editor,
    ):
        await editor.initialize()
        assert (await editor.prompt(await desk.session(editor, "auto"), "look")).text() == "Looked."
    (result,) = results(desk)
    assert result["status"] == "ok", result
    seen = desk.read("seen.txt")
    assert "=HTAP" in seen
    assert TOKEN[::-1] not in seen
