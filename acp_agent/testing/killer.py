"""Real processes for crash tests: start one, kill it at a moment of the test's choice, see what it left.

    with Victim([sys.executable, "-m", "acp_agent", "worker"]) as victim:
        victim.wait_for_line("READY")
        victim.kill()
        ending = victim.wait()
    assert wait_for_no_leftovers(victim.marker) == []

The process leads a group and a session of its own. `kill` takes the whole group, as a power cut would, or only the
leader, as the out-of-memory killer does. Every process it starts inherits `ACP_TEST_MARKER`, by which `leftovers` finds
the ones that outlived it, in whatever session they are.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import TracebackType
from typing import IO, Literal

from acp_agent.testing import warm

MARKER_VARIABLE = "ACP_TEST_MARKER"
Stream = Literal["stdout", "stderr", "both"]
_POLL = 0.002


@dataclass(frozen=True)
class Ending:
    """How a process ended. `exit_code` is negative for a signal; `killed` is true when `Victim.kill` ended it."""

    exit_code: int
    killed: bool
    elapsed: float
    output: str
    errors: str


@dataclass(frozen=True)
class Leftover:
    """A process that is still alive."""

    pid: int
    command: str


class Victim:
    """A process to be killed. As a context manager it never outlives the block, nor does its group."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path | str | None = None,
        environment: Mapping[str, str] | None = None,
        marker: str | None = None,
    ) -> None:
        """Start it. `environment` is added to this process's own; a command may begin with `warm.PROGRAM`.

        A `marker` that several victims share is given; then `close` leaves what carries it to the test.
        """
        self.marker = marker or uuid.uuid4().hex
        self._owns_marker = marker is None
        self._killed = False
        self._elapsed = 0.0
        self._changed = threading.Condition()
        self._lines: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._open_streams = 2
        self._started = time.monotonic()
        whole = {**os.environ, **(environment or {}), MARKER_VARIABLE: self.marker}
        self.process = _opened([str(word) for word in command], cwd, whole)
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._watch, daemon=True)]
        for name, stream in (("stdout", self.process.stdout), ("stderr", self.process.stderr)):
            self._threads.append(threading.Thread(target=self._read, args=(name, stream), daemon=True))
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """Of the leader; it is the id of the group too."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """True until the leader has ended."""
        return not self._ended.is_set()

    @property
    def elapsed(self) -> float:
        """Seconds since the start, up to the end of the leader."""
        return time.monotonic() - self._started if self.alive else self._elapsed

    @property
    def said(self) -> str:
        """What it has printed on standard output so far."""
        with self._changed:
            return "".join(self._lines["stdout"])

    def send(self, text: str) -> None:
        """Write to its standard input."""
        if self.process.stdin is not None:
            self.process.stdin.write(text.encode())
            self.process.stdin.flush()

    def close_input(self) -> None:
        """End its standard input."""
        if self.process.stdin is not None:
            self.process.stdin.close()

    def wait_for_line(self, pattern: str, timeout: float = 60.0, *, stream: Stream = "stdout") -> re.Match[str]:
        """Wait until a line it prints matches the regular expression; TimeoutError if it ends or stays silent."""
        names = ("stdout", "stderr") if stream == "both" else (stream,)

        def find() -> re.Match[str] | None:
            lines = (line for name in names for line in self._lines[name])
            return next((found for line in lines if (found := re.search(pattern, line))), None)

        with self._changed:
            self._changed.wait_for(lambda: find() is not None or not self._open_streams, timeout)
            if (found := find()) is not None:
                return found
        raise TimeoutError(f"no line like {pattern!r} after {self.elapsed:.1f} s; {self._what_it_said()}")

    def wait_for_file(self, path: Path | str, timeout: float = 60.0, *, contains: str = "") -> None:
        """Wait until the file exists and holds the text."""
        path = Path(path)

        def is_there() -> bool:
            return path.exists() and contains in path.read_text("utf-8", "replace")

        self.wait_until(is_there, timeout, what=f"{path} with {contains!r}")

    def wait_until(self, happened: Callable[[], bool], timeout: float = 60.0, *, what: str = "the event") -> None:
        """Wait until the predicate is true; TimeoutError if the process ends before, or the time is over."""
        deadline = time.monotonic() + timeout
        while not happened():
            ended = self._ended.wait(_POLL)
            if ended and not happened():
                raise TimeoutError(f"the process ended before {what}; {self._what_it_said()}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not come within {timeout} s; {self._what_it_said()}")

    def wait_until_elapsed(self, seconds: float) -> bool:
        """Wait until so long after the start; false when it ended before."""
        return not self._ended.wait(max(0.0, self._started + seconds - time.monotonic()))

    def signal(self, number: signal.Signals, *, whole_group: bool = True) -> bool:
        """Send a signal to the group or only the leader; false when nobody is left to take it.

        SIGSTOP makes a zombie of it that SIGCONT brings back.
        """
        try:
            if whole_group:
                os.killpg(self.pid, number)
            elif self.alive:
                os.kill(self.pid, number)
            else:
                return False
        except ProcessLookupError:
            return False
        return True

    def kill(self, *, whole_group: bool = True) -> bool:
        """SIGKILL; true when the leader was still alive."""
        was_alive = self.alive
        self.signal(signal.SIGKILL, whole_group=whole_group)
        self._ended.wait(10.0)
        self._killed = self._killed or (was_alive and self.process.returncode == -signal.SIGKILL)
        return self._killed

    def wait(self, timeout: float = 60.0) -> Ending:
        """Wait for the end of the leader and return how it was; TimeoutError when it does not end."""
        if not self._ended.wait(timeout):
            raise TimeoutError(f"{self.process.args!r} still runs after {timeout} s; {self._what_it_said()}")
        for thread in self._threads[1:]:
            thread.join(0.5)  # an orphan may hold the pipe open: what the leader said is here by then
        with self._changed:
            output, errors = "".join(self._lines["stdout"]), "".join(self._lines["stderr"])
        return Ending(self.process.returncode, self._killed, self._elapsed, output, errors)

    def __enter__(self) -> Victim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill what is left of the process and everything that carries its marker; release the pipes."""
        self.signal(signal.SIGKILL)
        if self._owns_marker:
            kill_leftovers(self.marker)
        for thread in self._threads:
            thread.join(5.0)
        _close_quietly(self.process.stdin)
        for thread, stream in zip(self._threads[1:], (self.process.stdout, self.process.stderr), strict=True):
            if (
                not thread.is_alive()
            ):  # else an unmarked orphan holds the pipe, and closing it would wait for the orphan
                _close_quietly(stream)

    def _watch(self) -> None:
        self.process.wait()
        self._elapsed = time.monotonic() - self._started
        self._ended.set()

    def _read(self, name: str, stream: IO[bytes]) -> None:
        for line in stream:
            with self._changed:
                self._lines[name].append(line.decode("utf-8", "replace"))
                self._changed.notify_all()
        with self._changed:
            self._open_streams -= 1
            self._changed.notify_all()

    def _what_it_said(self) -> str:
        with self._changed:
            output, errors = "".join(self._lines["stdout"]), "".join(self._lines["stderr"])
        return f"stdout {output[-500:]!r}, stderr {errors[-2000:]!r}"


