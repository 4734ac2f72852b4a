"""A client at the other end of a connection in memory, which records every line of both directions."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from acp_agent.surfaces.acp.call import Call, Method
from acp_agent.surfaces.acp.connection import Connection
from acp_agent.surfaces.acp.fields import Params
from acp_agent.surfaces.acp.framing import LineSplitter, Oversized
from acp_agent.testing.conformance import complaints
from acp_agent.testing.protocol_schema import ProtocolSchema
from acp_agent.testing.tap import Line

SCHEMA = ProtocolSchema(Path(__file__).parents[2] / "data" / "acp-schema-v1.json")
HELLO = {"protocolVersion": 1, "clientCapabilities": {}}
PATIENCE = 60.0
"""Seconds that a test waits for something before it fails."""


class MemoryTransport:
    """The agent's side. `hold` makes the reader as slow as the test wants it."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.gone = False
        self._splitter = LineSplitter()
        self._arrived: list[bytes | Oversized] = []
        self._more = anyio.Event()
        self._ended = False
        self._reading = anyio.Event()
        self._reading.set()
        self.changed = anyio.Event()

    async def receive(self) -> list[bytes | Oversized]:
        while not self._arrived and not self._ended:
            self._more = anyio.Event()
            await self._more.wait()
        arrived, self._arrived = self._arrived, []
        return arrived

    async def send(self, messages: Sequence[bytes]) -> None:
        if not self._reading.is_set():
            await self._reading.wait()
        if self.gone:
            raise BrokenPipeError("nobody reads")
        for message in messages:
            assert b"\n" not in message
            self.record(message + b"\n", sent=False)
        changed, self.changed = self.changed, anyio.Event()
        changed.set()

    def feed(self, data: bytes) -> None:
        """What the client writes."""
        self._arrived += self._splitter.feed(data)
        self._more.set()

    def finish(self) -> None:
        """The client ends its output."""
        self._arrived += self._splitter.finish()
        self._ended = True
        self._more.set()

    def hold(self) -> None:
        """From now on nothing is read."""
        self._reading = anyio.Event()

    def let_go(self) -> None:
        """Everything is read again."""
        self._reading.set()

    def record(self, data: bytes, *, sent: bool) -> None:
        try:
            message = json.loads(data)
        except (ValueError, RecursionError):
            message = None
        self.lines.append(Line(len(self.lines), time.monotonic(), sent, data, message))


class WireClient:
    """Says things to a connection, and finds what it answered."""

    def __init__(self, transport: MemoryTransport, connection: Connection) -> None:
        self.transport = transport
        self.connection = connection
        self._ids = itertools.count(1000)

    @property
    def received(self) -> list[dict[str, Any]]:
        """Every message of the agent so far."""
        return [line.message for line in self.transport.lines if not line.sent]

    def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        for line in data.splitlines(keepends=True):
            self.transport.record(line, sent=True)
        self.transport.feed(data)

    def send(self, message: Any) -> None:
        """One message."""
        self.raw(json.dumps(message).encode() + b"\n")

    def notify(self, method: str, parameters: Mapping[str, Any]) -> None:
        """A notification."""
        self.send({"jsonrpc": "2.0", "method": method, "params": parameters})

    def ask(self, method: str, parameters: Mapping[str, Any], message_id: Any = None) -> Any:
        """A request; returns its id without waiting for the answer."""
        asked = next(self._ids) if message_id is None else message_id
        self.send({"jsonrpc": "2.0", "id": asked, "method": method, "params": parameters})
        return asked

    async def call(self, method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """A request and its answer, `result` or `error` included."""
        return await self.answer(self.ask(method, parameters))

    async def answer(self, message_id: Any) -> dict[str, Any]:
        """The answer to the request `message_id`."""
        found = await self.until(lambda: self.answers(message_id))
        return dict(found[0])

    def answers(self, message_id: Any) -> list[dict[str, Any]]:
        """Every answer with exactly this id."""
        return [
            message
            for message in self.received
            if "method" not in message and message["id"] == message_id and type(message["id"]) is type(message_id)
        ]

    def updates(self, session_id: str = "s1") -> list[dict[str, Any]]:
        """The updates of a session."""
        return [
            message["params"]["update"]
            for message in self.received
            if message.get("method") == "session/update" and message["params"]["sessionId"] == session_id
        ]

    def text(self, session_id: str = "s1") -> str:
        """The words of the agent."""
        return "".join(
            update["content"]["text"]
            for update in self.updates(session_id)
            if update["sessionUpdate"] == "agent_message_chunk"
        )

    def asked(self, method: str) -> list[dict[str, Any]]:
        """Requests and notifications of the agent with that method."""
        return [message for message in self.received if message.get("method") == method]

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Wait until `condition` gives something true, asked after every write; returns it."""
        with anyio.fail_after(PATIENCE):
            while not (found := condition()):
                await self.transport.changed.wait()
        return found


@asynccontextmanager
async def wired(
    methods: Mapping[str, Method[Any]], *, initialized: Mapping[str, Any] | None = HELLO, conforming: bool = True
) -> AsyncIterator[WireClient]:
    """A client at a connection that serves `methods`; at the end every line of the agent is checked.

    `conforming=False` where a test makes the agent say what an agent must not.
    """
    transport = MemoryTransport()
    connection = Connection(transport, methods, initialized=initialized)
    client = WireClient(transport, connection)
    async with anyio.create_task_group() as group:
        group.start_soon(connection.serve)
        yield client
        transport.let_go()
        transport.finish()
        with anyio.fail_after(PATIENCE):
            await connection.over.wait()
    if conforming:
        assert complaints(transport.lines, SCHEMA) == []


def chunk(text: str, kind: str = "agent_message_chunk", **more: Any) -> dict[str, Any]:
    """An update with words."""
    return {"sessionUpdate": kind, "content": {"type": "text", "text": text}, **more}


def method(answer: Callable[[Any, Call], Awaitable[Any]], model: type[Params]) -> Method[Any]:
    """A method from its function."""
    return Method(model, answer)
