"""`acp` as a real process that has nothing left to import: forked from one that has imported the package already.

    ended = warm.run("ps", cwd=folder, environment=environment)
    assert ended.returncode == 0, ended.stderr

A start of `acp` is most of a second of imports, and a suite makes hundreds. Here the first one starts a nursery: a
process of one thread that imports the package, without the libraries that `acp` itself imports only when they are
needed. Each start is then a fork of it, which becomes `python -m acp_agent.main WORDS` in everything it can be told:
words, environment, directory, descriptors, a session of its own, signals, exit code.

What it cannot show is what a fresh interpreter does: imports and their time, and variables that Python reads at its
start. Its environment in /proc is that of the nursery, so that `killer.leftovers` finds what it started, not itself.
Tests of these things start a cold one, as a person does.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

PROGRAM = "acp, warm"
"""As the first word of a command: `Victim` and `AgentProcess` start the rest this way."""
_ROOT = Path(__file__).resolve().parents[2]


class Nursery:
    """The process that imports and forks, and the way to ask it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # A file descriptor in place of a terminal: what is forked takes over how it was opened.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "acp_agent.testing.nursery", str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": str(_ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._control = ours
        self._lock = threading.Lock()
        atexit.register(self.close)

    def close(self) -> None:
        """End it; what it forked goes on."""
        self._control.close()
        self._process.wait()

    def start(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        cwd: Path | str | None,
        descriptors: tuple[int, int, int],
    ) -> tuple[int, int]:
        """Start `acp` with `words`; its process id, and a descriptor at which `exit_code` reads how it ends."""
        told = {"words": list(words), "environment": dict(environment), "cwd": str(cwd or Path.cwd())}
        reads, writes = os.pipe()
        with tempfile.TemporaryFile() as letter:
            letter.write(json.dumps(told).encode())
            letter.seek(0)
            with self._lock:
                socket.send_fds(self._control, [b"!"], [letter.fileno(), writes, *descriptors])
            os.close(writes)
        return _number(_line(reads), "began"), reads


def exit_code(said: int, timeout: float | None = None) -> int | None:
    """Wait for the end and close the descriptor; negative for a signal, None when `timeout` seconds were not enough."""
    with selectors.DefaultSelector() as selector:
        selector.register(said, selectors.EVENT_READ)
        if not selector.select(timeout):
            return None
    code = _number(_line(said), "ended")
    os.close(said)
    return code


def _line(descriptor: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        if not (byte := os.read(descriptor, 1)):
            raise RuntimeError("the nursery is gone; what it died of is on stderr")
        line += byte
    return line


def _number(line: bytes, expected: str) -> int:
    word, _, number = line.decode().partition(" ")
    if word != expected:
        raise RuntimeError(f"a start has failed in the nursery, which says on stderr why: {line!r}")
    return int(number)


_nurseries: list[Nursery] = []
_making = threading.Lock()


def nursery() -> Nursery:
    """The nursery of this process."""
    with _making:
        if not _nurseries:
            _nurseries.append(Nursery())
        return _nurseries[0]


def run(
    *words: str, cwd: Path | str, environment: Mapping[str, str], stdin: str = "", timeout: float = 90.0
) -> subprocess.CompletedProcess[str]:
    """Run `acp` to its end with exactly `environment`; it is killed after `timeout` seconds, with TimeoutExpired."""
    with ExitStack() as stack:
        files: list[IO[bytes]] = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        files[0].write(stdin.encode())
        files[0].seek(0)
        asked, out, errors = (file.fileno() for file in files)
        pid, said = nursery().start(words, environment, cwd, (asked, out, errors))
        code = exit_code(said, timeout)
        if code is None:
            os.killpg(pid, signal.SIGKILL)
            exit_code(said)
            raise subprocess.TimeoutExpired(["acp", *words], timeout)
        texts = []
        for file in files[1:]:
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
    return subprocess.CompletedProcess(["acp", *words], code, *texts)


class WarmPopen:
    """What `subprocess.Popen` is of a cold one, at three pipes."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], cwd: Path | str | None) -> None:
        """Start `acp` with exactly `environment`."""
        (asked, asks), (tells, told), (complains, complained) = os.pipe(), os.pipe(), os.pipe()
        self.args = ["acp", *words]
        self.pid, self._said = nursery().start(words, environment, cwd, (asked, told, complained))
        for theirs in (asked, told, complained):
            os.close(theirs)
        self.stdin: IO[bytes] | None = os.fdopen(asks, "wb")
        self.stdout: IO[bytes] | None = os.fdopen(tells, "rb")
        self.stderr: IO[bytes] | None = os.fdopen(complains, "rb")
        # None until the end, typed as that of Popen is.
        self.returncode: Any = None

    def wait(self) -> int:
        """Wait for its end, in one thread only; the exit code, negative for a signal."""
        self.returncode = exit_code(self._said)
        return int(self.returncode)


class WarmProcess:
    """What `asyncio.subprocess.Process` is of a cold one, at three pipes."""

    def __init__(self, pid: int, stdin: asyncio.StreamWriter, stdout: asyncio.StreamReader) -> None:
        self.pid = pid
        self.stdin: asyncio.StreamWriter | None = stdin
        self.stdout: asyncio.StreamReader | None = stdout
        self.stderr: asyncio.StreamReader | None = None
        self.returncode: int | None = None
        self._ending: asyncio.Task[int] | None = None
        self._pipes: list[asyncio.BaseTransport] = []

    @classmethod
    async def start(
        cls, words: Sequence[str], environment: Mapping[str, str], cwd: Path | str | None, limit: int
    ) -> WarmProcess:
        """Start `acp` with exactly `environment`; no line of it may be longer than `limit` bytes."""
        (asked, asks), (tells, told), (complains, complained) = os.pipe(), os.pipe(), os.pipe()
        pid, said = await asyncio.to_thread(nursery().start, words, environment, cwd, (asked, told, complained))
        for theirs in (asked, told, complained):
            os.close(theirs)
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(asks, "wb"))
        writer = asyncio.StreamWriter(transport, protocol, None, loop)
        stdout, tells_it = await _reader(tells, limit)
        stderr, complains_by = await _reader(complains, limit)
        end, says_it = await _reader(said, limit)
        process = cls(pid, writer, stdout)
        process.stderr = stderr
        process._pipes = [transport, tells_it, complains_by, says_it]
        process._ending = asyncio.create_task(process._end(end))
        return process

    async def close(self) -> None:
        """Wait for its end and close its pipes, read to their ends or not."""
        await self.wait()
        for pipe in self._pipes:
            pipe.close()
        # They are closed by the event loop, which may be about to end.
        await asyncio.sleep(0)

    async def wait(self) -> int:
        """Its exit code, negative for a signal."""
        assert self._ending is not None
        return await asyncio.shield(self._ending)

    async def _end(self, said: asyncio.StreamReader) -> int:
        self.returncode = _number(await said.readline(), "ended")
        return self.returncode


async def _reader(descriptor: int, limit: int) -> tuple[asyncio.StreamReader, asyncio.BaseTransport]:
    reader = asyncio.StreamReader(limit=limit)
    pipe = os.fdopen(descriptor, "rb")
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader, transport
