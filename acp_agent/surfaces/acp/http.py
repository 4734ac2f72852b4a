"""The protocol over HTTP: messages are posted, answers and all else come on event streams that stay open.

A connection begins with a posted `initialize`, which alone is answered at once, and lives as long as its own stream is
read: who loses that begins anew and loads the sessions. Messages in flight are not sent twice; the record is.
"""

from typing import assert_never

import anyio
from anyio.abc import TaskGroup
from pydantic_core import from_json

from acp_agent.surfaces.acp.asgi import EVENTS, JSON, Receive, Refusal, Scope, Send, answer, header, refuse
from acp_agent.surfaces.acp.encode import error_line
from acp_agent.surfaces.acp.guests import Guest, Guests
from acp_agent.surfaces.acp.routes import OPENING, WITHIN, session_of
from acp_agent.surfaces.acp.rpc import Malformed, Notification, Request, Response, message_of
from acp_agent.surfaces.acp.streams import Stream, StreamTransport

CONNECTION = b"acp-connection-id"
SESSION = b"acp-session-id"
BEAT = 15.0
"""Seconds after which a quiet stream says that it is alive."""
UNREAD = 30.0
"""Seconds that a connection lives whose own stream nobody has begun to read."""

Said = Request | Notification | Response


class HttpProfile:
    """POST, GET and DELETE on `/acp`. `group` is that of the connections."""

    def __init__(self, guests: Guests, group: TaskGroup) -> None:
        self._guests = guests
        self._group = group
        self._transports: dict[str, StreamTransport] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; its `state` names the `caller`."""
        try:
            match scope["method"]:
                case "POST":
                    await self._post(scope, receive, send)
                case "GET":
                    await self._get(scope, receive, send)
                case "DELETE":
                    await self._delete(scope, send)
                case _:
                    raise Refusal(405, "POST, GET or DELETE")
        except Refusal as refusal:
            await refuse(send, refusal)

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (header(scope, b"content-type") or "").partition(";")[0].strip().lower() != JSON:
            raise Refusal(415, f"Content-Type must be {JSON}")
        line = await _body(receive)
        message = _message_in(line)
        if isinstance(message, Request) and message.method == "initialize" and header(scope, CONNECTION) is None:
            await self._initialize(scope, send, line, message)
            return
        transport = self._connection(scope)
        _check_session(scope, message, transport)
        if transport.is_full:
            raise Refusal(503, "more was posted than is read; try again")
        transport.post(line, message)
        await answer(send, 202)

    async def _initialize(self, scope: Scope, send: Send, line: bytes, message: Request) -> None:
        transport = StreamTransport()
        guest = self._guests.admit(scope["state"]["caller"], transport)
        if guest is None:
            raise Refusal(503, "there are too many connections; try again later")
        self._transports[guest.id] = transport
        transport.post(line, message)
        self._group.start_soon(self._host, guest, transport)
        first = await transport.first_answer()
        if first is None or "result" not in from_json(first):
            transport.finish()
            raise Refusal(400, "initialize failed", first)
        await answer(send, 200, first, headers=[(CONNECTION, guest.id.encode())])

    async def _host(self, guest: Guest, transport: StreamTransport) -> None:
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_expect_reader, transport)
                await self._guests.host(guest)
                group.cancel_scope.cancel()
        finally:
            transport.end()
            del self._transports[guest.id]

    async def _get(self, scope: Scope, receive: Receive, send: Send) -> None:
        if EVENTS not in (header(scope, b"accept") or ""):
            raise Refusal(406, f"Accept must include {EVENTS}")
        transport = self._connection(scope)
        session_id = header(scope, SESSION)
        if session_id is None:
            if not await _pump(transport.stream, receive, send):
                transport.finish()
            return
        if not transport.knows(session_id) and not await self._guests.knows_session(session_id):
            raise Refusal(404, "there is no such session")
        await _pump(transport.session(session_id), receive, send)

    async def _delete(self, scope: Scope, send: Send) -> None:
        transport = self._connection(scope)
        transport.finish()
        await answer(send, 202)

    def _connection(self, scope: Scope) -> StreamTransport:
        guest_id = header(scope, CONNECTION)
        if guest_id is None:
            raise Refusal(400, "the header Acp-Connection-Id is missing; it comes with the answer to initialize")
        guest = self._guests.find(guest_id, scope["state"]["caller"])
        if guest is None or guest.id not in self._transports:
            raise Refusal(404, "there is no such connection; begin with initialize")
        return self._transports[guest.id]


async def _expect_reader(transport: StreamTransport) -> None:
    with anyio.move_on_after(UNREAD):
        await transport.stream.opened.wait()
        return
    transport.finish()


async def _body(receive: Receive) -> bytes:
    """The body, which whoever calls us has read and limited."""
    pieces = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refusal(400, "the body ended early")
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(pieces)


def _message_in(line: bytes) -> Said:
    message = message_of(line)
    match message:
        case None:
            raise Refusal(400, "the body is no message")
        case Malformed() if line.lstrip()[:1] == b"[":
            raise Refusal(501, "batches are not part of the protocol")
        case Malformed():
            raise Refusal(400, message.message, error_line(message.id, message.code, message.message))
        case Request() | Notification() | Response():
            return message
        case _:
            assert_never(message)


def _check_session(scope: Scope, message: Said, transport: StreamTransport) -> None:
    """What the header Acp-Session-Id must be; answers to our questions need none, since most clients send none."""
    if isinstance(message, Response):
        return
    named, said = header(scope, SESSION), session_of(message)
    if named is None:
        if message.method in WITHIN:
            raise Refusal(400, f"{message.method} needs the header Acp-Session-Id")
    elif said is not None and said != named:
        raise Refusal(400, "the header Acp-Session-Id and sessionId name two sessions")
    elif message.method not in OPENING and not transport.knows(named):
        raise Refusal(404, "this connection has no such session; load it first")


async def _pump(stream: Stream, receive: Receive, send: Send) -> bool:
    """Send what comes on `stream`; False where the reader left, not where it was replaced or all was said."""
    kind = [(b"content-type", EVENTS.encode()), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
    reader, left = stream.open(), False
    await send({"type": "http.response.start", "status": 200, "headers": kind})
    # Some clients take a stream for open only once something has come.
    await send({"type": "http.response.body", "body": b": open\n\n", "more_body": True})
    async with anyio.create_task_group() as group:

        async def until_it_leaves() -> None:
            nonlocal left
            while (await receive())["type"] != "http.disconnect":
                pass
            left = True
            group.cancel_scope.cancel()

        group.start_soon(until_it_leaves)
        await _deliver(stream, reader, send)
        group.cancel_scope.cancel()
    if left:
        return not stream.leave(reader)
    await send({"type": "http.response.body", "body": b""})
    return True


async def _deliver(stream: Stream, reader: int, send: Send) -> None:
    while True:
        messages: list[bytes] | None = None
        with anyio.move_on_after(BEAT):
            messages = await stream.batch(reader)
        if messages is None:
            body = b": alive\n\n"
        elif messages:
            body = b"".join(b"data: %b\n\n" % message for message in messages)
        else:
            return
        await send({"type": "http.response.body", "body": body, "more_body": True})
