"""Server-sent events out of bytes, however the network cut them. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

LARGEST_EVENT = 32 * 1024 * 1024
"""Bytes; a provider that sends more in one event is broken."""

_BOM = b"\xef\xbb\xbf"


class ServerEvent(NamedTuple):
    """One event: its name (`message` unless the server said another) and its data."""

    name: str
    data: str


class EventParser:
    """An incremental parser: any split of the same bytes gives the same events."""

    def __init__(self) -> None:
        self._tail: list[bytes] = []
        self._tail_size = 0
        self._after_return = False
        self._started = False
        self._data: list[bytes] = []
        self._size = 0
        self._name = b""

    def feed(self, piece: bytes) -> Iterator[ServerEvent]:
        """The events that are complete with `piece`. Raises ValueError for one past the largest size."""
        if not piece:
            return
        if self._is_plain(piece):
            self._started = True
            yield from (ServerEvent("message", block[6:].decode("utf-8", "replace")) for block in _blocks(piece))
            return
        if self._after_return:
            piece = piece.removeprefix(b"\n")
            self._after_return = False
        for line in piece.splitlines(keepends=True):
            ended = line.endswith((b"\n", b"\r"))
            self._grow(len(line))
            self._tail.append(line)
            if ended:
                # A line feed that follows belongs to this line's end even when it comes with the next piece.
                self._after_return = line.endswith(b"\r")
                yield from self._line(self._take().rstrip(b"\r\n"))
        if not piece.endswith(b"\r"):
            self._after_return = False

    def close(self) -> Iterator[ServerEvent]:
        """What the end of the stream completes: servers forget the last blank line, and even the last line's end."""
        if self._tail:
            yield from self._line(self._take())
        yield from self._line(b"")

    def _is_plain(self, piece: bytes) -> bool:
        """Whether it is whole events of one `data: ` line each, as most servers send them: taken the short way."""
        between = self._tail or self._data or self._name or self._after_return
        return (
            not between
            and piece.startswith(b"data: ")
            and piece.endswith(b"\n\n")
            and piece.count(b"\n") == 2 * piece.count(b"\n\ndata: ") + 2
            and b"\r" not in piece
            and len(piece) <= LARGEST_EVENT
        )

    def _grow(self, size: int) -> None:
        self._tail_size += size
        if self._tail_size + self._size > LARGEST_EVENT:
            raise ValueError(f"an event of more than {LARGEST_EVENT} bytes")

    def _take(self) -> bytes:
        line = b"".join(self._tail)
        self._tail.clear()
        self._tail_size = 0
        if not self._started:
            self._started = True
            line = line.removeprefix(_BOM)
        return line

    def _line(self, line: bytes) -> Iterator[ServerEvent]:
        if not line:
            if self._data:
                yield ServerEvent(self._name.decode("utf-8", "replace") or "message", self._text())
            self._data, self._size, self._name = [], 0, b""
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._size += len(value)
        elif field == b"event":
            self._name = value

    def _text(self) -> str:
        return b"\n".join(self._data).decode("utf-8", "replace")


def _blocks(piece: bytes) -> list[bytes]:
    return piece[:-2].split(b"\n\n")
