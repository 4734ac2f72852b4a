"""Finds what nobody needs any more below the state directory, and removes it: `acp gc`.

The record is never part of it (`acp forget` erases that), nor a worktree that may hold somebody's work.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from acp_agent.config.paths import database_location, state_dir
from acp_agent.store.scrub import scrub
from acp_agent.tools.kept import KEPT_DAYS, is_orphan

DAY = 86_400.0
_KINDS = (
    ("contents kept for acp undo", "undo/*/"),
    ("snapshots of a directory", "shadow/*/"),
    ("full outputs", "artifacts/*"),
    ("files that commands had planted", "sandbox/quarantine/*"),
    ("private home of a project", "sandbox/homes/*/"),
    ("store from before a restore", "before-restore-*/"),
)
_OF_KILLED = (
    ("left by a backup that was killed", ".acp-backup-*/"),
    ("left by a restore that was killed", ".acp-restore-*/"),
)
"""Folders that a process removes at its end, if it gets that far."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """A file or folder that may go; `what` says in a few words what it was, `size` is in bytes."""

    what: str
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Collected:
    """What was removed, or would be; whether the database was `compacted`, and the bytes of its file before and after.

    A database on a server has no file of ours: None.
    """

    garbage: tuple[Garbage, ...]
    compacted: bool
    before: int | None
    after: int | None


def collect(environ: Mapping[str, str], now: float, days: float = KEPT_DAYS, *, dry_run: bool = False) -> Collected:
    """Remove what nobody touched for `days`, and write the database without its free pages; `now` is Unix time."""
    state, database = state_dir(environ), database_location(environ)
    found = tuple(_garbage(state, now - days * DAY, now - DAY))
    file = database if isinstance(database, Path) else None
    before = _size(file) if file else None
    if dry_run:
        return Collected(found, False, before, before)
    for one in found:
        if one.path.is_dir():
            shutil.rmtree(one.path, ignore_errors=True)
        else:
            one.path.unlink(missing_ok=True)
    compacted = scrub(database) if file is None or file.exists() else True
    return Collected(found, compacted, before, _size(file) if file else None)


def _garbage(state: Path, old: float, yesterday: float) -> Iterator[Garbage]:
    for what, pattern, young in (*((*kind, old) for kind in _KINDS), *((*kind, yesterday) for kind in _OF_KILLED)):
        for path in sorted(state.glob(pattern)):
            if not path.is_symlink() and (_touched(path) < young or is_orphan(path)):
                yield Garbage(what, path, _size(path))


def _touched(path: Path) -> float:
    """When anything directly in it was last changed, in Unix time."""
    try:
        inside = os.scandir(path) if path.is_dir() else ()
        return max([path.stat().st_mtime, *(entry.stat(follow_symlinks=False).st_mtime for entry in inside)])
    except OSError:
        # It goes away just now: then it is not ours to remove.
        return float("inf")


def _size(path: Path) -> int:
    if not path.is_dir():
        return path.lstat().st_size if path.exists() else 0
    return sum(_size(entry) for entry in path.iterdir() if not entry.is_symlink())
