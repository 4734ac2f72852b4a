"""Every kind of descriptor carries lines, and none of them blocks the event loop."""

import json
import os
import pty
import socket
import threading
import time
import tty
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from pathlib import Path

import anyio
import pytest

from acp_agent.surfaces.acp.descriptors import DescriptorTransport
from acp_agent.surfaces.acp.framing import Oversized

LARGE = [b"%07d" % number * 100_000 for number in range(8)]


class Collector:
    """Reads a descriptor in a thread, at the pace the test wants."""

    def __init__(self, descriptor: int, *, pause: float = 0.0, size: int = 65536) -> None:
        self.data = bytearray()
        self._descriptor = descriptor
        self._pause = pause
        self._size = size
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                data = os.read(self._descriptor, self._size)
            except OSError:
                return
            if not data:
                return
            self.data += data
            time.sleep(self._pause)

    def joined(self) -> bytes:
        """Everything, once the other end is closed."""
        self._thread.join(60)
        assert not self._thread.is_alive()
        return bytes(self.data)


@pytest.fixture
def stack() -> Generator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def pipe(stack: ExitStack) -> tuple[int, int]:
    reads, writes = os.pipe()
    stack.callback(os.close, reads)
    return reads, writes


def socket_pair(stack: ExitStack) -> tuple[int, int]:
    ours, theirs = socket.socketpair()
    stack.callback(os.close, fd := ours.detach())
    return fd, theirs.detach()


def terminal(stack: ExitStack) -> tuple[int, int]:
    master, slave = pty.openpty()
    tty.setraw(slave)
    stack.callback(os.close, master)
    return master, slave


PAIRS: list[Callable[[ExitStack], tuple[int, int]]] = [pipe, socket_pair, terminal]


@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize("pair", PAIRS)
async def test_large_lines_go_out_whole_and_the_descriptor_keeps_its_mode(
    pair: Callable[[ExitStack], tuple[int, int]], blocking: bool, stack: ExitStack
) -> None:
    theirs, ours = pair(stack)
    witness = os.dup(ours)
    os.set_blocking(ours, blocking)
    collector = Collector(theirs)
    transport = DescriptorTransport(os.open(os.devnull, os.O_RDONLY), ours)
    for _ in range(3):
        await transport.send(LARGE)
    assert os.get_blocking(witness) is blocking
    transport.close()
    os.close(witness)
    assert collector.joined() == b"".join(line + b"\n" for line in LARGE) * 3


@pytest.mark.parametrize("pair", PAIRS)
async def test_a_reader_that_reads_nothing_stops_the_writer_and_not_the_loop(
    pair: Callable[[ExitStack], tuple[int, int]], stack: ExitStack
) -> None:
    _, ours = pair(stack)
    transport = DescriptorTransport(os.open(os.devnull, os.O_RDONLY), ours)
    with anyio.move_on_after(0.2) as scope:
        await transport.send(LARGE)
    assert scope.cancelled_caught
    transport.close()


@pytest.mark.parametrize("pair", PAIRS)
async def test_lines_come_in_however_they_are_cut(
    pair: Callable[[ExitStack], tuple[int, int]], stack: ExitStack
) -> None:
    theirs, ours = pair(stack)
    if pair is pipe:
        theirs, ours = os.dup(ours), os.dup(theirs)
        stack.callback(os.close, theirs)
    transport = DescriptorTransport(ours, os.open(os.devnull, os.O_WRONLY), b"ahead\nhal", limit=100)
    assert await transport.receive() == [b"ahead"]
    os.write(theirs, b"f\n")
    assert await transport.receive() == [b"half"]
    os.write(theirs, b"x" * 150)
    os.write(theirs, b"x\nlast\n")
    found: list[bytes | Oversized] = []
    while len(found) < 2:
        found += await transport.receive()
    assert found == [Oversized(100), b"last"]
    transport.close()


@pytest.mark.parametrize("pair", [socket_pair, terminal])
async def test_a_hang_up_is_the_end_of_input(pair: Callable[[ExitStack], tuple[int, int]], stack: ExitStack) -> None:
    _, ours = pair(stack)
    with closing(DescriptorTransport(ours, os.open(os.devnull, os.O_WRONLY))) as transport:
        stack.close()
        assert await transport.receive() == []
        assert await transport.receive() == []


async def test_the_end_of_a_pipe_ends_its_last_line() -> None:
    reads, writes = os.pipe()
    with closing(DescriptorTransport(reads, os.open(os.devnull, os.O_WRONLY))) as transport:
        os.write(writes, b"a\nb")
        os.close(writes)
        assert [await transport.receive() for _ in range(3)] == [[b"a"], [b"b"], []]


async def test_files_and_dev_null_are_read_and_written(tmp_path: Path) -> None:
    asked = tmp_path / "in"
    asked.write_bytes(b"a\n" * 200_000 + b"end")
    reads = os.open(asked, os.O_RDONLY)
    writes = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    with closing(DescriptorTransport(reads, writes)) as transport:
        found: list[bytes | Oversized] = []
        while lines := await transport.receive():
            found += lines
        assert found == [b"a"] * 200_000 + [b"end"]
        await transport.send(LARGE)
    assert (tmp_path / "out").read_bytes() == b"".join(line + b"\n" for line in LARGE)
    null = DescriptorTransport(os.open(os.devnull, os.O_RDONLY), os.open(os.devnull, os.O_WRONLY))
    with closing(null) as transport:
        assert await transport.receive() == []
        await transport.send(LARGE)


@pytest.mark.parametrize("pair", [pipe, socket_pair])
async def test_a_reader_that_is_gone_is_an_error(pair: Callable[[ExitStack], tuple[int, int]]) -> None:
    stack = ExitStack()
    _, ours = pair(stack)
    stack.close()
    with (
        closing(DescriptorTransport(os.open(os.devnull, os.O_RDONLY), ours)) as transport,
        pytest.raises(OSError, match=r"Broken pipe|reset"),
    ):
        await transport.send([b"a"])


async def test_a_reader_that_leaves_while_it_is_awaited_is_an_error(stack: ExitStack) -> None:
    reads, writes = os.pipe()
    with closing(DescriptorTransport(os.open(os.devnull, os.O_RDONLY), writes)) as transport:
        async with anyio.create_task_group() as group:

            async def leave() -> None:
                await anyio.sleep(0.02)
                os.close(reads)

            group.start_soon(leave)
            with pytest.raises(BrokenPipeError):
                await transport.send(LARGE)


async def test_a_full_disk_is_an_error() -> None:
    transport = DescriptorTransport(os.open(os.devnull, os.O_RDONLY), os.open("/dev/full", os.O_WRONLY))
    with closing(transport), pytest.raises(OSError, match="No space"):
        await transport.send([b"a"])


async def test_many_small_lines_arrive(stack: ExitStack) -> None:
    theirs, ours = pipe(stack)
    collector = Collector(theirs)
    line = json.dumps({"jsonrpc": "2.0", "method": "session/update", "params": {"a": "x" * 60}}).encode()
    with closing(DescriptorTransport(os.open(os.devnull, os.O_RDONLY), ours)) as transport:
        for _ in range(5_000):
            await transport.send([line])
    assert len(collector.joined()) == 5_000 * (len(line) + 1)
