"""HTTP/1.1 on one accepted connection: requests come in, bytes go out, and a client that leaves is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True)
class Message:
    """One HTTP request as it came; header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def keeps_alive(self) -> bool:
        """True when the client may send another request here."""
        return self.headers.get("connection", "").lower() != "close"


class Connection:
    """A keep-alive connection; whoever serves it owns it. Losing the client raises ConnectionError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        writer.transport.set_write_buffer_limits(high=0)  # drain waits until the kernel has everything

    async def receive(self) -> Message | None:
        """The next request; None when the client has closed."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if headers.get("expect", "").lower() == "100-continue":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            body = await self._body(headers)
        except ValueError as error:
            raise ConnectionError(f"not HTTP: {error}") from error
        method, _, rest = first.partition(" ")
        return Message(method, rest.partition(" ")[0].partition("?")[0], headers, body)

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        if "chunked" not in headers.get("transfer-encoding", "").lower():
            return await self._reader.readexactly(int(headers.get("content-length", "0")))
        pieces = []
        while size := int(await self._reader.readline(), 16):
            pieces.append(await self._reader.readexactly(size))
            await self._reader.readline()
        await self._reader.readline()
        return b"".join(pieces)

    def write(self, data: bytes) -> None:
        """Send soon."""
        self._writer.write(data)

    def write_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the status line and the headers."""
        phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Injected"
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.write(f"HTTP/1.1 {status} {phrase}\r\n{lines}\r\n".encode("latin-1"))

    async def flush(self) -> None:
        """Wait until the kernel has taken everything written."""
        await self._writer.drain()

    async def pause(self, seconds: float) -> None:
        """Flush and wait; a client that leaves meanwhile ends the wait with ConnectionResetError."""
        await self.flush()
        early = b""
        try:
            async with asyncio.timeout(seconds):
                while data := await self._reader.read(65536):
                    early += data
                raise ConnectionResetError("the client left while it waited")
        except TimeoutError:
            if early:  # the next request, sent ahead: put it back
                self._reader.feed_data(early)

    async def cut(self) -> None:
        """Let the client have what was written, then drop the connection without a goodbye."""
        await self.flush()
        self.abort()

    def abort(self) -> None:
        """Drop the connection now."""
        self._writer.transport.abort()

    def close(self) -> None:
        """Close after what was written."""
        self._writer.close()
