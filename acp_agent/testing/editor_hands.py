"""The files and the terminal of an editor double: buffers that may be unsaved, and commands in real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from acp import RequestError
from acp.schema import (
    CreateTerminalResponse,
    ReadTextFileResponse,
    TerminalOutputResponse,
    WaitForTerminalExitResponse,
)

METHODS = (
    "read_text_file",
    "write_text_file",
    "create_terminal",
    "terminal_output",
    "wait_for_terminal_exit",
    "kill_terminal",
    "release_terminal",
)


class EditorHands:
    """Buffers over the real disk, and terminals.

    `buffers` holds what was typed and not saved, by absolute path. `formats`: text is changed as it is saved (trailing
    blanks go). `refuses` are paths that it will not write. `calls` names each call with its path or terminal.
    """

    def __init__(self, *, formats: bool = False, refuses: frozenset[str] = frozenset()) -> None:
        self.buffers: dict[str, str] = {}
        self.calls: list[tuple[str, str]] = []
        self.open: dict[str, asyncio.subprocess.Process] = {}
        self._changed = asyncio.Event()
        self._formats = formats
        self._refuses = refuses
        self._output: dict[str, bytes] = {}
        self._limits: dict[str, int | None] = {}

    async def read_text_file(self, session_id: str, path: str, **_: Any) -> ReadTextFileResponse:
        """The buffer, else the file."""
        self._called(("read", path))
        if path in self.buffers:
            return ReadTextFileResponse(content=self.buffers[path])
        try:
            return ReadTextFileResponse(content=_saved(path))
        except (OSError, UnicodeDecodeError):
            raise RequestError.resource_not_found(path) from None

    async def write_text_file(self, session_id: str, path: str, content: str, **_: Any) -> None:
        """Write and save; the buffer is clean then."""
        self._called(("write", path))
        if path in self._refuses:
            raise RequestError.invalid_params({"details": "this file is read-only here"})
        text = "\n".join(line.rstrip(" ") for line in content.split("\n")) if self._formats else content
        self.buffers.pop(path, None)
        _save(path, text)

    async def create_terminal(
        self,
        session_id: str,
        command: str,
        args: list[str] | None = None,
        env: list[Any] | None = None,
        cwd: str | None = None,
        output_byte_limit: int | None = None,
        **_: Any,
    ) -> CreateTerminalResponse:
        """Start the program; returns at once."""
        terminal = f"term-{len(self.calls)}"
        self._called(("create", terminal))
        given = {one.name: one.value for one in env or ()}
        pipe, both = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
        self.open[terminal] = await asyncio.create_subprocess_exec(
            command,
            *(args or ()),
            cwd=cwd,
            env={**os.environ, **given},
            stdout=pipe,
            stderr=both,
            start_new_session=True,
        )
        self._limits[terminal] = output_byte_limit
        return CreateTerminalResponse(terminal_id=terminal)

    async def wait_for_terminal_exit(self, session_id: str, terminal_id: str, **_: Any) -> WaitForTerminalExitResponse:
        """How it ended."""
        self._called(("wait", terminal_id))
        process = self._terminal(terminal_id)
        self._output[terminal_id], _errors = await process.communicate()
        status = process.returncode or 0
        if status < 0:
            return WaitForTerminalExitResponse(signal=signal.Signals(-status).name)
        return WaitForTerminalExitResponse(exit_code=status)

    async def terminal_output(self, session_id: str, terminal_id: str, **_: Any) -> TerminalOutputResponse:
        """What it printed, the end of it."""
        self._called(("output", terminal_id))
        self._terminal(terminal_id)
        whole, limit = self._output.get(terminal_id, b""), self._limits[terminal_id]
        kept = whole if limit is None else whole[-limit:]
        return TerminalOutputResponse(output=kept.decode("utf-8", "replace"), truncated=len(kept) < len(whole))

    async def kill_terminal(self, session_id: str, terminal_id: str, **_: Any) -> None:
        """Kill what it runs; the terminal stays."""
        self._called(("kill", terminal_id))
        os.killpg(self._terminal(terminal_id).pid, signal.SIGKILL)

    async def release_terminal(self, session_id: str, terminal_id: str, **_: Any) -> None:
        """The terminal is nobody's any more."""
        self._called(("release", terminal_id))
        self._terminal(terminal_id)
        del self.open[terminal_id]

    async def until(self, name: str) -> None:
        """Return once a method (`read`, `write`, `create`, `wait`...) was called."""
        while not any(called == name for called, _ in self.calls):
            self._changed.clear()
            await self._changed.wait()

    def _called(self, call: tuple[str, str]) -> None:
        self.calls.append(call)
        self._changed.set()

    def _terminal(self, terminal_id: str) -> asyncio.subprocess.Process:
        if terminal_id not in self.open:
            raise RequestError.resource_not_found(terminal_id)
        return self.open[terminal_id]


def _saved(path: str) -> str:
    return Path(path).read_text("utf-8").replace("\r\n", "\n")


def _save(path: str, text: str) -> None:
    Path(path).write_bytes(text.encode())
