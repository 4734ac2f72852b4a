"""MCP servers that an editor names in `session/new`: started behind its back, asked about as ours, failures told."""

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from acp_agent.testing.script import Rule, Step
from tests.acceptance.acp.conftest import DeskOf
from tests.acceptance.acp.desk import CONFIG, Desk
from tests.acceptance.npm.client import wait_until
from tests.tools.mcp.conftest import NOTES, ODD

FIND = Step(tools=[("find_tools", {"query": "echo"})])
OURS = """\
[mcp.odd]
command = "/no/such/program"
risk = 0
"""


def lent(desk: Desk, name: str = "odd") -> dict[str, object]:
    """The odd server with one tool, as an editor names it; its files lie in the project, which the sandbox shows."""
    shutil.copy(ODD, desk.project / "odd_server.py")
    tool = {"name": "echo", "description": "Says it again.", "inputSchema": {"type": "object"}}
    (desk.project / "tools.json").write_text(json.dumps([tool]))
    env = [{"name": "PETNAME", "value": "correct-horse-battery"}]
    return {"name": name, "command": "python3", "args": ["odd_server.py", "tools.json"], "env": env}


@pytest.fixture
def notes_url(tmp_path: Path) -> Iterator[str]:
    """A server over HTTP, in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(NOTES), "http", str(port)], cwd=tmp_path)
    try:
        wait_until(partial(_listens, port), "a server that listens")
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.bwrap
async def test_a_server_of_the_editor_stands_in_for_ours_and_a_person_is_asked_before_its_tool_runs(
    desk_of: DeskOf,
) -> None:
    script = [FIND, Step(tools=[("odd__echo", {"a": 1})]), Step(tools=[("odd__echo", {"a": 2})]), Step(text="Done.")]
    desk = desk_of(Rule(turns=script), config=CONFIG + OURS)
    async with desk.editor("once", "reject") as editor:
        session = (await editor.new_session(desk.project, mcp_servers=[lent(desk)]))["sessionId"]
        turn = await editor.prompt(session, "echo something")
        _, first, second = turn.tool_cards.values()
        assert [question.tool_call["title"] for question in editor.questions] == [
            'odd__echo {"a": 1}',
            'odd__echo {"a": 2}',
        ]
        assert (first.status, second.status) == ("completed", "failed")
        assert turn.text() == "Done."
    results = [event.data["result"] for event in desk.facts() if event.type == "tool_finished"]
    assert results[-1]["output"] == 'echo {"a": 1}'
    assert results[-1]["origin"] == "mcp"


async def test_a_server_that_fails_is_told_to_the_person_and_the_turn_goes_on(desk_of: DeskOf) -> None:
    desk = desk_of(Rule(turns=[Step(tools=[("find_tools", {"query": "x"})]), Step(text="Done.")]))
    gone = {"name": "gone", "command": "/no/such/program", "args": [], "env": []}
    strange = {"type": "acp", "name": "strange", "id": "1"}
    async with desk.editor() as editor:
        fresh = await editor.request("session/new", {"cwd": str(desk.project), "mcpServers": [gone, strange]})
        turn = await editor.prompt(fresh["sessionId"], "go")
        said = {message_id: text for _, message_id, text in turn.messages if message_id.startswith("mcp-")}
        assert said.keys() == {"mcp-gone", "mcp-strange"}
        assert "only stdio and http are spoken here" in said["mcp-strange"]
        assert (turn.stop_reason, turn.text().endswith("Done.")) == ("end_turn", True)
        again = await editor.prompt(fresh["sessionId"], "go on")
        assert "gone" not in again.text()


async def test_a_server_over_http_is_reached_and_again_after_the_session_is_loaded(
    desk_of: DeskOf, notes_url: str
) -> None:
    add = Step(tools=[("notes__add", {"a": 2, "b": 3})])
    find = Step(tools=[("find_tools", {"query": "add"})])
    desk = desk_of(Rule(contains="add", turns=[find, add, Step(text="Five."), find, add, Step(text="Five again.")]))
    server = {"type": "http", "name": "notes", "url": notes_url, "headers": []}
    async with desk.editor("once") as editor:
        session = (await editor.new_session(desk.project, mcp_servers=[server]))["sessionId"]
        turn = await editor.prompt(session, "add them")
        assert turn.text() == "Five."
    async with desk.editor("once") as editor:
        await editor.request("session/load", {"sessionId": session, "cwd": str(desk.project), "mcpServers": [server]})
        turn = await editor.prompt(session, "add again")
        assert turn.text() == "Five again."
    sums = [event.data["result"]["output"] for event in desk.facts() if event.type == "tool_finished"]
    assert sum("5" in one for one in sums) >= 2
