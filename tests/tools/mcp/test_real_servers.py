"""Real servers: one written with the official package, over stdio and over HTTP; what crosses, and what does not."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from acp_agent.domain.servers import ToolServer
from acp_agent.domain.tool import Risk, ToolResult
from tests.tools.mcp.conftest import NOTES, Desk, Desks, gone

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def exercise(d: Desk) -> None:
    """What every server of the official package can do."""
    names = ["add", "note", "fail", "sleep", "die", "look", "mcp_list", "mcp_read", "mcp_prompt"]
    assert d.shown() == [f"notes__{name}" for name in names]
    assert d.guard.specs()["notes__add"].risk == Risk.EXTERNAL
    assert await d.use("notes__add", a=1, b="2") == ToolResult(status="ok", output="3", origin="mcp")
    refused = await d.use("notes__add", a="x")
    assert (refused.status, refused.hint) == ("refused", 'Expected {"a": integer, "b": integer}')
    failed = await d.use("notes__fail")
    assert (failed.status, failed.kind) == ("error", "tool_error")
    assert (await d.use("notes__note", text="hi")).output == "noted"
    listed = (await d.use("notes__mcp_list")).output
    assert listed.splitlines() == [
        "resource note://first: first - The first note.",
        "prompt review(language) - Ask for a review.",
    ]
    assert (await d.use("notes__mcp_read", uri="note://first")).output == "buy milk"
    prompted = await d.use("notes__mcp_prompt", name="review", arguments={"language": "C"})
    assert prompted.output == "user: Review this C code."
    wrong = await d.use("notes__mcp_prompt", name="review", arguments={"language": 1})
    assert wrong.status == "refused"


@pytest.mark.bwrap
async def test_a_server_over_stdio_works_in_the_sandbox_and_sees_what_was_declared_for_it(
    desk: Desks, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    monkeypatch.setenv("OTHER_SECRET", "hunter2")
    server = ToolServer(
        name="notes", command=sys.executable, args=(str(NOTES), "stdio"), env={"OWN_SECRET": "x"}, timeout=60
    )
    async with desk(server) as d:
        await exercise(d)
        assert (root / "notes").read_text() == "hi key-1\n"
        looked = await d.use("notes__look", path=str(secret))
        assert looked.output.startswith("FileNotFoundError; ")
        assert "OWN_SECRET" in looked.output
        assert "OTHER_SECRET" not in looked.output
    await gone(str(NOTES))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """The same server as a process of its own that answers over HTTP."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(NOTES), "http", str(port)], cwd=tmp_path)
    try:
        yield process, f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        process.wait()


async def test_a_server_over_http_works_and_its_end_costs_calls_alone(
    desk: Desks, served: tuple["subprocess.Popen[bytes]", str], tmp_path: Path
) -> None:
    process, url = served
    port = int(url.rpartition(":")[2].partition("/")[0])
    with anyio.fail_after(60):
        while True:
            try:
                await (await anyio.connect_tcp("127.0.0.1", port)).aclose()
                break
            except OSError:
                await anyio.sleep(0.05)
    async with desk(ToolServer(name="notes", url=url, timeout=60)) as d:
        await exercise(d)
        assert (tmp_path / "notes").read_text() == "hi key-1\n"
        process.kill()
        process.wait()
        for _ in range(2):
            gone = await d.use("notes__add", a=1, b=2)
            assert (gone.status, gone.kind) in [("error", "crashed"), ("error", "unavailable")]
        assert d.guard.specs(), "its tools stay known: a later call tries again"


async def test_an_address_where_nobody_answers_is_said(desk: Desks) -> None:
    async with desk(ToolServer(name="gone", url="http://127.0.0.1:1/mcp", timeout=5)) as d:
        (note,) = d.guard.notes()
        assert note.startswith("The MCP server gone is not available: ")
        assert d.shown() == []
