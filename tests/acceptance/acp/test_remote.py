"""The protocol over HTTP, WebSocket and a socket file: real servers, and the SDK's own transports at the other end."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from acp_agent.testing.conformance import complaints
from acp_agent.testing.consent import Consent
from acp_agent.testing.remote import Way, serving
from acp_agent.testing.script import Rule, Step
from acp_agent.testing.tap import RawError
from tests.acceptance.acp.conftest import DeskOf
from tests.acceptance.acp.desk import READ, SCHEMA, Desk, edit

RAISE = Rule(contains="raise", turns=[READ, edit("LIMIT = 20"), Step(text="Raised, and told.", chunk=4)])
NEXT = Rule(contains="next", since="prompt", turns=[Step(text="Going on.")])
TALK = Rule(contains="talk", turns=[Step(text="word " * 2000, chunk=4, gap=0.01)])
HELLO = {"protocolVersion": 1, "clientCapabilities": {}}
EVENTS = {"Accept": "text/event-stream"}


@pytest.mark.parametrize("way", ["http", "websocket", "unix"])
async def test_a_turn_with_an_approval_is_what_it_is_over_stdio(desk_of: DeskOf, way: Way) -> None:
    desk = desk_of(RAISE, NEXT)
    async with serving(desk.environment, desk.root) as server:
        async with server.editor(way, Consent("once")) as editor:
            await editor.initialize()
            session = await desk.session(editor)
            turn = await editor.prompt(session, "raise the limit")
            assert (turn.stop_reason, turn.text()) == ("end_turn", "Raised, and told.")
            assert [card.status for card in turn.tool_cards.values()] == ["completed", "completed"]
            assert len(editor.questions) == 1
            assert (await editor.prompt(session, "next")).text() == "Going on."
            listed = await editor.list_sessions()
            assert [one["sessionId"] for one in listed["sessions"]] == [session]
        assert editor.complaints + complaints(editor.lines, SCHEMA) == []
        assert await server.stop() == 143
        assert "Traceback" not in server.process.errors
    assert desk.read() == "LIMIT = 20\n"


@pytest.mark.parametrize("way", ["http", "websocket"])
async def test_a_turn_outlives_its_connection_and_the_next_hears_the_rest(desk_of: DeskOf, way: Way) -> None:
    desk = desk_of(RAISE, NEXT)
    async with serving(desk.environment, desk.root) as server:
        async with server.editor(way, Consent("hold")) as editor:
            await editor.initialize()
            session = await desk.session(editor)
            turning = asyncio.create_task(editor.prompt(session, "raise the limit"))
            await editor.wait_for(lambda: bool(editor.questions))
            async with server.editor("unix") as other:
                await other.initialize()
                await other.load_session(session, desk.project)
                with pytest.raises(RawError, match="acp-agent-testing 1"):
                    await other.prompt(session, "next")
        await asyncio.wait([turning])
        assert turning.exception() is not None and desk.read() == "LIMIT = 10\n"
        async with server.editor(way, Consent("once")) as editor:
            await editor.initialize()
            await editor.load_session(session, desk.project)
            await editor.wait_for(lambda: "Raised, and told." in editor.text(session))
            cards = editor.transcript(session).tool_cards.values()
            assert [card.status for card in cards] == ["completed", "completed"]
            assert (await editor.prompt(session, "next")).text() == "Going on."
    assert desk.reasons() == ["end_turn", "end_turn"] and desk.read() == "LIMIT = 20\n"


async def test_a_signal_ends_it_with_the_record_whole_and_a_new_one_goes_on(desk_of: DeskOf) -> None:
    desk = desk_of(TALK, NEXT)
    async with serving(desk.environment, desk.root) as server:
        async with server.editor("websocket") as editor:
            await editor.initialize()
            session = await desk.session(editor)
            turning = asyncio.create_task(editor.prompt(session, "talk"))
            await editor.wait_for(lambda: "word" in editor.text(session))
            assert await server.stop() == 143
            await asyncio.wait([turning])
            assert turning.exception() is not None
        assert not server.unix.exists() and "Traceback" not in server.process.errors
    async with serving(desk.environment, desk.root) as server, server.editor("http") as editor:
        await editor.initialize()
        await editor.load_session(session, desk.project)
        assert editor.transcript(session).text("user_message_chunk") == "talk"
        assert (await editor.prompt(session, "next")).text() == "Going on."
    assert desk.reasons() == ["end_turn", "cancelled"]


# --- the wire of HTTP itself


class Wire:
    """A connection by plain HTTP, and its events."""

    def __init__(self, client: httpx.AsyncClient, connection: str) -> None:
        self.client = client
        self.headers = {"Acp-Connection-Id": connection}

    async def post(self, message: Any, **headers: str) -> httpx.Response:
        return await self.client.post("/acp", json=message, headers={**self.headers, **headers})

    async def ask(self, number: int, method: str, parameters: Any, **headers: str) -> int:
        said = {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
        return (await self.post(said, **headers)).status_code

    @asynccontextmanager
    async def stream(self, **headers: str) -> AsyncIterator[AsyncIterator[Any]]:
        """Its events as they come; those of a session with the header for it."""
        async with self.client.stream("GET", "/acp", headers={**EVENTS, **self.headers, **headers}) as response:
            assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream")
            yield _events(response)


async def _events(response: httpx.Response) -> AsyncIterator[Any]:
    async for line in response.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


async def connected(client: httpx.AsyncClient) -> Wire:
    hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO}
    response = await client.post("/acp", json=hello)
    assert (response.status_code, response.json()["result"]["protocolVersion"]) == (200, 1)
    return Wire(client, response.headers["Acp-Connection-Id"])


async def until_answer(events: AsyncIterator[Any], number: int) -> list[Any]:
    """What comes up to the answer to request `number`."""
    came = []
    async for event in events:
        came.append(event)
        if "method" not in event and event["id"] == number:
            return came
    raise AssertionError(f"no answer to {number}: {came}")


def opening(desk: Desk, session: str = "") -> dict[str, Any]:
    return {"cwd": str(desk.project), "mcpServers": [], **({"sessionId": session} if session else {})}


def prompt(session: str, text: str) -> dict[str, Any]:
    return {"sessionId": session, "prompt": [{"type": "text", "text": text}]}


async def test_what_http_answers_to_what_is_no_message(desk_of: DeskOf) -> None:
    desk = desk_of()
    async with serving(desk.environment, desk.root) as server, server.client() as client:
        wire = await connected(client)
        call = {"jsonrpc": "2.0", "id": 1, "method": "session/list", "params": {}}
        there = wire.headers
        kind = {"Content-Type": "application/json"}
        for content, headers, status in (
            (b"{}", {"Content-Type": "text/plain"}, 415),
            (b"{}", {"Content-Type": ""}, 415),
            (b"{", {**kind, **there}, 400),
            (b"", {**kind, **there}, 400),
            (b"[]", {**kind, **there}, 501),
            (b'"text"', {**kind, **there}, 400),
            (b"\xff", {**kind, **there}, 400),
            (b"[" * 100_000, {**kind, **there}, 501),
            (json.dumps(call).encode(), kind, 400),
            (json.dumps(call).encode(), {**kind, "Acp-Connection-Id": "0" * 32}, 404),
            (json.dumps(call).encode(), {**kind, **there}, 202),
            (json.dumps({**call, "method": "initialize"}).encode(), kind, 400),
        ):
            response = await client.post("/acp", content=content, headers=headers)
            assert (content[:40], response.status_code) == (content[:40], status), response.text
        assert (await client.get("/acp", headers=there)).status_code == 406
        assert (await client.get("/acp", headers=EVENTS)).status_code == 400
        assert (await client.put("/acp", headers=there)).status_code == 405
        for session, status in (("s_unknown", 404), ("", 404)):
            response = await client.get("/acp", headers={**EVENTS, **there, "Acp-Session-Id": session})
            assert response.status_code == status
        cancel = {"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": "s_unknown"}}
        assert (await wire.post(cancel)).status_code == 400
        assert (await wire.post(cancel, **{"Acp-Session-Id": "s_other"})).status_code == 400
        assert (await wire.post(cancel, **{"Acp-Session-Id": "s_unknown"})).status_code == 404
        assert (await client.delete("/acp", headers=there)).status_code == 202
        assert (await client.delete("/acp")).status_code == 400


async def test_streams_are_split_as_the_proposal_wants_it(desk_of: DeskOf) -> None:
    desk = desk_of(RAISE, NEXT)
    async with serving(desk.environment, desk.root) as server, server.client() as client:
        wire = await connected(client)
        async with wire.stream() as events:
            assert await wire.ask(1, "session/new", opening(desk)) == 202
            (made,) = await until_answer(events, 1)
            session = made["result"]["sessionId"]
            named = {"Acp-Session-Id": session}
            async with wire.stream(**named) as own:
                assert await wire.ask(2, "session/prompt", prompt(session, "next"), **named) == 202
                *told, answer = await until_answer(own, 2)
                assert answer["result"] == {"stopReason": "end_turn"}
                # What was said before the stream was opened waited for it.
                assert told[0]["params"]["update"]["sessionUpdate"] == "available_commands_update"
                assert {one["params"]["sessionId"] for one in told} == {session}
                # The newest reader of a stream takes over, and its own connection goes on.
                async with wire.stream(**named) as again:
                    assert [event async for event in own] == []
                    mode = {"sessionId": session, "modeId": "auto"}
                    assert await wire.ask(3, "session/set_mode", mode, **named) == 202
                    await until_answer(again, 3)
            assert await wire.ask(4, "session/list", {}) == 202
            assert (await until_answer(events, 4))[-1]["result"]["sessions"][0]["sessionId"] == session


async def test_a_session_that_is_loaded_comes_in_one_order(desk_of: DeskOf) -> None:
    desk = desk_of(RAISE, NEXT)
    async with serving(desk.environment, desk.root) as server, server.client() as client:
        async with server.editor("http") as editor:
            await editor.initialize()
            session = await desk.session(editor)
            await editor.prompt(session, "next")
        named = {"Acp-Session-Id": session}
        wire = await connected(client)
        async with wire.stream() as events:
            assert await wire.ask(1, "session/load", opening(desk, session)) == 202
            kinds = [one["params"]["update"]["sessionUpdate"] for one in (await until_answer(events, 1))[:-1]]
            assert kinds[:2] == ["user_message_chunk", "agent_message_chunk"]
            async with wire.stream(**named) as own:
                # From here on the stream of the session is read, so that its own messages come there.
                assert await wire.ask(2, "session/prompt", prompt(session, "next"), **named) == 202
                assert (await until_answer(own, 2))[-1]["result"] == {"stopReason": "end_turn"}
        # The order of the proposal: the stream of the session first.
        wire = await connected(client)
        async with wire.stream(), wire.stream(**named) as own:
            assert await wire.ask(1, "session/load", opening(desk, session), **named) == 202
            kinds = [one["params"]["update"]["sessionUpdate"] for one in (await until_answer(own, 1))[:-1]]
            assert kinds.count("user_message_chunk") == 2


async def test_a_connection_is_its_token_s_and_ends_with_its_stream(desk_of: DeskOf) -> None:
    desk = desk_of()
    async with serving(desk.environment, desk.root) as server, server.client() as client:
        made = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "acp_agent.main", "token", "add", "phone"),
            env=desk.environment,
            cwd=desk.root,
            stdout=asyncio.subprocess.PIPE,
        )
        token = (await made.communicate())[0].decode().strip()
        wire = await connected(client)
        call = {"jsonrpc": "2.0", "id": 1, "method": "session/list", "params": {}}
        phone = {"Authorization": f"Bearer {token}"}
        assert (await wire.post(call)).status_code == 202
        assert (await wire.post(call, **phone)).status_code == 404
        assert (await client.get("/metrics", headers=phone)).status_code == 403
        async with wire.stream():
            metrics = (await client.get("/metrics")).text
            assert "acp_connections 1\n" in metrics and 'acp_runs{status="ended"} 0\n' in metrics
        async with asyncio.timeout(60):
            while (await wire.post(call)).status_code != 404:
                pass
        assert "acp_connections 0\n" in (await client.get("/metrics")).text


async def test_a_websocket_is_guarded_as_http_is(desk_of: DeskOf) -> None:
    desk = desk_of()
    async with serving(desk.environment, desk.root) as server:
        url = f"ws://{server.address}/acp"
        for headers, status in (
            ({}, 401),
            ({"Authorization": "Bearer wrong-token-of-somebody"}, 401),
            ({**server.headers, "Origin": "http://localhost:3000"}, 403),
        ):
            with pytest.raises(InvalidStatus) as refused:
                await connect(url, additional_headers=headers)
            assert refused.value.response.status_code == status
        # A name of somebody else's that leads here.
        host, port = server.address.split(":")
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://evil.example:{port}/acp", host=host, port=port, additional_headers=server.headers)
        assert refused.value.response.status_code == 421
        for path in ("/metrics", "/healthz", "/"):
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://{server.address}{path}", additional_headers=server.headers)
            assert refused.value.response.status_code == 404
        async with connect(url, additional_headers=server.headers) as socket:
            await socket.send(b"binary frames are ignored")
            await socket.send("no json")
            assert json.loads(await socket.recv())["error"]["code"] == -32700
            await socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}))
            assert json.loads(await socket.recv())["id"] == 1
            with pytest.raises(ConnectionClosed):
                await socket.send("x" * (4 * 1024 * 1024 + 1))
                await socket.recv()


async def test_nothing_listens_off_this_machine_without_a_proxy_and_wrong_words_are_told(tmp_path: Path) -> None:
    environment = {"ACP_HOME": str(tmp_path / "state"), "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    for words, said in (
        (("--http", "0.0.0.0:0"), "can be reached from other machines"),
        (("--http", "nowhere"), "is no HOST:PORT"),
        (("--trusted-proxy", "a.example"), "goes with --http"),
        (("--unix", str(tmp_path)), "is no socket"),
    ):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "acp_agent.main", "serve", *words),
            env=environment,
            cwd=Path(__file__).parents[3],
            stderr=asyncio.subprocess.PIPE,
        )
        errors = (await process.communicate())[1].decode()
        assert (process.returncode, said in errors, "Traceback" in errors) == (2, True, False), errors
