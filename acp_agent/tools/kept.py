"""Contents of files kept by their hash, so that what a run changed can be brought back byte for byte.

A folder for each run, private to the user, below `undo/` in the state directory. Contents are written once, at once
(a killed process leaves none that is half-written) and compressed.
"""

import contextlib
import hashlib
import os
import shutil
import time
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from acp_agent.domain.changes import FileChange, FileChanges
from acp_agent.domain.errors import AcpAgentError
from acp_agent.tools.workspace import digest

KEPT_DAYS = 30
_DAY = 86_400.0
_SWEPT = ".swept"
ROOT_FILE = "acp-root"
"""Holds the path of the workspace a shadow belongs to."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The contents one run may need again. `folder` need not exist before the first is kept."""

    folder: Path

    @classmethod
    def of(cls, state: Path, run_id: str) -> "Kept":
        """What run `run_id` keeps below the state directory."""
        return cls(state / "undo" / run_id)

    def put(self, data: bytes) -> str:
        """Keep `data`; returns its SHA-256. Raises AcpAgentError where it cannot be written."""
        name = digest(data)
        try:
            self._write(name, zlib.compress(data, 1))
        except OSError as error:
            hint = "without it the change could not be undone; make room, then acp resume"
            raise AcpAgentError(f"{self.folder}: {error.strerror}", hint=hint) from None
        return name

    def get(self, name: str) -> bytes | None:
        """The bytes of a SHA-256, None where they are not kept any more, or are not what they were."""
        try:
            data = zlib.decompress((self.folder / name).read_bytes())
        except (OSError, zlib.error):
            return None
        return data if digest(data) == name else None

    def put_changes(self, changes: Collection[FileChange]) -> str:
        """Keep a list of changes; returns its name."""
        return self.put(FileChanges(changes=tuple(changes)).model_dump_json().encode())

    def changes(self, name: str) -> tuple[FileChange, ...]:
        """A list of changes. Raises AcpAgentError where it is gone."""
        data = self.get(name)
        if data is None:
            hint = f"contents are kept for {KEPT_DAYS} days, and not beyond acp accept or acp reject"
            raise AcpAgentError(f"what {self.folder.name} changed is not kept any more", hint=hint)
        return FileChanges.model_validate_json(data).changes

    def forget(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, name: str, data: bytes) -> None:
        place = self.folder / name
        if place.exists():
            return
        temporary = self.folder / f"{name}.{os.getpid()}.{time.monotonic_ns()}.tmp"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.rename(temporary, place)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise


def sweep(state: Path, now: float) -> None:
    """Once a day, remove what runs kept and nobody touched for 30 days, and shadows of directories that are gone.

    `now` is Unix time.
    """
    stamp = state / "undo" / _SWEPT
    try:
        if now - stamp.stat().st_mtime < _DAY:
            return
    except FileNotFoundError:
        stamp.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    stamp.touch()
    for folder in (state / "undo", state / "shadow"):
        for entry in os.scandir(folder) if folder.is_dir() else ():
            if entry.is_dir(follow_symlinks=False) and (_is_old(entry, now) or is_orphan(Path(entry.path))):
                shutil.rmtree(entry.path, ignore_errors=True)


def forget_workplace(state: Path, run_id: str, root: str | None) -> None:
    """The result of a run has landed, and its worktree `root` is gone: nothing that was kept for it is needed."""
    Kept.of(state, run_id).forget()
    if root is not None:
        shutil.rmtree(shadow_folder(state, Path(os.path.realpath(root))), ignore_errors=True)


def shadow_folder(state: Path, root: Path) -> Path:
    """Where the shadow of a workspace lies."""
    return state / "shadow" / hashlib.sha256(os.fsencode(root)).hexdigest()[:24]


def _is_old(entry: "os.DirEntry[str]", now: float) -> bool:
    return now - entry.stat().st_mtime > KEPT_DAYS * _DAY


def is_orphan(folder: Path) -> bool:
    """Whether `folder` is the shadow of a directory that is gone."""
    root = folder / ROOT_FILE
    return root.is_file() and not os.path.isdir(root.read_bytes())
