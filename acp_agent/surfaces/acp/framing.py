"""Bytes into lines: splits a stream at newlines, and passes over a line that is too long without keeping it."""

from dataclasses import dataclass

LONGEST_LINE_IN = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Oversized:
    """Stands where a line longer than `limit` bytes was."""

    limit: int


class LineSplitter:
    """Takes bytes in any pieces, gives whole lines without their newline. Keeps at most `limit` bytes."""

    def __init__(self, limit: int = LONGEST_LINE_IN) -> None:
        self._limit = limit
        self._pending = bytearray()
        self._passing_over = False

    def feed(self, data: bytes) -> list[bytes | Oversized]:
        """The lines that `data` completes, in order."""
        *ends, rest = data.split(b"\n")
        lines = [self._complete(end) for end in ends]
        self._keep(rest)
        return lines

    def finish(self) -> list[bytes | Oversized]:
        """What is left at the end of the stream: a last line without a newline counts."""
        return [self._complete(b"")] if self._pending or self._passing_over else []

    def _complete(self, end: bytes) -> bytes | Oversized:
        if not self._pending and not self._passing_over and len(end) <= self._limit:
            return end
        self._keep(end)
        if self._passing_over:
            self._passing_over = False
            return Oversized(self._limit)
        line = bytes(self._pending)
        self._pending.clear()
        return line

    def _keep(self, data: bytes) -> None:
        if self._passing_over:
            return
        if len(self._pending) + len(data) > self._limit:
            self._pending = bytearray()
            self._passing_over = True
        else:
            self._pending += data
