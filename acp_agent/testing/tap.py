"""The raw record of a connection: every line of both directions as bytes, in order, each with its time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

LONGEST_LINE = 64 * 1024 * 1024
"""Bytes of a line that are still read; the agent promises far less."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line as it went over the wire.

    `number` counts the lines of both directions, `at` is `time.monotonic()`, `sent` is true for what the editor said.
    `data` comes with its newline; `message` is what it parses to, None where it is no JSON.
    """

    number: int
    at: float
    sent: bool
    data: bytes
    message: Any


class RawError(Exception):
    """An error answer: `code`, `message` and `data` as they came."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.data = data


class TappedTransport:
    """Newline-delimited JSON over byte streams, every line on record before anybody acts on it.

    It is the SDK's `Transport`. Requests made with `request` have ids of their own kind; their answers are taken out
    here and never reach the SDK. `on_line` is called for every line of both directions, and once with None at the end.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, on_line: Callable[[Line | None], None]
    ) -> None:
        self.lines: list[Line] = []
        self.ended = False
        self._reader = reader
        self._writer = writer
        self._on_line = on_line
        self._own: dict[str, asyncio.Future[Any]] = {}
        self._count = 0

    async def send(self, message: dict[str, Any]) -> None:
        """One message of the SDK. The answer to a question of an agent that is gone meanwhile is dropped."""
        data = json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        with contextlib.nullcontext() if "method" in message else contextlib.suppress(ConnectionError):
            await self.send_line(data)

    async def send_line(self, data: bytes) -> None:
        """Bytes as they are, well-formed or not. Raises ConnectionError when the agent is gone."""
        self._record(data, sent=True)
        self._writer.write(data)
        await self._writer.drain()

    async def request(self, method: str, params: Any) -> Any:
        """A request past the SDK: its result as it came. Raises RawError, ConnectionError."""
        if self.ended:
            raise ConnectionError("the agent is gone")
        self._count += 1
        message_id = f"raw-{self._count}"
        self._own[message_id] = asyncio.get_running_loop().create_future()
        try:
            await self.send({"jsonrpc": "2.0", "id": message_id, "method": method, "params": params})
            return await self._own[message_id]
        finally:
            del self._own[message_id]

    async def receive(self) -> dict[str, Any] | None:
        """The next message for the SDK; None at the end."""
        while data := await self._read_line():
            line = self._record(data, sent=False)
            if isinstance(line.message, dict) and not self._is_own(line.message):
                return line.message
        self.ended = True
        for answer in self._own.values():
            if not answer.done():
                answer.set_exception(ConnectionError("the agent is gone"))
        self._on_line(None)
        return None

    async def close(self) -> None:
        """End what the agent reads."""
        self._writer.close()

    async def _read_line(self) -> bytes:
        try:
            return await self._reader.readline()
        except ConnectionError:
            return b""

    def _record(self, data: bytes, *, sent: bool) -> Line:
        try:
            message = json.loads(data)
        except (ValueError, RecursionError):
            message = None
        line = Line(len(self.lines), time.monotonic(), sent, data, message)
        self.lines.append(line)
        self._on_line(line)
        return line

    def _is_own(self, message: Mapping[str, Any]) -> bool:
        """True for what the SDK's client knows no way with: answers to `request`, and what any side may send."""
        if str(message.get("method")).startswith("$/"):
            return True
        answer = self._own.get(str(message.get("id"))) if "method" not in message else None
        if answer is None:
            return False
        if answer.done():
            return True
        if "error" in message:
            error = message["error"]
            answer.set_exception(RawError(error.get("code"), error.get("message"), error.get("data")))
        else:
            answer.set_result(message.get("result"))
        return True
