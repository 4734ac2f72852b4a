"""An agent as an editor starts it: a real process whose stdin and stdout are the protocol, whose stderr is drained."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from acp_agent.testing import warm
from acp_agent.testing.killer import MARKER_VARIABLE, Leftover, kill_leftovers
from acp_agent.testing.tap import LONGEST_LINE


class AgentProcess:
    """A running agent. Make one with `start`; `close` leaves nothing of it alive."""

    def __init__(self, process: asyncio.subprocess.Process | warm.WarmProcess, started: float, marker: str) -> None:
        self.process = process
        self.marker = marker
        self.started = started
        self._errors = bytearray()
        self._more_errors = asyncio.Event()
        self._drain = asyncio.create_task(self._drain_errors())

    @classmethod
    async def start(
        cls, command: Sequence[str], environment: Mapping[str, str], cwd: Path | str | None = None
    ) -> AgentProcess:
        """Start `command` with exactly `environment`, and a marker by which its descendants are found.

        One that begins with `warm.PROGRAM` is `acp` as `acp_agent.testing.warm` starts it.
        """
        marker = uuid.uuid4().hex
        started = time.monotonic()
        whole = {**environment, MARKER_VARIABLE: marker}
        if command[0] == warm.PROGRAM:
            return cls(await warm.WarmProcess.start(command[1:], whole, cwd, LONGEST_LINE), started, marker)
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE,
            cwd=cwd,
            env=whole,
            start_new_session=True,
        )
        return cls(process, started, marker)

    @property
    def streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """What it says and what it reads."""
        assert self.process.stdout is not None and self.process.stdin is not None
        return self.process.stdout, self.process.stdin

    @property
    def errors(self) -> str:
        """What it wrote to stderr so far."""
        return self._errors.decode("utf-8", "replace")

    async def said(self, text: str, within: float = 60.0) -> None:
        """Wait until it has written `text` to stderr. Raises TimeoutError, and AssertionError when it ends before."""
        async with asyncio.timeout(within):
            while text not in self.errors:
                assert not self._drain.done(), f"it ended without saying {text!r}: {self.errors[-3000:]}"
                self._more_errors.clear()
                await self._more_errors.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the agent alone, not to what it started; nothing when it has ended."""
        if self.process.returncode is None:
            os.kill(self.process.pid, number)

    def close_stdin(self) -> None:
        """End what it reads."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    async def exited(self, within: float = 60.0) -> int:
        """Its exit code, negative for a signal. Raises TimeoutError while it still runs."""
        async with asyncio.timeout(within):
            return await self.process.wait()

    async def close(self, grace: float = 5.0) -> list[Leftover]:
        """End its input, wait, kill what is left; returns the processes that had to be killed."""
        self.close_stdin()
        with contextlib.suppress(TimeoutError):
            await self.exited(grace)
        left = await asyncio.to_thread(kill_leftovers, self.marker)
        # A warm one does not carry the marker where it is looked for.
        self.signal(signal.SIGKILL)
        await self.process.wait()
        await self._drain
        if isinstance(self.process, warm.WarmProcess):
            await self.process.close()
        return left

    async def _drain_errors(self) -> None:
        # A pipe that nobody empties would stop the agent at its 65th kilobyte of log.
        assert self.process.stderr is not None
        while data := await self.process.stderr.read(65536):
            self._errors += data
            self._more_errors.set()
        self._more_errors.set()
