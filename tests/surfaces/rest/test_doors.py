"""Who gets in: what a request must show, what is said too slowly or too long, and room for those who have a token."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from acp_agent.config.listening import bound, listening_at
from acp_agent.config.tokens import Scope, Tokens, give_token, given_tokens, take_token
from acp_agent.domain.errors import UsageError
from acp_agent.surfaces.rest import doors, guard, sockets
from acp_agent.surfaces.rest.asgi import Receive, Send, answer
from acp_agent.surfaces.rest.asgi import Scope as Request
from acp_agent.surfaces.rest.guard import Guard, Route
from acp_agent.surfaces.rest.server import serve

TOKEN = "a-token-of-this-machine"
OPEN = {"Authorization": f"Bearer {TOKEN}"}
PATIENCE = 60.0
UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nHost: localhost\r\n"
)


async def echo(scope: Request, receive: Receive, send: Send) -> None:
    """Says who asks, and how much; on a WebSocket, what is said."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while text := (await receive()).get("text"):
            await send({"type": "websocket.send", "text": f"{scope['state']['caller']} {text}"})
        return
    body = (await receive())["body"] if scope["method"] == "POST" else b""
    await answer(send, 200, f"{scope['state'].get('caller', 'anybody')} {len(body)}")


def frame(kind: int, data: bytes, *, last: bool = True) -> bytes:
    """A frame of a client, by its opcode, of at most 125 bytes."""
    return bytes([kind | (0x80 if last else 0), 0x80 | len(data), 0, 0, 0, 0]) + data


