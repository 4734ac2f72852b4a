"""Signing in at a terminal: what a person enters is tried, kept for this user alone, used, and gone after `logout`."""

import asyncio
import errno
import json
import os
import pty
import stat
from collections.abc import Sequence

import pytest

from acp_agent.testing.script import Rule, Step
from acp_agent.testing.tap import RawError
from tests.acceptance.acp.conftest import DeskOf
from tests.acceptance.acp.desk import COMMAND, MODEL, Desk

SAY = Rule(contains="say", reply=Step(text="Said."))
CHECKED = (
    Rule(contains="single word", reply=Step(text="ok")),
    Rule(contains="Call the tool", reply=Step(tools=[("report", {"result": "ok"})])),
)
OTHER_SERVER = "9"
UNSET = {"OPENAI_BASE_URL": "", "OPENAI_API_KEY": "", "ACP_MODEL": "", "LITELLM_PROXY_API_BASE": "http://127.0.0.1:9"}
"""Nothing in the environment names a model."""


async def at_terminal(desk: Desk, *answers: tuple[str, str]) -> tuple[int, str]:
    """`acp serve --login` at a terminal, each answer given once its question stands there; exit code and screen."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "--login", env=desk.environment | UNSET, stdin=theirs, stdout=theirs, stderr=theirs, cwd=desk.root
    )
    os.close(theirs)
    screen = ""
    waiting: Sequence[tuple[str, str]] = answers
    while True:
        try:
            data = await asyncio.to_thread(os.read, ours, 65536)
        except OSError as error:
            assert error.errno == errno.EIO
            break
        if not data:
            break
        screen += data.decode()
        if waiting and waiting[0][0] in screen.rpartition("\n")[2]:
            os.write(ours, waiting[0][1].encode() + b"\n")
            waiting = waiting[1:]
    os.close(ours)
    return await process.wait(), screen


async def test_what_was_entered_is_tried_kept_used_and_forgotten(desk_of: DeskOf) -> None:
    desk = desk_of(SAY, *CHECKED)
    asked = ("Which provider", OTHER_SERVER), ("Base URL", desk.server.url), ("Its key", "sk-entered-by-hand")
    code, screen = await at_terminal(desk, *asked)
    assert code == 0, screen
    assert f"openai/{MODEL} answers" in screen
    assert "sk-entered-by-hand" not in screen
    kept = desk.root / "state" / "login.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert json.loads(kept.read_text("utf-8")) == {
        "OPENAI_BASE_URL": desk.server.url,
        "OPENAI_API_KEY": "sk-entered-by-hand",
    }
    async with desk.editor(environment=UNSET) as editor:
        await editor.authenticate("api-keys")
        session = await desk.session(editor)
        assert (await editor.prompt(session, "say")).text() == "Said."
        assert desk.server.requests[-1].headers["authorization"] == "Bearer sk-entered-by-hand"
        assert await editor.request("logout", {}) == {}
        assert not kept.exists()
        params = {"cwd": str(desk.project), "mcpServers": []}
        refused = [
            ("session/new", params),
            ("session/load", params | {"sessionId": session}),
            ("session/prompt", {"sessionId": session, "prompt": [{"type": "text", "text": "say"}]}),
            ("authenticate", {"methodId": "api-keys"}),
        ]
        for method, given in refused:
            with pytest.raises(RawError) as caught:
                await editor.request(method, given)
            assert (method, caught.value.code) == (method, -32000)


async def test_what_does_not_work_is_not_kept(desk_of: DeskOf) -> None:
    wrong = Step(status=401, error={"message": "Incorrect API key provided.", "code": "invalid_api_key"})
    desk = desk_of(Rule(contains="single word", reply=wrong))
    asked = ("Which provider", OTHER_SERVER), ("Base URL", desk.server.url), ("Its key", "sk-wrong"), ("Try", "n")
    code, screen = await at_terminal(desk, *asked)
    assert (code, "Check the provider's key" in screen) == (1, True), screen
    assert not (desk.root / "state" / "login.json").exists()


async def test_without_a_terminal_nothing_is_asked(desk_of: DeskOf) -> None:
    desk = desk_of()
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "--login",
        env=desk.environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaint = await process.communicate()
    assert (process.returncode, said, b"needs a terminal" in complaint) == (2, b"", True)


async def test_a_key_of_the_environment_is_used_alone(desk_of: DeskOf) -> None:
    desk = desk_of(SAY)
    kept = desk.root / "state" / "login.json"
    kept.parent.mkdir()
    kept.write_text(json.dumps({"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_API_KEY": "sk-kept"}), "utf-8")
    async with desk.editor() as editor:
        assert (await editor.prompt(await desk.session(editor), "say")).text() == "Said."
        assert await editor.request("logout", {}) == {}
        # Keys that are not ours to forget are there again as soon as the client wants them.
        await editor.authenticate("api-keys")
        assert (await editor.prompt(await desk.session(editor), "say")).text() == "Said."
    assert desk.server.requests[-1].headers["authorization"] == "Bearer sk-not-a-real-key"
    kept.write_text("[]", "utf-8")
    async with desk.editor() as editor:
        with pytest.raises(RawError, match=r"login\.json"):
            await desk.session(editor)
