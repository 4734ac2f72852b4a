"""The transport over two descriptors: pipe, socket, terminal or file, blocking or not, each the way it allows.

A descriptor is shared with whoever started us (and a terminal with a whole shell), so its blocking mode is never
changed. What must not block is instead asked for in amounts that cannot.
"""

import errno
import os
import select
import socket
import stat
from collections.abc import Callable, Sequence

import anyio
import anyio.lowlevel

from acp_agent.surfaces.acp.framing import LONGEST_LINE_IN, LineSplitter, Oversized

_READ_SIZE = 256 * 1024
_WRITE_SIZE = 256 * 1024
_HUNG_UP = frozenset({errno.EIO, errno.ECONNRESET})

WriteSome = Callable[[memoryview], int]
"""Writes what fits now and says how much; raises BlockingIOError when nothing does."""


class DescriptorTransport:
    """Lines over `reads` and `writes`; `leftover` was read ahead by stage one. Owns both and closes them."""

    def __init__(self, reads: int, writes: int, leftover: bytes = b"", *, limit: int = LONGEST_LINE_IN) -> None:
        self._reads = reads
        self._leftover = leftover
        self._lines = LineSplitter(limit)
        self._reads_wait = _can_wait(reads)
        self._sink = _Sink(writes)
        self._ended = False

    async def receive(self) -> list[bytes | Oversized]:
        """The next lines; an empty list is the end of input."""
        while not self._ended:
            data = await self._read()
            self._ended = not data
            if lines := self._lines.feed(data) if data else self._lines.finish():
                return lines
        return []

    async def send(self, messages: Sequence[bytes]) -> None:
        """Write each message and a newline."""
        await self._sink.write(b"\n".join([*messages, b""]))

    def close(self) -> None:
        """Close both descriptors."""
        os.close(self._reads)
        self._sink.close()

    async def _read(self) -> bytes:
        if self._leftover:
            leftover, self._leftover = self._leftover, b""
            return leftover
        while True:
            if self._reads_wait:
                await anyio.wait_readable(self._reads)
            else:
                await anyio.lowlevel.checkpoint()
            try:
                return os.read(self._reads, _READ_SIZE)
            except BlockingIOError:
                continue
            except OSError as error:
                if error.errno in _HUNG_UP:
                    return b""
                raise


class _Sink:
    """Writes everything in order; waits only when the reader has no room."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._socket: socket.socket | None = None
        self._poll = select.poll()
        self._write_some = self._chosen()

    async def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[self._write_some(left) :]
            except BlockingIOError:
                await anyio.wait_writable(self._descriptor)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        else:
            os.close(self._descriptor)

    def _chosen(self) -> WriteSome:
        mode = os.fstat(self._descriptor).st_mode
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=self._descriptor)
            return self._send
        if os.isatty(self._descriptor):
            return self._write if self._reopen_terminal() else self._write_little
        if stat.S_ISFIFO(mode):
            self._poll.register(self._descriptor, select.POLLOUT)
            return self._write_little
        return self._write

    def _reopen_terminal(self) -> bool:
        """Open the terminal anew: only the new opening becomes non-blocking, not the one the shell shares."""
        try:
            own = os.open(os.ttyname(self._descriptor), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            self._poll.register(self._descriptor, select.POLLOUT)
            return False
        os.close(self._descriptor)
        self._descriptor = own
        return True

    def _send(self, data: memoryview) -> int:
        assert self._socket is not None
        return self._socket.send(data[:_WRITE_SIZE], socket.MSG_DONTWAIT)

    def _write(self, data: memoryview) -> int:
        return os.write(self._descriptor, data[:_WRITE_SIZE])

    def _write_little(self, data: memoryview) -> int:
        # POSIX: what polls as writable takes PIPE_BUF bytes without blocking.
        if not self._poll.poll(0):
            raise BlockingIOError
        return os.write(self._descriptor, data[: select.PIPE_BUF])


def _can_wait(descriptor: int) -> bool:
    """False for what is always ready and which an event loop refuses to watch: a file, a device such as /dev/null."""
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)
