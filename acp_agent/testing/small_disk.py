"""A file system that is too small: real, in a mount namespace of its own, needing no privilege (Linux).

    with SmallDisk(tmp_path / "disk", kilobytes=192) as disk:
        full = subprocess.run(disk.inside("acp", "run", ...))
        disk.resize(kilobytes=65536)
        whole = subprocess.run(disk.inside("acp", "resume"))

Only what is started through `inside` sees it at its path; everybody else sees an empty directory there.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

_ENTER = 'cd "$1" && shift && exec "$@"'


class SmallDisk:
    """A tmpfs of so many kilobytes at `path`. Use as a context; raises OSError where the kernel does not let us."""

    def __init__(self, path: Path, *, kilobytes: int) -> None:
        self.path = path
        self._kilobytes = kilobytes
        self._keeper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.path.mkdir(parents=True, exist_ok=True)
        mount = f"mount -t tmpfs -o size={self._kilobytes}k tmpfs '{self.path}' && echo ready && exec cat"
        command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount]
        self._keeper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self._keeper.stdout is not None
        if self._keeper.stdout.readline().strip() != b"ready":
            said = self._keeper.communicate()[1].decode("utf-8", "replace").strip()
            raise OSError(f"no file system of our own: {said}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keeper is not None:
            # It ends with its input, and the file system with the last process that sees it.
            self._keeper.communicate()

    def inside(self, *command: str | Path, cwd: Path | None = None) -> list[str]:
        """`command` as a process that sees the disk, in `cwd` (default: on the disk)."""
        assert self._keeper is not None
        enter = ["nsenter", f"--target={self._keeper.pid}", "--user", "--mount", "--preserve-credentials"]
        return [*enter, "sh", "-c", _ENTER, "sh", str(cwd or self.path), *map(str, command)]

    def copy_to(self, folder: Path) -> None:
        """Copy all that is on it to where everybody sees it."""
        subprocess.run(self.inside("cp", "-a", f"{self.path}/.", folder), check=True)

    def resize(self, *, kilobytes: int) -> None:
        """Make it larger, or no larger than what is on it."""
        subprocess.run(self.inside("mount", "-o", f"remount,size={kilobytes}k", self.path), check=True)
