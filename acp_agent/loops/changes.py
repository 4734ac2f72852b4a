"""What a person changes in their checkout, asked of git: what it ignores never counts, nor what loops do elsewhere.

Asked again and again, not told by the system: that works on every file system, and needs no watch for each folder.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from acp_agent.fleet.git import git
from acp_agent.fleet.repository import Repository
from acp_agent.fleet.status import parse_status

PAUSE = 1.0
"""Seconds between two looks, and without a further change before one counts."""
SHARE = 10
"""A look is followed by a pause this many times as long, where that is longer."""
MOST_PAUSES = 30
"""A change counts after so many pauses, also where files never come to rest."""
_STATUS = (
    "status",
    "--porcelain=v2",
    "--branch",
    "-z",
    "-uall",
    "--no-renames",
    "--ignore-submodules=dirty",
    "--",
    ".",
)

Stamp = tuple[int, int]
"""A file's time of change and size."""
GONE: Stamp = (0, -1)
"""That of a file which is not there."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A checkout as it was seen: its commit, and the stamps of files that differ from it or are watched besides."""

    head: str | None
    files: Mapping[str, Stamp]


@dataclass(frozen=True, slots=True)
class Checkout:
    """The checkout of a project at `path`, and files `besides` it that a change of counts too."""

    path: Path
    repository: Repository
    besides: Sequence[Path] = ()

    async def look(self) -> Sight:
        """How it stands."""
        status = parse_status((await git(self.path, *_STATUS)).stdout)
        paths = [(change.path, Path(self.repository.root) / change.path) for change in status.changes]
        paths += [(str(path), path) for path in self.besides]
        return Sight(status.head, await anyio.to_thread.run_sync(_stamps, paths))

    async def changed(self, before: Sight, after: Sight, own: str) -> tuple[str, ...]:
        """The paths that differ between two sights. That the commits up to `own` came in is the loop's doing."""
        names = {*before.files, *after.files}
        found = {name for name in names if before.files.get(name) != after.files.get(name)}
        if before.head == after.head:
            return tuple(sorted(found))
        # What was committed differs from the commit no longer; what it was is told by the commits.
        found = {name for name in found if name in after.files}
        if not (await self._has(after.head, own) and not await self._has(before.head, own)):
            ends = (before.head or "HEAD", after.head or "HEAD")
            shown = await git(self.path, "diff", "--name-only", "-z", *ends, "--", ".", check=False)
            found |= set(shown.fields)
        return tuple(sorted(found))

    async def next_change(self, before: Sight, own: str) -> tuple[Sight, tuple[str, ...]]:
        """Wait until something has changed and come to rest; returns the new sight, and what has changed."""
        while True:
            after = await self._settled(before)
            if paths := await self.changed(before, after, own):
                return after, paths
            # Nothing, or commits of our own that came in.
            before = after

    async def _settled(self, before: Sight) -> Sight:
        """How it stands after a pause; where that is not as before, after one in which nothing changed any more."""
        seen = before
        for _ in range(MOST_PAUSES):
            await anyio.sleep(PAUSE)
            began = time.monotonic()
            after = await self.look()
            if after == seen:
                break
            seen = after
            await anyio.sleep(max(0.0, SHARE * (time.monotonic() - began) - PAUSE))
        return seen

    async def _has(self, head: str | None, commit: str) -> bool:
        """Whether a commit is in the history of `head`."""
        if head is None or not commit:
            return False
        return (await git(self.path, "merge-base", "--is-ancestor", commit, head, check=False)).status == 0


def changes_told(paths: Sequence[str], most: int = 20) -> str:
    """What the next iteration is told of a change."""
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return f"Changed in the project's checkout, outside of your tree: {', '.join(paths[:most])}{more}"


def _stamps(paths: Sequence[tuple[str, Path]]) -> dict[str, Stamp]:
    return {name: _stamp(path) for name, path in paths}


def _stamp(path: Path) -> Stamp:
    try:
        found = os.lstat(path)
    except OSError:
        return GONE
    return found.st_mtime_ns, found.st_size
