"""Runs one program to its end or its limit: output bounded, time bounded, and no process left behind."""

import contextlib
import fcntl
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import anyio
from anyio.lowlevel import checkpoint

from acp_agent.domain.errors import ToolError
from acp_agent.domain.progress import moved
from acp_agent.tools.sandbox.watch import exceeded

TAG = "ACP_COMMAND_ID"
"""The variable that marks what a command started, where no process namespace holds it."""
_CHUNK = 1 << 18
_PIPE_SIZE = 1 << 20
_AFTER_END = 0.5
_AFTER_KILL = 5.0
_AFTER_TERM = 2.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds, and bytes of output to keep from its `head` and `tail`. Without a tail the program is stopped when full.

    `sweep` also kills what left the process group, for programs that no process namespace contains (Linux only). A
    `supervised` program ends its own when told to (SIGTERM) and has two seconds for it. `memory` in bytes and
    `processes` are for all that it starts together.
    """

    timeout: float
    head: int = 16_000
    tail: int = 16_000
    sweep: bool = False
    supervised: bool = False
    memory: int = sys.maxsize
    processes: int = sys.maxsize


Stopped = Literal["time", "memory", "processes"]


@dataclass(frozen=True, slots=True)
class Captured:
    """How a program ended. `exit_status` is 128 + signal where a signal ended it, None where we did.

    `stopped` is the limit that made us.
    """

    exit_status: int | None
    head: bytes
    tail: bytes
    total: int
    seconds: float
    stopped: Stopped | None = None

    @property
    def timed_out(self) -> bool:
        """Whether it took too long."""
        return self.stopped == "time"

    @property
    def omitted(self) -> int:
        """Bytes of output that were not kept."""
        return self.total - len(self.head) - len(self.tail)


class _Output:
    """Head and tail of a stream, and how long it was."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.head = bytearray()
        self.total = 0
        self._tail = bytearray()

    @property
    def full(self) -> bool:
        return self.bounds.tail == 0 and self.total >= self.bounds.head

    @property
    def tail(self) -> bytes:
        return bytes(self._tail[-self.bounds.tail :]) if self.bounds.tail else b""

    def feed(self, data: bytes) -> None:
        self.total += len(data)
        room = self.bounds.head - len(self.head)
        self.head += data[:room]
        if self.bounds.tail:
            self._tail += data[room:][-self.bounds.tail :]
            if len(self._tail) > 4 * self.bounds.tail:
                del self._tail[: -self.bounds.tail]


async def run_program(
    argv: Sequence[str], *, cwd: Path, environment: Mapping[str, str], bounds: Bounds, stdin: bytes = b""
) -> Captured:
    """Run `argv` in a session of its own, stdout and stderr as one stream, until it ends or `bounds` stop it.

    However this returns or raises (cancellation too), its process group is killed, and waited for. Raises ToolError
    where the program cannot be started.
    """
    started = time.monotonic()
    output = _Output(bounds)
    excess: list[Stopped] = []
    tag = secrets.token_hex(8)
    with _pipe() as (reading, ends), _input(stdin) as source:
        process = _start(argv, cwd, {**environment, TAG: tag} if bounds.sweep else environment, source, ends)
        try:
            with anyio.move_on_after(bounds.timeout) as limit:
                await _follow(process, reading, output, excess)
        finally:
            if process.returncode is None:
                if bounds.supervised:
                    await _asked_to_end(process)
                else:
                    kill_group(process.pid)
            if bounds.sweep:
                sweep(tag)
            with anyio.CancelScope(shield=True), anyio.move_on_after(_AFTER_KILL):
                await _ended(process)
                await _closed(reading)
    if limit.cancelled_caught:
        excess.append("time")
    status = None if excess or output.full or process.returncode is None else process.returncode
    if status is not None and status < 0:
        status = 128 - status
    seconds = time.monotonic() - started
    return Captured(status, bytes(output.head), output.tail, output.total, seconds, excess[0] if excess else None)


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, list[int]]]:
    """A pipe that we own, so that a daemon which keeps it open cannot keep us. The start closes the writing end."""
    reading, writing = os.pipe()
    ends = [writing]
    try:
        os.set_blocking(reading, False)
        if sys.platform == "linux":
            # A larger pipe halves the wake-ups of a flood; an unprivileged user may have used up the allowance.
            with contextlib.suppress(PermissionError):
                fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
        yield reading, ends
    finally:
        for end in (reading, *ends):
            os.close(end)


