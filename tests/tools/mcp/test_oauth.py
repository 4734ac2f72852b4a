"""Signing in to a server that asks for OAuth: once by a person, then used, refreshed and forgotten by runs."""

import json
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from acp_agent.domain.servers import ToolServer
from acp_agent.tools.mcp.oauth import sign_in
from acp_agent.tools.mcp.signed_in import is_signed_in, sign_out, tokens_file
from tests.tools.mcp.conftest import Desks

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
GUARDED = Path(__file__).with_name("guarded_server.py")


@pytest.fixture
async def guarded() -> Iterator[ToolServer]:
    """A server of the official package with an authorization server of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(GUARDED), str(port)])
    try:
        with anyio.fail_after(60):
            while True:
                try:
                    await (await anyio.connect_tcp("127.0.0.1", port)).aclose()
                    break
                except OSError:
                    await anyio.sleep(0.05)
        yield ToolServer(name="guarded", url=f"http://127.0.0.1:{port}/mcp", timeout=60)
    finally:
        process.kill()
        process.wait()


def browser(address: str) -> None:
    """Opens an address and follows where it leads, as a person's browser does; a stray request comes first."""
    callback = address.split("redirect_uri=")[1].split("&")[0]
    with socket.create_connection(("127.0.0.1", int(callback.split("%3A")[2].split("%2F")[0]))) as stray:
        stray.sendall(b"GET /favicon.ico HTTP/1.1\r\n\r\n")
        assert stray.recv(12) == b"HTTP/1.1 400"
    with urllib.request.urlopen(address, timeout=30) as page:
        assert b"Signed in" in page.read()


async def test_a_person_signs_in_once_and_runs_go_on_with_it(guarded: ToolServer, desk: Desks, tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with desk(guarded) as d:
        (note,) = d.guard.notes()
        assert note.endswith("it asks who you are; acp auth login mcp:guarded")
    threads: list[threading.Thread] = []

    def show(address: str) -> None:
        threads.append(threading.Thread(target=browser, args=(address,)))
        threads[-1].start()

    assert await sign_in(guarded, state, show) == 1
    for thread in threads:
        thread.join()
    file = tokens_file(state, guarded)
    assert file.stat().st_mode & 0o777 == 0o600
    first = json.loads(file.read_text())
    async with desk(guarded) as d:
        assert (await d.use("guarded__whoami")).output == "somebody"
    # What has run out is refreshed, without a person.
    file.write_text(json.dumps({**first, "expires_at": 1.0}))
    async with desk(guarded) as d:
        assert (await d.use("guarded__whoami")).output == "somebody"
    second = json.loads(file.read_text())
    assert second["tokens"]["access_token"] != first["tokens"]["access_token"]
    assert second["client"] == first["client"]
    # What the server does not take any more is said, and nobody is asked in a run.
    file.write_text(json.dumps({**second, "tokens": {"access_token": "old", "token_type": "Bearer"}}))
    async with desk(guarded) as d:
        (note,) = d.guard.notes()
        assert note.endswith("it asks who you are; acp auth login mcp:guarded")
    assert is_signed_in(state, guarded)
    assert sign_out(state, guarded)
    assert not is_signed_in(state, guarded)
