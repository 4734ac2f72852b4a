"""Keeps what a run may need to take its changes back: contents before a file tool writes, snapshots around commands."""

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio.to_thread

from acp_agent.domain.changes import FileChange, FileState
from acp_agent.domain.errors import AcpAgentError
from acp_agent.domain.events_files import MAX_PATHS, FilesSnapshot
from acp_agent.tools.census import lost
from acp_agent.tools.kept import Kept, sweep
from acp_agent.tools.sandbox.model import exposes_home
from acp_agent.tools.shadow import BUDGET, Difference, Entry, Shadow
from acp_agent.tools.shadow_git import NoSnapshot
from acp_agent.tools.shadow_place import ShadowPlace
from acp_agent.tools.workspace import digest, printable

_PRUNED_EVERY = 86_400.0
_PATIENCE = 3
"""Snapshots of one directory that may run out of time before this process stops trying."""


@dataclass
class ShadowSnapshots:
    """Implements `domain.ports.Snapshots`. `state` is the state directory, `budget` the seconds of one snapshot."""

    state: Path
    environ: Mapping[str, str]
    budget: float = BUDGET
    _shadows: dict[str, Shadow] = field(default_factory=dict)
    _failures: dict[str, int] = field(default_factory=dict)
    _counts: dict[tuple[str, str], dict[bytes, int] | None] = field(default_factory=dict)
    _uncounted: set[str] = field(default_factory=set)

    async def keep(self, run_id: str, originals: Mapping[str, bytes]) -> None:
        """Keep what files hold before a file tool changes them. Raises AcpAgentError where that cannot be written."""
        if originals:
            await anyio.to_thread.run_sync(self._keep, run_id, tuple(originals.values()))

    async def before(self, run_id: str, of: str, root: str) -> FilesSnapshot:
        """The files of `root` before something that may change any of them; a reason where that takes too long."""
        return await anyio.to_thread.run_sync(self._before, run_id, of, root)

    async def after(self, run_id: str, before: FilesSnapshot, root: str, *, late: bool = False) -> FilesSnapshot:
        """What changed since `before`, with the contents from before kept; a reason where nobody can tell."""
        return await anyio.to_thread.run_sync(self._after, run_id, before, root, late)

    def _keep(self, run_id: str, contents: Sequence[bytes]) -> None:
        kept = Kept.of(self.state, run_id)
        for data in contents:
            kept.put(data)

    def _before(self, run_id: str, of: str, root: str) -> FilesSnapshot:
        try:
            shadow = self._shadow(root)
            tree = shadow.take()
            shadow.hold(_held(run_id, of), tree)
            ignored = self._ignored(root, shadow)
        except (NoSnapshot, OSError) as error:
            self._failures[root] = self._failures.get(root, 0) + 1
            return FilesSnapshot(of=of, moment="before", note=_said(error))
        self._failures.pop(root, None)
        self._counts[run_id, of] = ignored
        return FilesSnapshot(of=of, moment="before", tree=tree, ignored=_total(ignored))

    def _after(self, run_id: str, before: FilesSnapshot, root: str, late: bool) -> FilesSnapshot:
        empty = FilesSnapshot(of=before.of, moment="after", late=late, note=before.note)
        if before.tree is None:
            return empty
        try:
            shadow = self._shadow(root)
            tree = shadow.take()
            found = shadow.compare(before.tree, tree)
            added, removed = shadow.lines(before.tree, tree) if found else (0, 0)
            kept = Kept.of(self.state, run_id)
            changes = _changes(shadow, kept, found)
            manifest = kept.put_changes(changes) if changes else None
            shadow.release(_held(run_id, before.of))
            shadow.prune(_PRUNED_EVERY)
            stood, stands = self._counts.pop((run_id, before.of), None), self._ignored(root, shadow)
        except (NoSnapshot, OSError, AcpAgentError) as error:
            return empty.model_copy(update={"note": _said(error)})
        return empty.model_copy(
            update={
                "tree": tree,
                "manifest": manifest,
                "paths": tuple(printable(path_of(change.path)) for change in changes[:MAX_PATHS]),
                "files": len(changes),
                "deleted": sum(change.after is None for change in changes),
                "added": added,
                "removed": removed,
                "ignored": _total(stands),
                "lost": _lost(before.ignored, stood, stands),
            }
        )

    def _ignored(self, root: str, shadow: Shadow) -> dict[bytes, int] | None:
        """The ignored files; None where counting them took too long, and then it is not tried again."""
        if root in self._uncounted:
            return None
        try:
            return shadow.ignored()
        except NoSnapshot:
            self._uncounted.add(root)
            return None

    def _shadow(self, root: str) -> Shadow:
        if self._failures.get(root, 0) >= _PATIENCE:
            raise NoSnapshot("the last ones took too long")
        if root not in self._shadows:
            real = Path(os.path.realpath(root))
            if exposes_home(real):
                raise NoSnapshot(f"{real} holds the home directory, which is never copied")
            sweep(self.state, time.time())
            place = ShadowPlace.of(self.state, real, self.environ)
            self._shadows[root] = Shadow(place, self.environ, budget=self.budget)
        return self._shadows[root]


def _total(counts: Mapping[bytes, int] | None) -> int | None:
    return None if counts is None else sum(counts.values())


def _lost(total: int | None, before: Mapping[bytes, int] | None, after: Mapping[bytes, int] | None) -> int:
    """Ignored files that are gone; after a kill only the sum is known of those before."""
    if after is None or total is None:
        return 0
    return max(0, total - sum(after.values())) if before is None else lost(before, after)


def _held(run_id: str, of: str) -> str:
    """The name by which a snapshot is kept from being pruned: a call's id is the model's, and may be anything."""
    return f"{run_id}-{hashlib.sha256(of.encode('utf-8', 'backslashreplace')).hexdigest()[:16]}"


def _said(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return error.what if isinstance(error, AcpAgentError) else str(error)


def _changes(shadow: Shadow, kept: Kept, found: Sequence[Difference]) -> list[FileChange]:
    """The differences with their contents: those from before are kept, those after only told by their hash."""
    digests: dict[str, str] = {}
    needed = {entry.blob for one in found if (entry := one.before) is not None and entry.blob}

    def take(blob: str, data: bytes) -> None:
        digests[blob] = kept.put(data) if blob in needed else digest(data)

    others = {entry.blob for one in found if (entry := one.after) is not None and entry.blob}
    shadow.contents([*needed, *(others - needed)], take)
    return [
        FileChange(path=name_of(one.path), before=_state(one.before, digests), after=_state(one.after, digests))
        for one in found
    ]


def _state(entry: Entry | None, digests: Mapping[str, str]) -> FileState | None:
    if entry is None:
        return None
    if entry.unkept is not None:
        return FileState(kind="unkept", digest=entry.unkept)
    found = digests.get(entry.blob)
    if found is None:
        return FileState(kind="unkept", digest=entry.blob)
    return FileState(kind="link" if entry.git_mode == "120000" else "file", digest=found, mode=entry.mode)


def name_of(path: bytes) -> str:
    """A path as it can be recorded: bytes that are no UTF-8 as hex after a NUL, which no path can hold."""
    try:
        return path.decode("utf-8")
    except UnicodeDecodeError:
        return f"\0{path.hex()}"


def path_of(name: str) -> str:
    """The path that `name_of` recorded, with surrogate escapes as the system has them."""
    return os.fsdecode(bytes.fromhex(name[1:])) if name.startswith("\0") else name
