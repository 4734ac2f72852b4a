"""An MCP server as a process of ours: in the sandbox, line by line, and gone when the connection is."""

import contextlib
import secrets
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process

from acp_agent.tools.command import TAG, kill_group, sweep

LEAVE_TIME = 1.0
"""Seconds a server has to leave once its input ends; then it is killed."""
_REAP_TIME = 5.0
_KEPT_STDERR = 2_000
_MAX_BAD_LINES = 1_000


@dataclass(slots=True)
class Pipes:
    """How to start one, and what became of it. `problem` says why its stream ended, where it should not have."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    cwd: Path
    swept: bool = False
    problem: str = ""
    ended: anyio.Event = field(default_factory=anyio.Event)
    _said: bytearray = field(default_factory=bytearray)

    @property
    def last_words(self) -> str:
        """The end of what it wrote to its standard error."""
        return self._said.decode(errors="replace").strip()

    @asynccontextmanager
    async def streams(
        self, parsed: Callable[[bytes], Any], written: Callable[[Any], bytes], longest: int
    ) -> AsyncIterator[tuple[Any, Any]]:
        """The two streams of a transport, as `mcp` takes them; a line over `longest` bytes ends it.

        Raises OSError where it cannot be started.
        """
        tag = secrets.token_hex(8)
        environment = {**self.environment, TAG: tag} if self.swept else dict(self.environment)
        process = await anyio.open_process(
            list(self.argv),
            env=environment,
            cwd=self.cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        to_session, heard = anyio.create_memory_object_stream[Any](16)
        asked, from_session = anyio.create_memory_object_stream[Any](16)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._read, process, to_session, parsed, longest)
                tasks.start_soon(self._write, process, from_session, to_session, written)
                tasks.start_soon(self._listen, process)
                try:
                    yield heard, asked
                finally:
                    with anyio.CancelScope(shield=True):
                        await _stop(process)
                    tasks.cancel_scope.cancel()
        finally:
            kill_group(process.pid)
            if self.swept:
                sweep(tag)
            for stream in (to_session, heard, asked, from_session):
                stream.close()
            with anyio.CancelScope(shield=True):
                await process.aclose()
            self.ended.set()

    async def _read(self, process: Process, to_session: Any, parsed: Callable[[bytes], Any], longest: int) -> None:
        assert process.stdout is not None
        buffer = bytearray()
        bad = 0
        async with to_session:
            with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                async for chunk in process.stdout:
                    buffer += chunk
                    if b"\n" in chunk:
                        *lines, rest = bytes(buffer).split(b"\n")
                        buffer = bytearray(rest)
                        for line in filter(None, map(bytes.strip, lines)):
                            message = parsed(line)
                            bad += isinstance(message, Exception)
                            await to_session.send(message)
                    if len(buffer) > longest or bad > _MAX_BAD_LINES:
                        self.problem = "it wrote what is no message, without an end"
                        break
        self.ended.set()
        if self.problem:
            kill_group(process.pid)

    async def _write(self, process: Process, asked: Any, to_session: Any, written: Callable[[Any], bytes]) -> None:
        assert process.stdin is not None
        try:
            async for message in asked:
                await process.stdin.send(written(message))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            # Whoever waits for an answer must learn that there will be none.
            await to_session.aclose()

    async def _listen(self, process: Process) -> None:
        assert process.stderr is not None
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for chunk in process.stderr:
                self._said += chunk
                del self._said[:-_KEPT_STDERR]


async def _stop(process: Process) -> None:
    """Close its input, give it a moment to leave, ask it to end, then kill all of its process group."""
    assert process.stdin is not None
    with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        await process.stdin.aclose()
    with anyio.move_on_after(LEAVE_TIME):
        await process.wait()
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with anyio.move_on_after(LEAVE_TIME):
            await process.wait()
    kill_group(process.pid)
    with anyio.move_on_after(_REAP_TIME):
        await process.wait()
