"""The editor's files and terminal as our tools use them; a method that it did not advertise is never called."""

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread

from acp_agent.domain.errors import ToolError
from acp_agent.surfaces.acp.asked import R
from acp_agent.surfaces.acp.call import Client
from acp_agent.surfaces.acp.faults import ClientFault, Disconnected
from acp_agent.surfaces.acp.replies import DoneReply, ExitReply, FileReply, OutputReply, TerminalReply
from acp_agent.surfaces.acp.rpc import Code
from acp_agent.tools.editor import EditorFiles, EditorTerminal, Ended

PATIENCE = 30.0
"""Seconds for a file, or for a terminal to be made: an editor answers at once or hangs."""
AFTERWARDS = 2.0
"""Seconds to stop a command and to give its terminal back once the turn is cancelled."""

Show = Callable[[str, str], None]
"""Shows a terminal, by its id, in the card of the call with an idempotency key."""


def files_of(client: Client, session_id: str) -> EditorFiles | None:
    """The files of an editor that lends any."""
    lends = client.capabilities.allows("fs/read_text_file") or client.capabilities.allows("fs/write_text_file")
    return ClientFiles(client, session_id) if lends else None


def terminal_of(client: Client, session_id: str, show: Show) -> EditorTerminal | None:
    """The terminal of an editor that has one."""
    return ClientTerminal(client, session_id, show) if client.capabilities.allows("terminal/create") else None


@dataclass(frozen=True, slots=True)
class ClientFiles:
    """`fs/read_text_file` and `fs/write_text_file`, each where it is advertised."""

    client: Client
    session_id: str

    def read(self, path: Path) -> str | None:
        """What the editor holds; None for what it does not know, or no text, or once it is gone."""
        if not self.client.capabilities.allows("fs/read_text_file"):
            return None
        try:
            reply = anyio.from_thread.run(self._ask, "fs/read_text_file", {"path": str(path)}, FileReply)
        except (ClientFault, Disconnected, TimeoutError):
            return None
        return reply.content

    def write(self, path: Path, text: str) -> bool:
        """Have it written. What the editor refuses is not done behind its back. Raises ToolError."""
        if not self.client.capabilities.allows("fs/write_text_file"):
            return False
        try:
            anyio.from_thread.run(self._ask, "fs/write_text_file", {"path": str(path), "content": text}, DoneReply)
        except Disconnected:
            return False
        except TimeoutError:
            told = f"The editor did not say within {PATIENCE:g} seconds that it wrote {path.name}."
            raise ToolError(told, kind="editor", hint="Read the file to see what it holds.") from None
        except ClientFault as error:
            if error.code == Code.METHOD_NOT_FOUND:
                return False
            raise ToolError(f"The editor did not write {path.name}: {error.what}", kind="editor") from None
        return True

    async def _ask(self, method: str, parameters: Mapping[str, Any], reply: type[R]) -> R:
        with anyio.fail_after(PATIENCE):
            return await self.client.request(method, {"sessionId": self.session_id, **parameters}, reply)


@dataclass(frozen=True, slots=True)
class ClientTerminal:
    """`terminal/*`: every terminal that is made is given back, also of a command that is cancelled."""

    client: Client
    session_id: str
    show: Show

    async def run(
        self, argv: list[str], *, cwd: Path, environment: Mapping[str, str], seconds: float, keep: int, key: str
    ) -> Ended:
        """Run a program to its end. Raises ToolError where the editor cannot."""
        started = time.monotonic()
        try:
            terminal = await self._created(argv, cwd, environment, keep)
            try:
                self.show(key, terminal)
                return await self._followed(terminal, seconds, started)
            finally:
                with anyio.move_on_after(AFTERWARDS, shield=True):
                    await self._ask("terminal/release", terminal, DoneReply)
        except Disconnected:
            raise ToolError("The editor left before the command ended.", kind="editor") from None
        except ClientFault as error:
            raise ToolError(f"The editor's terminal failed: {error.what}", kind="editor") from None

    async def _created(self, argv: list[str], cwd: Path, environment: Mapping[str, str], keep: int) -> str:
        parameters = {
            "sessionId": self.session_id,
            "command": argv[0],
            "args": argv[1:],
            "cwd": str(cwd),
            "env": [{"name": name, "value": value} for name, value in environment.items()],
            "outputByteLimit": keep,
        }
        try:
            # Not cut off in the middle: a terminal nobody knows the id of could never be given back.
            with anyio.CancelScope(shield=True), anyio.fail_after(PATIENCE):
                created = await self.client.request("terminal/create", parameters, TerminalReply)
        except TimeoutError:
            raise ToolError("The editor did not open a terminal.", kind="editor", retryable=True) from None
        return created.terminal_id

    async def _followed(self, terminal: str, seconds: float, started: float) -> Ended:
        ended: ExitReply | None = None
        try:
            with anyio.move_on_after(seconds):
                ended = await self._ask("terminal/wait_for_exit", terminal, ExitReply)
        finally:
            if ended is None:
                with anyio.move_on_after(AFTERWARDS, shield=True):
                    await self._ask("terminal/kill", terminal, DoneReply)
        output = await self._ask("terminal/output", terminal, OutputReply)
        status = None if ended is None else _status(ended)
        spent = time.monotonic() - started
        return Ended(status, output.output, bool(output.truncated), spent, timed_out=ended is None)

    async def _ask(self, method: str, terminal: str, reply: type[R]) -> R:
        return await self.client.request(method, {"sessionId": self.session_id, "terminalId": terminal}, reply)


def _status(ended: ExitReply) -> int | None:
    """The exit status, 128 + signal where a signal that we know by name ended it."""
    if ended.exit_code is not None or not ended.signal:
        return ended.exit_code
    name = ended.signal.upper()
    number = getattr(signal, name if name.startswith("SIG") else f"SIG{name}", None)
    return 128 + int(number) if isinstance(number, signal.Signals) else None