@contextlib.contextmanager
def _input(data: bytes) -> Iterator[int]:
    if not data:
        yield subprocess.DEVNULL
        return
    # A file rather than a pipe: whole at once, and nobody has to feed it.
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        yield file.fileno()


def _start(
    argv: Sequence[str], cwd: Path, environment: Mapping[str, str], source: int, ends: list[int]
) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            argv,
            cwd=cwd,
            env=environment,
            stdin=source,
            stdout=ends[0],
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        # ValueError: a NUL character in it.
        what = error.strerror if isinstance(error, OSError) else error
        raise ToolError(f"{Path(argv[0]).name} cannot be started: {what}.", kind="not_started") from None
    finally:
        os.close(ends.pop())


async def _follow(process: "subprocess.Popen[bytes]", reading: int, output: _Output, excess: list[Stopped]) -> None:
    """Read until the program has ended and its output too; a daemon that holds the pipe gets half a second more.

    A limit of the whole tree that does not hold ends it too, and is added to `excess`.
    """
    finished = anyio.Event()
    async with anyio.create_task_group() as tasks:

        async def read() -> None:
            async for data in _chunks(reading):
                output.feed(data)
                moved()
                if output.full:
                    tasks.cancel_scope.cancel()
                    return
            finished.set()

        async def watch() -> None:
            bounds = output.bounds
            excess.append(await exceeded(process.pid, bounds.memory, bounds.processes))
            tasks.cancel_scope.cancel()

        tasks.start_soon(read)
        if output.bounds.memory < sys.maxsize:
            tasks.start_soon(watch)
        await _ended(process)
        with anyio.move_on_after(_AFTER_END):
            await finished.wait()
        tasks.cancel_scope.cancel()


async def _chunks(reading: int) -> AsyncIterator[bytes]:
    while True:
        try:
            data = os.read(reading, _CHUNK)
        except BlockingIOError:
            await anyio.wait_readable(reading)
            continue
        if not data:
            return
        yield data
        # A flood never blocks the read above; others must have their turn, and cancellation too.
        await checkpoint()


async def _asked_to_end(process: "subprocess.Popen[bytes]") -> None:
    """SIGTERM, and time to end what it started: it knows its own better than anybody outside can."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    with anyio.CancelScope(shield=True), anyio.move_on_after(_AFTER_TERM):
        await _ended(process)
        return
    kill_group(process.pid)


async def _closed(reading: int) -> None:
    """Return when nobody can write to the pipe any more: all that held it are gone."""
    with anyio.move_on_after(_AFTER_END):
        async for _ in _chunks(reading):
            continue


async def _ended(process: "subprocess.Popen[bytes]") -> None:
    """Return when the program has ended, without a thread where the system has descriptors for processes."""
    if process.returncode is None and sys.platform == "linux":
        descriptor = os.pidfd_open(process.pid)
        try:
            await anyio.wait_readable(descriptor)
        finally:
            os.close(descriptor)
        # Before it is reaped: until then its process group cannot be somebody else's.
        kill_group(process.pid)
    while process.poll() is None:  # noqa: ASYNC110  (elsewhere there is nothing to wait on)
        await anyio.sleep(0.02)


def kill_group(leader: int) -> None:
    """Kill a process group, if it is there and ours."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def sweep(tag: str) -> None:
    """Kill all that carry `tag` in their environment, until a look finds none: they may be forking meanwhile."""
    wanted = f"{TAG}={tag}".encode()
    for _ in range(50):
        found = [pid for pid in _pids() if wanted in _environment_of(pid)]
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()] if os.path.isdir("/proc") else []


def _environment_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
