"""The child process of the demonstration model, and the lines of JSON it is asked with."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process

from acp_agent.domain.redact import SECRET_NAME
from acp_agent.llm.demonstration import weights_file

CONTEXT = 2048
"""Tokens: prompts are cut to fit, and every further thousand costs 25 MB."""

_START = 60.0
_END = 2.0
_MOST_PIECES = 64
"""Of an answer, each up to 64 KiB; it is some hundred bytes."""

_PROGRAM = Path(__file__).with_name("embedded_process.py")


class ChildDied(Exception):
    """The process could not be started, or ended before it answered; the message says how."""


class Child:
    """One process. Asked by one task at a time; after a failure or a cancellation it is only good for `kill`."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)
        self._process: Process | None = None
        self._rest = b""

    @classmethod
    def of_weights(cls) -> "Child":
        """The one that runs the installed weights."""
        return cls([sys.executable, "-P", str(_PROGRAM), str(weights_file()), str(CONTEXT)])

    async def start(self) -> None:
        """Start it and wait until the model is loaded. Raises ChildDied."""
        try:
            # A session of its own: Ctrl-C in the terminal is for us, and we end it.
            self._process = await anyio.open_process(
                self._command, stderr=subprocess.DEVNULL, env=_environment(), start_new_session=True
            )
        except OSError as error:
            raise ChildDied(f"{self._command[0]}: {error.strerror}") from error
        ready = False
        try:
            with anyio.fail_after(_START):
                first = await self._line()
            if first.get("ready") is not True:
                raise ChildDied(str(first.get("failed", first))[:300])
            ready = True
        except TimeoutError as error:
            raise ChildDied(f"it did not load within {_START:g} s") from error
        finally:
            if not ready:
                await self.kill()

    async def ask(self, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to one body of a completion. Raises ChildDied."""
        if self._process is None or self._process.stdin is None:
            raise ChildDied("it was never started")
        try:
            await self._process.stdin.send(json.dumps(body).encode() + b"\n")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ChildDied(await self._how()) from error
        return await self._line()

    async def kill(self) -> None:
        """End it at once; harmless when it has ended."""
        if self._process is None:
            return
        with anyio.CancelScope(shield=True):
            if self._process.returncode is None:
                self._process.kill()
            await self._process.aclose()

    async def aclose(self) -> None:
        """End it: it goes by itself when nobody asks any more, and is killed when it does not."""
        if self._process is None:
            return
        with anyio.CancelScope(shield=True):
            if self._process.stdin is not None:
                await self._process.stdin.aclose()
            with anyio.move_on_after(_END):
                await self._process.wait()
        await self.kill()

    async def _line(self) -> dict[str, Any]:
        """The next line of its output. Raises ChildDied."""
        if self._process is None or self._process.stdout is None:
            raise ChildDied("it was never started")
        pieces = [self._rest]
        try:
            while b"\n" not in pieces[-1]:
                pieces.append(await self._process.stdout.receive())
                if len(pieces) > _MOST_PIECES:
                    raise ChildDied("it answered without an end")
        except (anyio.EndOfStream, anyio.BrokenResourceError) as error:
            raise ChildDied(await self._how()) from error
        line, _, self._rest = b"".join(pieces).partition(b"\n")
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ChildDied("it answered with something else than a line of JSON") from error
        return answer if isinstance(answer, dict) else {}

    async def _how(self) -> str:
        """How it ended, in words."""
        status: int | None = None
        if self._process is not None:
            with anyio.move_on_after(_END):
                status = await self._process.wait()
        if status is None:
            return "it closed its output"
        return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def _environment() -> dict[str, str]:
    """Ours without what is secret: it needs none of it."""
    return {name: value for name, value in os.environ.items() if not SECRET_NAME.search(name)}
