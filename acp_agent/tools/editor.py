"""What an editor does for the tools of a session: it holds files that are not saved yet, and runs commands in view."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_BOM = "\ufeff"


class EditorFiles(Protocol):
    """The files of an editor, called from worker threads; every path is absolute, checked and free of links."""

    def read(self, path: Path) -> str | None:
        """What the editor holds of the file, saved or not; None where it cannot or will not say."""
        ...

    def write(self, path: Path, text: str) -> bool:
        """Have the editor write the file; False where it has no such method or is gone. Raises ToolError."""
        ...


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command in an editor's terminal ended; `exit_status` is None where it was stopped."""

    exit_status: int | None
    output: str
    truncated: bool
    seconds: float
    timed_out: bool = False


class EditorTerminal(Protocol):
    """A terminal of the editor: it runs as the person who sits there, and no sandbox of ours is around it."""

    async def run(
        self, argv: list[str], *, cwd: Path, environment: Mapping[str, str], seconds: float, keep: int, key: str
    ) -> Ended:
        """Run a program to its end, at most for `seconds`; at most `keep` bytes of output are kept, the last ones.

        `key` is the idempotency key of the call. Whatever happens the terminal is given back. Raises ToolError.
        """
        ...


def as_held(disk: bytes | None, held: str) -> bytes | None:
    """The bytes of a file that an editor holds as `held`: with the byte order mark and line ends it has on disk.

    None where the editor's word cannot stand for the file, since that is in no encoding of editors' protocols.
    """
    try:
        saved = None if disk is None else disk.decode()
        if saved is not None and _plain(saved) == _plain(held):
            return disk
        text = held
        if saved is not None and "\r\n" in saved and "\r\n" not in held:
            text = held.replace("\n", "\r\n")
        if saved is not None and saved.startswith(_BOM) and not held.startswith(_BOM):
            text = _BOM + text
        return text.encode()
    except UnicodeError:
        return None


def writable(data: bytes) -> str | None:
    """The text that an editor can be handed to write; None for what it would change: other encodings, or a mark."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if text.startswith(_BOM) or "\0" in text else text


def _plain(text: str) -> str:
    return text.removeprefix(_BOM).replace("\r\n", "\n")
