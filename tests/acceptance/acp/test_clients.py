"""What real clients do, and where they, and agents built on the Python SDK, stumble: one test for each habit or trap.

Others have tests of their own: an array as a message, long lines, output into a file, parameters in `_meta`, a cancel
behind its prompt, a person who lets the agent wait.
"""

import asyncio
from typing import Any

import pytest

from acp_agent.testing.conformance import complaints
from acp_agent.testing.editor import started
from acp_agent.testing.script import Rule, Step
from acp_agent.testing.tap import RawError
from tests.acceptance.acp.conftest import DeskOf
from tests.acceptance.acp.desk import MODEL, SCHEMA, WARM

SAY = Rule(contains="say", since="prompt", turns=[Step(text="Said.")])
NOT_OURS = ("session/set_model", "providers/list", "mcp/message", "nes/start", "auth/status", "session/stop")


async def test_what_is_not_implemented_is_not_found(desk_of: DeskOf) -> None:
    """Trap 1 of the SDK: what is not implemented succeeds. VS Code still tries the legacy `session/set_model`."""
    desk = desk_of(SAY)
    async with desk.editor() as editor:
        session = await desk.session(editor)
        for method in NOT_OURS:
            with pytest.raises(RawError) as caught:
                await editor.request(method, {"sessionId": session, "modelId": MODEL})
            assert (method, caught.value.code) == (method, -32601)
        assert (await editor.prompt(session, "say")).text() == "Said."


async def test_zed_hears_of_a_session_only_once_it_was_announced(desk_of: DeskOf) -> None:
    """Trap 6 of the SDK: Zed drops updates before the answer, and late ones break the order of a load."""
    desk = desk_of(SAY)
    async with desk.editor() as editor:
        session = await desk.session(editor)
        await editor.wait_for(lambda: bool(editor.transcript(session).of("available_commands_update")))
        lines = [line.message for line in editor.received]
        answered = next(number for number, message in enumerate(lines) if session in str(message.get("result")))
        told = next(number for number, message in enumerate(lines) if message.get("method") == "session/update")
        assert answered < told


async def test_codecompanion_signs_in_by_the_first_method_and_pages_through_the_list(desk_of: DeskOf) -> None:
    desk = desk_of(SAY)
    async with started(WARM, desk.environment, desk.root) as editor:
        said = await editor.initialize({"fs": {"readTextFile": True, "writeTextFile": True}})
        assert await editor.request("authenticate", {"methodId": said["authMethods"][0]["id"]}) == {}
        session = await desk.session(editor)
        page = await editor.request("session/list", {"cwd": str(desk.project), "cursor": None})
        assert [row["sessionId"] for row in page["sessions"]] == [session]
        await editor.close_stdin()
        assert await editor.exited() == 0
    assert complaints(editor.lines, SCHEMA) == []


async def test_vscode_is_told_to_sign_in_where_there_is_no_key(desk_of: DeskOf) -> None:
    desk = desk_of(SAY)
    nothing = {"OPENAI_BASE_URL": "", "OPENAI_API_KEY": "", "ACP_MODEL": "", "OLLAMA_HOST": "127.0.0.1:9"}
    async with desk.editor(environment=nothing | {"LITELLM_PROXY_API_BASE": "http://127.0.0.1:9/v1"}) as editor:
        session = await desk.session(editor)
        for method, params in (
            ("session/prompt", {"sessionId": session, "prompt": [{"type": "text", "text": "say"}]}),
            ("authenticate", {"methodId": "api-keys"}),
        ):
            with pytest.raises(RawError) as caught:
                await editor.request(method, params)
            assert (method, caught.value.code) == (method, -32000)
            assert "OPENAI_API_KEY" in caught.value.data["details"]


async def test_agent_shell_gives_hardly_any_environment(desk_of: DeskOf) -> None:
    desk = desk_of(SAY)
    names = ("ACP_HOME", "ACP_MODEL", "OPENAI_BASE_URL", "OPENAI_API_KEY", "PYTHONPATH")
    bare = {name: desk.environment[name] for name in names}
    async with started(WARM, bare, desk.root) as editor:
        await editor.initialize()
        assert (await editor.prompt(await desk.session(editor), "say")).text() == "Said."
        await editor.close_stdin()
        assert await editor.exited() == 0


async def test_acpx_resumes_after_a_restart_and_learns_which_session_is_unknown(desk_of: DeskOf) -> None:
    desk = desk_of(SAY)
    async with desk.editor() as editor:
        session = await desk.session(editor, "edit")
        await editor.prompt(session, "say")
    async with desk.editor() as editor:
        with pytest.raises(RawError) as caught:
            await editor.resume_session("s_unknown", desk.project)
        assert caught.value.code == -32002
        assert (await editor.resume_session(session, desk.project))["modes"]["currentModeId"] == "edit"
        await editor.set_mode(session, "plan")
        assert (await editor.prompt(session, "say")).text() == "Said."


async def test_jetbrains_passes_servers_of_kinds_we_do_not_know(desk_of: DeskOf) -> None:
    desk = desk_of(SAY)
    servers: list[dict[str, Any]] = [
        {"type": "acp", "name": "ide", "id": "1"},
        {"type": "telepathy", "name": "future"},
        {"name": "broken"},
    ]
    async with desk.editor() as editor:
        made = await editor.request("session/new", {"cwd": str(desk.project), "mcpServers": servers})
        said = (await editor.prompt(made["sessionId"], "say")).text()
    # Each is told once, and none of them keeps the turn from its end.
    assert said.endswith("Said.") and all(said.count(f"MCP server {one['name']} is not") == 1 for one in servers)


async def test_many_sessions_of_one_client_begin_their_turns_at_once(desk_of: DeskOf) -> None:
    desk = desk_of(SAY)
    async with desk.editor() as editor:
        sessions = [await desk.session(editor) for _ in range(8)]
        turns = await asyncio.gather(*(editor.prompt(session, "say") for session in sessions))
        assert [turn.text() for turn in turns] == ["Said."] * 8