class Place:
    """A server, by its port."""

    def __init__(self, port: int) -> None:
        self.port = port

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", headers=OPEN, timeout=PATIENCE)

    async def socket(self, *, unread: bool = False) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A WebSocket that is open, of which nothing is read where `unread`."""
        reader, writer = await self.raw(f"GET /all HTTP/1.1\r\n{UPGRADE}Authorization: Bearer {TOKEN}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        if unread:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
        return reader, writer

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
    known = f"Authorization: Bearer {TOKEN}\r\n"
    async with served(tmp_path) as place:
        for path, headers, status in (
            ("/all", "", b"401"),
            ("/all", f"{known}Origin: http://localhost\r\n", b"403"),
            ("/read", known, b"404"),
            ("/well", "", b"404"),
        ):
            reader, writer = await place.raw(f"GET {path} HTTP/1.1\r\n{UPGRADE}{headers}\r\n".encode())
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


async def test_a_file_of_tokens_that_is_none_keeps_nobody_out_but_those_in_it(tmp_path: Path) -> None:
    row = {"name": "x", "sha256": "a" * 64, "scopes": ["run"], "created": 0}
    async with served(tmp_path) as place, place.client() as client:
        for content in (
            b"junk",
            b"\xff",
            b"null",
            b"[" * 100_000,
            json.dumps([{**row, "sha256": "\u00e9"}]).encode(),
            json.dumps([{**row, "created": 10**400}]).encode(),
            json.dumps([{**row, "scopes": ["root"]}]).encode(),
            json.dumps([{**row, "name": "own"}]).encode(),
        ):
            (tmp_path / "tokens.json").write_bytes(content)
            with pytest.raises(UsageError, match="is not what acp token writes"):
                given_tokens({"ACP_HOME": str(tmp_path)})
            assert (content[:40], (await client.get("/read")).status_code) == (content[:40], 200)
            assert (await client.get("/read", headers={"Authorization": "Bearer another"})).status_code == 401


async def test_what_is_open_ends_with_its_token(tmp_path: Path) -> None:
    environ = {"ACP_HOME": str(tmp_path)}
    async with served(tmp_path) as place:
        given = [give_token(environ, name, [Scope.RUN, Scope.APPROVE]) for name in ("desk", "phone")]
        headers = [{"Authorization": f"Bearer {one}"} for one in given]
        url = f"ws://127.0.0.1:{place.port}/all"
        async with (
            connect(url, additional_headers=headers[0]) as gone,
            connect(url, additional_headers=headers[1]) as stays,
        ):
            await gone.send("one")
            assert await gone.recv() == "desk one"
            assert take_token(environ, "desk")
            await gone.send("two")
            with pytest.raises(ConnectionClosed):
                await gone.recv()
            await stays.send("three")
            assert await stays.recv() == "phone three"


async def test_the_frames_of_a_socket_are_held_to_what_they_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sockets, "MOST_PIECES", 10)
    async with served(tmp_path) as place:
        for frames, code in (
            (frame(1, b"a", last=False) + 10 * frame(0, b"", last=False), 1009),
            (frame(1, b"\xff"), 1007),
            (frame(1, b"\xff", last=False) + frame(0, b""), 1007),
            (frame(3, b""), 1002),
        ):
            reader, writer = await place.socket()
            writer.write(frames)
            said = await end_of(reader)
            assert (said[0], int.from_bytes(said[2:4])) == (0x88, code)
            writer.close()
        reader, writer = await place.socket()
        writer.write(frame(1, b"a", last=False) + 8 * frame(0, b"b", last=False) + frame(0, b"c"))
        assert await reader.readexactly(16) == b"\x81\x0eown abbbbbbbbc"
        writer.close()
    assert [record.message for record in caplog.records if record.levelname in ("ERROR", "WARNING")] == []


async def test_whoever_asks_for_pongs_and_reads_none_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "MOST_UNREAD", 64 * 1024)
    async with served(tmp_path) as place:
        _, writer = await place.socket(unread=True)
        with pytest.raises(ConnectionError), anyio.fail_after(PATIENCE):
            while True:
                writer.write(1000 * frame(9, b"x" * 125))
                await writer.drain()


async def test_an_upgrade_that_the_library_cannot_read_is_refused_at_once(tmp_path: Path) -> None:
    async with served(tmp_path) as place:
        for headers, status in (
            ("Content-Length: 1000\r\n", b"400"),
            ("X-A: b\r\n" * 200, b"431"),
            (f"X-A: {'b' * 9000}\r\n", b"431"),
            ("Sec-WebSocket-Version: 8\r\n", b"400"),
        ):
            reader, writer = await place.raw(f"GET /all HTTP/1.1\r\n{UPGRADE}{headers}\r\n".encode())
            assert (await end_of(reader)).split()[1] == status
            writer.close()


@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [
        ("GET http://localhost/read", "", b"401"),
        ("GET http://evil.example/read", f"Authorization: Bearer {TOKEN}", b"404"),
        (f"GET /read?token={TOKEN}&access_token={TOKEN}", "", b"401"),
        ("GET /read", f"Cookie: token={TOKEN}", b"401"),
        ("GET //read", f"Authorization: Bearer {TOKEN}", b"404"),
        ("GET /well/../read", "", b"401"),
        ("OPTIONS *", "", b"401"),
        ("OPTIONS /read", "Access-Control-Request-Method: POST", b"401"),
        ("CONNECT localhost:80", "", b"401"),
        ("HEAD /read", "", b"401"),
        ("TRACE /read", "", b"401"),
        ("POST /read", f"Authorization: Bearer {TOKEN}\r\nContent-Length: 1\r\nContent-Length: 2", b"400"),
        ("POST /read", f"Authorization: Bearer {TOKEN}\r\nContent-Length: +1", b"400"),
        ("POST /read", f"Authorization: Bearer {TOKEN}\r\nTransfer-Encoding: gzip, chunked", b"400"),
        ("POST /read", f"Authorization: Bearer {TOKEN}\r\nTransfer-Encoding : chunked", b"400"),
    ],
)
async def test_a_request_of_another_shape_opens_nothing(tmp_path: Path, line: str, headers: str, status: bytes) -> None:
    async with served(tmp_path) as place:
        more = f"{headers}\r\n" if headers else ""
        # What follows would be answered too, if the first one were taken for shorter than it is.
        smuggled = "GET /well HTTP/1.1\r\nHost: localhost\r\nX-Smuggled: yes\r\n\r\n"
        reader, writer = await place.raw(f"{line} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n{smuggled}".encode())
        said = await end_of(reader)
        assert (said.split()[1], said.count(b"HTTP/1.1 ")) == (status, 1)
        writer.close()


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