def _opened(
    command: list[str], cwd: Path | str | None, environment: dict[str, str]
) -> subprocess.Popen[bytes] | warm.WarmPopen:
    if command[0] == warm.PROGRAM:
        return warm.WarmPopen(command[1:], environment, cwd)
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )


def kill_at_random(
    victim: Victim, random: Random, earliest: float, latest: float, *, whole_group: bool = True
) -> Ending:
    """Kill it so many seconds after its start, drawn from the seeded generator, unless it ends before."""
    if victim.wait_until_elapsed(random.uniform(earliest, latest)):
        victim.kill(whole_group=whole_group)
    return victim.wait()


def kill_when(
    victim: Victim, happened: Callable[[], bool], timeout: float = 60.0, *, whole_group: bool = True
) -> Ending:
    """Kill it as soon as the predicate is true; TimeoutError when it never is."""
    victim.wait_until(happened, timeout)
    victim.kill(whole_group=whole_group)
    return victim.wait()


def leftovers(marker: str) -> list[Leftover]:
    """The processes alive that carry the marker in the environment they were started with, this one apart.

    Needs /proc. A process started with an emptied environment (`env -i`, `bwrap --clearenv`) cannot be found this way.
    """
    wanted = f"{MARKER_VARIABLE}={marker}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                    found.append(Leftover(int(entry.name), command.strip()))
            except OSError:
                continue  # it ended meanwhile, or it is not ours to read
    return found


def wait_for_no_leftovers(marker: str, timeout: float = 60.0) -> list[Leftover]:
    """Give processes the time to end; return those that did not."""
    deadline = time.monotonic() + timeout
    while (found := leftovers(marker)) and time.monotonic() < deadline:
        time.sleep(_POLL * 5)
    return found


def kill_leftovers(marker: str) -> list[Leftover]:
    """SIGKILL all that carry the marker until none is left; return what was found first."""
    first = leftovers(marker)
    found = first
    deadline = time.monotonic() + 5.0
    while found and time.monotonic() < deadline:
        for process in found:
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        found = leftovers(marker)
    return first


def _close_quietly(stream: IO[bytes] | None) -> None:
    try:
        if stream is not None:
            stream.close()
    except BrokenPipeError:  # the last bytes sent had no reader any more
        return
