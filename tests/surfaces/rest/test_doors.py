"""Who gets in: what a request must show, what is said too slowly or too long, and room for those who have a token."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest

from acp_agent.config.listening import bound, listening_at
from acp_agent.config.tokens import Scope, Tokens, give_token, take_token
from acp_agent.surfaces.rest import doors, guard
from acp_agent.surfaces.rest.asgi import Receive, Send, answer
from acp_agent.surfaces.rest.asgi import Scope as Request
from acp_agent.surfaces.rest.guard import Guard, Route
from acp_agent.surfaces.rest.server import serve

TOKEN = "a-token-of-this-machine"
OPEN = {"Authorization": f"Bearer {TOKEN}"}
PATIENCE = 60.0


async def echo(scope: Request, receive: Receive, send: Send) -> None:
    """Says who asks, and how much."""
    body = (await receive())["body"] if scope["method"] == "POST" else b""
    await answer(send, 200, f"{scope['state'].get('caller', 'anybody')} {len(body)}")


class Place:
    """A server, by its port."""

    def __init__(self, port: int) -> None:
        self.port = port

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", headers=OPEN, timeout=PATIENCE)

    async def raw(self, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that has sent `data`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        await writer.drain()
        return reader, writer


@asynccontextmanager
async def served(state: Path, *names: str) -> AsyncIterator[Place]:
    listening = listening_at("127.0.0.1:0", None, names)
    sockets = bound(listening)
    routes = {
        "/all": Route(echo, (Scope.RUN, Scope.APPROVE), upgrades=True),
        "/read": Route(echo, (Scope.READ,)),
        "/well": Route(echo, None),
    }
    stopped, started = anyio.Event(), anyio.Event()
    watched = Guard(listening, Tokens({"ACP_HOME": str(state)}, TOKEN), routes)
    async with anyio.create_task_group() as group:
        group.start_soon(serve, watched, sockets, stopped, started.set)
        await started.wait()
        yield Place(sockets[0].getsockname()[1])
        stopped.set()


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """What is still said until the connection is closed, by whoever closes it in whatever way."""
    said = b""
    with anyio.fail_after(PATIENCE):
        try:
            while data := await reader.read(65536):
                said += data
        except ConnectionError:
            pass
    return said


async def test_what_a_request_must_show(tmp_path: Path) -> None:
    async with served(tmp_path) as place, place.client() as client:
        nobody = {"Authorization": ""}
        for path, headers, status in (
            ("/all", {}, 200),
            ("/read", {}, 200),
            ("/well", nobody, 200),
            ("/all", nobody, 401),
            ("/read", nobody, 401),
            ("/nowhere", nobody, 401),
            ("/nowhere", {}, 404),
            ("/all", {"Authorization": f"Bearer {TOKEN}x"}, 401),
            ("/all", {"Authorization": f"Bearer {TOKEN[:-1]}"}, 401),
            ("/all", {"Authorization": "Bearer"}, 401),
            ("/all", {"Authorization": f"Basic {TOKEN}"}, 401),
            ("/all", {"Authorization": TOKEN}, 401),
            ("/all", {"Authorization": f"bearer {TOKEN}"}, 200),
            ("/all", {"Host": "localhost"}, 200),
            ("/all", {"Host": "LOCALHOST:80"}, 200),
            ("/all", {"Host": "[::1]:4242"}, 200),
            ("/all", {"Host": "agent.example.org"}, 421),
            ("/well", {"Host": "agent.example.org"}, 421),
            ("/all", {"Host": "127.0.0.1.example.org"}, 421),
            ("/all", {"Host": "localhost.example.org:4242"}, 421),
            ("/all", {"Host": "localhost:80@example.org"}, 421),
            ("/all", {"Host": ""}, 421),
            ("/all", {"Origin": "https://example.org"}, 403),
            ("/well", {"Origin": "http://localhost:3000"}, 403),
            ("/all", {"Origin": "null"}, 403),
            ("/all", {"Origin": f"http://127.0.0.1:{place.port}"}, 403),
        ):
            reply = await client.get(path, headers=headers)
            assert (path, headers, reply.status_code) == (path, headers, status)
            assert not [name for name in reply.headers if name.startswith("access-control")]
            assert (reply.headers.get("www-authenticate") is not None) == (status == 401)
        assert (await client.options("/all", headers={"Origin": "https://example.org"})).status_code == 403


async def test_two_hosts_or_two_tokens_are_none(tmp_path: Path) -> None:
    async with served(tmp_path) as place:
        for doubled, status in ((b"Host: evil.example", b"421"), (b"Authorization: Bearer other", b"401")):
            head = f"GET /all HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
            reader, writer = await place.raw(head + doubled + b"\r\n\r\n")
            # Our HTTP library refuses a second Host by itself.
            assert (await end_of(reader)).split()[1] in (status, b"400")
            writer.close()


async def test_a_body_with_two_lengths_ends_the_connection(tmp_path: Path) -> None:
    async with served(tmp_path) as place:
        head = f"POST /all HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        lengths = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        reader, writer = await place.raw(f"{head}{lengths}GET /well HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        said = await end_of(reader)
        assert (said.split()[1], said.count(b"HTTP/1.1 ")) == (b"400", 1)
        writer.close()


async def test_a_socket_that_is_refused_is_told_why_and_says_nothing_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade = (
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nHost: localhost\r\n"
    )
    known = f"Authorization: Bearer {TOKEN}\r\n"
    async with served(tmp_path) as place:
        for path, headers, status in (
            ("/all", "", b"401"),
            ("/all", f"{known}Origin: http://localhost\r\n", b"403"),
            ("/read", known, b"404"),
            ("/well", "", b"404"),
        ):
            reader, writer = await place.raw(f"GET {path} HTTP/1.1\r\n{upgrade}{headers}\r\n".encode())
            assert (await end_of(reader)).split()[1] == status
            writer.close()
    assert [record.message for record in caplog.records if record.levelname in ("ERROR", "WARNING")] == []


async def test_a_proxy_in_front_is_known_by_its_name(tmp_path: Path) -> None:
    async with served(tmp_path, "agent.example.org") as place, place.client() as client:
        for headers, status in (
            ({"Host": "agent.example.org"}, 200),
            ({"Host": "agent.example.org", "Origin": "https://agent.example.org"}, 200),
            ({"Host": "agent.example.org", "Origin": "http://agent.example.org"}, 403),
            ({"Host": "other.example.org"}, 421),
        ):
            assert (await client.get("/all", headers=headers)).status_code == status


async def test_a_token_opens_what_its_scopes_say_until_it_is_taken_back(tmp_path: Path) -> None:
    environ = {"ACP_HOME": str(tmp_path)}
    async with served(tmp_path) as place, place.client() as client:
        reading = {"Authorization": f"Bearer {give_token(environ, 'scraper', [Scope.READ])}"}
        working = {"Authorization": f"Bearer {give_token(environ, 'desk', [Scope.RUN, Scope.APPROVE])}"}
        running = {"Authorization": f"Bearer {give_token(environ, 'job', [Scope.RUN])}"}
        for headers, path, status in (
            (reading, "/read", 200),
            (reading, "/all", 403),
            (working, "/all", 200),
            (working, "/read", 403),
            (running, "/all", 403),
        ):
            assert (await client.get(path, headers=headers)).status_code == status
        assert (await client.post("/all", headers=working, content=b"abc")).text == "desk 3"
        assert take_token(environ, "desk")
        assert (await client.get("/all", headers=working)).status_code == 401
        (tmp_path / "tokens.json").write_text("broken")
        assert (await client.get("/read", headers=reading)).status_code == 401
        assert (await client.get("/read")).status_code == 200


async def test_a_body_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MOST_BODY", 1000)
    async with served(tmp_path) as place, place.client() as client:
        assert (await client.post("/all", content=b"x" * 1000)).text == "own 1000"
        head = f"POST /all HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
        for rest in (
            b"Content-Length: 1001\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n" + b"3e9\r\n" + b"x" * 1001,
        ):
            reader, writer = await place.raw(head + rest)
            assert (await end_of(reader)).split()[1] == b"413"
            writer.close()
        # Without a token nobody learns how much would be taken.
        reader, writer = await place.raw(b"POST /all HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1001\r\n\r\n")
        assert (await end_of(reader)).split()[1] == b"401"
        writer.close()


async def test_what_comes_too_slowly_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "HEADERS_WITHIN", 0.2)
    monkeypatch.setattr(guard, "BODY_WITHIN", 0.2)
    async with served(tmp_path) as place:
        whole = f"POST /all HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 9\r\n\r\n"
        for said, status in (
            (b"", b""),
            (b"GET /we", b""),
            (b"GET /well HTTP/1.1\r\nHost: localhost\r\nX-More: ", b""),
            (whole.encode() + b"1234", b"408"),
        ):
            reader, writer = await place.raw(said)
            assert (await end_of(reader))[9:12] == status
            writer.close()
        # The second request of a connection has a deadline too.
        reader, writer = await place.raw(b"GET /well HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await reader.readuntil(b"anybody 0"))[9:12] == b"200"
        writer.write(b"GET /we")
        assert await end_of(reader) == b""
        writer.close()


async def test_one_stranger_too_many_ends_the_oldest_and_no_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "MOST_STRANGERS_OF_PEER", 3)
    async with served(tmp_path) as place, place.client() as client:
        assert (await client.get("/all")).status_code == 200
        stalled = [await place.raw(b"GET /") for _ in range(3)]
        for _ in range(5):
            # The server has taken them in by the time it answers one that came later.
            assert (await client.get("/all")).status_code == 200
        fourth = await place.raw(b"GET /")
        assert await end_of(stalled[0][0]) == b""
        async with place.client() as other:
            assert (await other.get("/all")).status_code == 200
        assert await end_of(stalled[1][0]) == b""
        assert (await client.get("/all")).status_code == 200
        for _, writer in (*stalled, fourth):
            writer.close()


async def test_callers_are_limited_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "MOST_CALLERS_OF_PEER", 1)
    async with served(tmp_path) as place, place.client() as client, place.client() as other:
        assert (await client.get("/all")).status_code == 200
        assert (await other.get("/all")).status_code == 503
        assert (await other.get("/well", headers={"Authorization": ""})).status_code == 200
        assert (await client.get("/all")).status_code == 200
