"""Counts the files that git ignores: no snapshot holds them, so what a command deletes of them is gone for good.

Folders that tools make again by themselves (build outputs, caches, virtual environments) are not counted: their names
are below.
"""

import os
import subprocess
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from acp_agent.tools.repository import git_argv, git_environment
from acp_agent.tools.shadow_git import NoSnapshot

BUDGET = 1.0
"""Seconds for one count; beyond that nothing is counted."""
# A folder that was changed this short a time ago may change again without its time telling.
_FRESH = 50_000_000
MADE_AGAIN = frozenset({
    b"node_modules", b"__pycache__", b".pytest_cache", b".mypy_cache", b".ruff_cache", b".hypothesis", b".tox", b".nox",
    b".cache", b".venv", b"venv", b"target", b"build", b"dist", b"out", b".next", b".nuxt", b".gradle", b".turbo",
    b".parcel-cache", b".svelte-kit", b"coverage", b"htmlcov", b".eggs", b".terraform", b".dart_tool", b"Pods",
})  # fmt: skip
_MADE_SUFFIXES = (b".pyc", b".egg-info", b".o", b".class")


@dataclass
class Census:
    """The counter of one workspace; it remembers folders that did not change. `top` is absolute, paths are below it."""

    top: bytes
    _known: dict[bytes, tuple[int, int, tuple[bytes, ...]]] = field(default_factory=dict)

    def ignored(self, present: Collection[bytes], root: bytes) -> dict[bytes, int]:
        """What below `root` ("" for all) is not `present`: files by path, each folder with how many it holds.

        Raises NoSnapshot where that takes too long.
        """
        deadline = time.monotonic() + BUDGET
        folders = {root}
        for path in present:
            end = path.rfind(b"/")
            while end > 0 and path[:end] not in folders:
                folders.add(path[:end])
                end = path.rfind(b"/", 0, end)
        found: dict[bytes, int] = {}
        for folder in folders:
            for entry in _entries(os.path.join(self.top, folder)):
                path = folder + b"/" + entry.name if folder else entry.name
                if entry.name == b".git" or _is_made_again(entry.name):
                    continue
                if not entry.is_dir(follow_symlinks=False):
                    if path not in present:
                        found[path] = 1
                elif path not in folders:
                    found[path] = self.count(path, deadline)
        return found

    def count(self, path: bytes, deadline: float) -> int:
        """How many files are below the folder `path`."""
        total, left = 0, [path]
        while left:
            if time.monotonic() > deadline:
                raise NoSnapshot(f"counting ignored files took longer than {BUDGET:g} s")
            folder = left.pop()
            files, inner = self._look(folder)
            total += files
            left += [folder + b"/" + name for name in inner]
        return total

    def _look(self, folder: bytes) -> tuple[int, tuple[bytes, ...]]:
        place = os.path.join(self.top, folder)
        try:
            changed = os.stat(place, follow_symlinks=False).st_mtime_ns
        except OSError:
            return 0, ()
        known = self._known.get(folder)
        if known is not None and known[0] == changed:
            return known[1], known[2]
        entries = _entries(place)
        inner = tuple(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        files = len(entries) - len(inner)
        if time.time_ns() - changed > _FRESH:
            self._known[folder] = (changed, files, inner)
        return files, inner


def ignored_folders(root: Path, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The folders of a workspace that git ignores, but for those that tools make again. One git process."""
    asked = ("ls-files", "-z", "-o", "-i", "--exclude-standard", "--directory", "--", ".")
    try:
        ended = subprocess.run(
            git_argv(root, *asked),
            env=git_environment(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=10.0,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    root = Path(os.path.realpath(root))
    names = (name for name in ended.stdout.split(b"\0") if name.endswith(b"/"))
    return tuple(root / os.fsdecode(name) for name in names if not _is_made_again(os.path.basename(name[:-1])))


def lost(before: Mapping[bytes, int], after: Mapping[bytes, int]) -> int:
    """How many ignored files are gone; what was added elsewhere makes none of them good."""
    return sum(max(0, count - after.get(path, 0)) for path, count in before.items())


def _is_made_again(name: bytes) -> bool:
    return name in MADE_AGAIN or name.endswith(_MADE_SUFFIXES)


def _entries(place: bytes) -> "list[os.DirEntry[bytes]]":
    try:
        with os.scandir(place) as entries:
            return list(entries)
    except OSError:
        return []
