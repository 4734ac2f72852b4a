"""A shadow git repository: snapshots of a workspace that neither touch its own repository nor run anything of it.

It has a git directory, an index and objects of its own in the state directory; the objects of the user's repository are
lent to it (`objects/info/alternates`), and its index begins as a copy of theirs, so that the first snapshot reads only
what differs. Attributes are switched off: a snapshot holds the bytes on disk, whatever line ends or filters say.
Ignored files are left out, and files over 100 MB; permission bits, which git does not keep, stand in a list beside the
tree. Repositories inside the workspace (submodules too) are left to their own git.
"""

import os
import stat
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from acp_agent.tools.census import Census
from acp_agent.tools.shadow_git import Broken, ShadowGit
from acp_agent.tools.shadow_place import ShadowPlace

MAX_BYTES = 100 * 1024 * 1024
BUDGET = 2.0
"""Seconds that one snapshot may take."""
_CHUNK = 500
_PAUSE = 0.01
_USUAL = {"100644": 0o644, "100755": 0o755}


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a snapshot: git's mode and object, permission bits; `unkept`: size and time where it is too large."""

    git_mode: str
    blob: str
    mode: int | None
    unkept: str | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One path that differs between two snapshots, relative to the workspace."""

    path: bytes
    before: Entry | None
    after: Entry | None


@dataclass(frozen=True, slots=True)
class _Listing:
    paths: frozenset[bytes]
    changed: Sequence[bytes]


@dataclass
class Shadow:
    """The shadow of one workspace. Safe to use from several threads and processes: a lock is held for each snapshot."""

    place: ShadowPlace
    environ: Mapping[str, str]
    max_bytes: int = MAX_BYTES
    budget: float = BUDGET
    git: ShadowGit = field(init=False)
    _last: tuple[tuple[int, int, int], str] | None = field(default=None, init=False)

    _present: Collection[bytes] = field(default=(), init=False)
    _census: Census = field(init=False)

    def __post_init__(self) -> None:
        self._census = Census(os.fsencode(self.place.top))
        self.git = ShadowGit(self.place, self.environ, self.budget)

    def take(self) -> str:
        """A snapshot of what stands in the workspace now; returns its tree. Raises NoSnapshot."""
        deadline = time.monotonic() + self.budget
        with self.git.locked(deadline):
            self.git.make()
            listing = self._listing(deadline)
            self._present = listing.paths
            modes = self._modes(listing)
            self._update([path for path in listing.changed if path not in modes.unkept], deadline)
            return self._wrapped(self._written(deadline), modes.text)

    def ignored(self) -> dict[bytes, int]:
        """The files that git ignores, as they stand now, beside those of the last snapshot. Raises NoSnapshot."""
        return self._census.ignored(self._present, os.fsencode(self.place.inside))

    def hold(self, name: str, tree: str) -> None:
        """Keep `tree` until it is released, whatever is pruned meanwhile."""
        ref = self.place.folder / "refs" / "acp" / name
        ref.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: git stumbles over a ref that is empty because we were killed.
        fresh = self.place.folder / f"held-{name.replace('/', '-')}"
        fresh.write_text(f"{tree}\n", encoding="ascii")
        fresh.replace(ref)

    def release(self, name: str) -> None:
        """`name` need not be held any longer."""
        (self.place.folder / "refs" / "acp" / name).unlink(missing_ok=True)

    def compare(self, before: str, after: str) -> list[Difference]:
        """What differs between two snapshots. Raises NoSnapshot."""
        if before == after:
            return []
        deadline = time.monotonic() + 30 * self.budget
        old, new = _parsed_modes(self._modes_of(before, deadline)), _parsed_modes(self._modes_of(after, deadline))
        raw = self.git.run(
            deadline,
            "diff-tree",
            "-r",
            "-z",
            "--raw",
            "--no-renames",
            "--no-abbrev",
            f"{before}:files",
            f"{after}:files",
        )
        found: dict[bytes, Difference] = {}
        fields = raw.split(b"\0")[:-1]
        for head, path in zip(fields[::2], fields[1::2], strict=True):
            mode_a, mode_b, blob_a, blob_b, _ = head.decode("ascii").removeprefix(":").split(" ")
            found[path] = Difference(path, _entry(mode_a, blob_a, path, old), _entry(mode_b, blob_b, path, new))
        only_modes = {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)} - found.keys()
        if only_modes:
            found |= self._with_other_modes(only_modes, (before, old), (after, new), deadline)
        inside = os.fsencode(f"{self.place.inside}/") if self.place.inside else b""
        return [
            Difference(path[len(inside) :], difference.before, difference.after)
            for path, difference in sorted(found.items())
            if path.startswith(inside) and difference.before != difference.after
        ]

    def lines(self, before: str, after: str) -> tuple[int, int]:
        """Lines added and removed between two snapshots; binary files have none. Raises NoSnapshot."""
        deadline = time.monotonic() + 30 * self.budget
        numstat = ("diff-tree", "-r", "-z", "--numstat", "--no-renames", "--no-ext-diff", "--no-textconv")
        rows = self.git.run(deadline, *numstat, f"{before}:files", f"{after}:files").split(b"\0")[:-1]
        counts = [row.split(b"\t", 2)[:2] for row in rows]
        added = sum(int(plus) for plus, _ in counts if plus != b"-")
        return added, sum(int(minus) for _, minus in counts if minus != b"-")

    def contents(self, blobs: Collection[str], each: Callable[[str, bytes], None]) -> None:
        """Give the bytes of `blobs` one by one; those that are gone are left out. Raises NoSnapshot."""
        if not blobs:
            return
        argv = ["git", "cat-file", "--batch"]
        with subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.git.environment(), process_group=0
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for blob in blobs:
                process.stdin.write(f"{blob}\n".encode())
                process.stdin.flush()
                head = process.stdout.readline().split()
                if len(head) != 3:
                    continue
                data = process.stdout.read(int(head[2]))
                process.stdout.read(1)
                each(blob, data)

    def prune(self, older_than: float) -> None:
        """Pack what is still needed and drop the rest, at most once in `older_than` seconds."""
        stamp = self.place.folder / "acp-pruned"
        if not stamp.exists():
            stamp.touch()
            return
        if time.time() - stamp.stat().st_mtime < older_than:
            return
        with self.git.locked(time.monotonic() + self.budget):
            stamp.touch()
            self._last = None
            self.git.run(time.monotonic() + 60.0, "gc", "--quiet", "--prune=now")

    def _listing(self, deadline: float) -> _Listing:
        excluded = [word for path in self.place.exclude_files for word in ("--exclude-from", str(path))]
        asked = ("ls-files", "-z", "-t", "-c", "-m", "-d", "-o", "--exclude-standard", *excluded)
        scope = ("--", self.place.inside) if self.place.inside else ()
        try:
            listed = self.git.run(deadline, *asked, *scope)
        except Broken:
            # An index that only its own repository can read (a split one): begin with an empty one.
            (self.place.folder / "index").unlink(missing_ok=True)
            listed = self.git.run(deadline, *asked, *scope)
        present: set[bytes] = set()
        changed: dict[bytes, None] = {}
        others: set[bytes] = set()
        for row in listed.split(b"\0")[:-1]:
            tag, path = row[:1], row[2:]
            if tag in b"HM?":
                present.add(path)
            if tag in b"CRM?":
                changed[path] = None
            if tag == b"?":
                others.add(path)
        # A repository of its own inside ends in a slash; a file below what is now a link is gone with its directory.
        wanted = [path for path in changed if not path.endswith(b"/") and not _is_below(path, others)]
        return _Listing(frozenset(path for path in present if not path.endswith(b"/")), wanted)

    def _modes(self, listing: _Listing) -> "_Modes":
        """Unusual permission bits, and what is too large or unreadable, of all that is there."""
        top, changed = os.fsencode(self.place.top), set(listing.changed)
        rows: list[bytes] = []
        unkept: set[bytes] = set()
        for path in sorted(listing.paths):
            try:
                status = os.lstat(top + b"/" + path)
            except OSError:
                continue
            if not stat.S_ISREG(status.st_mode):
                continue
            mode = stat.S_IMODE(status.st_mode)
            if path in changed and (status.st_size > self.max_bytes or not os.access(top + b"/" + path, os.R_OK)):
                unkept.add(path)
                rows.append(b"u%d:%d %s\0" % (status.st_size, status.st_mtime_ns, path))
            elif mode != (0o755 if mode & 0o100 else 0o644):
                rows.append(b"%o %s\0" % (mode, path))
        return _Modes(b"".join(rows), unkept)

    def _update(self, paths: Sequence[bytes], deadline: float) -> None:
        top = os.fsencode(self.place.top)
        odd = [path for path in paths if not _stands(top, path)]
        if odd:
            nothing = b"0" * (64 if self.place.sha256 else 40)
            lines = b"".join(b"0 %s\t%s\0" % (nothing, path) for path in odd)
            self.git.run(deadline, "update-index", "-z", "--index-info", stdin=lines)
        gone = set(odd)
        plain = [path for path in paths if path not in gone]
        update = ("update-index", "--add", "--remove", "--replace", "-z", "--stdin")
        # In parts, so that what was read is not read again where the time runs out.
        for start in range(0, len(plain), _CHUNK):
            part = plain[start : start + _CHUNK]
            self.git.run(deadline, *update, stdin=b"".join(path + b"\0" for path in part))

    def _written(self, deadline: float) -> str:
        """The tree of the index; git is asked only where the index is another than last time."""
        index = self.place.folder / "index"
        if not index.exists():
            return self.git.run(deadline, "write-tree").decode("ascii").strip()
        status = index.stat()
        signature = (status.st_ino, status.st_mtime_ns, status.st_size)
        if self._last is None or self._last[0] != signature:
            # It keeps the trees it makes in the index, which is another afterwards.
            tree = self.git.run(deadline, "write-tree", "--missing-ok").decode("ascii").strip()
            status = index.stat()
            self._last = ((status.st_ino, status.st_mtime_ns, status.st_size), tree)
        return self._last[1]

    def _with_other_modes(
        self,
        paths: Collection[bytes],
        before: tuple[str, Mapping[bytes, str]],
        after: tuple[str, Mapping[bytes, str]],
        deadline: float,
    ) -> dict[bytes, Difference]:
        """Paths whose object is the same and whose permission bits are not, or that were too large to have one."""
        sides: list[dict[bytes, Entry]] = []
        for tree, modes in (before, after):
            listed = self.git.run(deadline, "ls-tree", "-r", "-z", "--full-tree", f"{tree}:files")
            found: dict[bytes, Entry] = {}
            for row in listed.split(b"\0")[:-1]:
                head, _, path = row.partition(b"\t")
                if path in paths:
                    mode, _, blob = head.decode("ascii").split(" ")
                    if (entry := _entry(mode, blob, path, modes)) is not None:
                        found[path] = entry
            found |= {
                path: Entry("100644", "", None, modes[path])
                for path in paths
                if path not in found and modes.get(path, "").startswith("u")
            }
            sides.append(found)
        return {path: Difference(path, sides[0].get(path), sides[1].get(path)) for path in paths}

    def _modes_of(self, tree: str, deadline: float) -> bytes:
        return self.git.run(deadline, "cat-file", "blob", f"{tree}:modes")

    def _wrapped(self, files: str, modes: bytes) -> str:
        """A tree that holds the tree of the files and the list of modes: written here, for want of a process less."""
        blob = self.git.write_object(b"blob", modes)
        tree = b"40000 files\0" + bytes.fromhex(files) + b"100644 modes\0" + bytes.fromhex(blob)
        return self.git.write_object(b"tree", tree)


@dataclass(frozen=True, slots=True)
class _Modes:
    text: bytes
    unkept: Collection[bytes]


def _is_below(path: bytes, others: Collection[bytes]) -> bool:
    position = path.find(b"/")
    while position >= 0:
        if path[:position] in others:
            return True
        position = path.find(b"/", position + 1)
    return False


def _stands(top: bytes, path: bytes) -> bool:
    """Whether a file or link is there that git can take, below real folders.

    What else stood there is gone: a pipe, a folder or a link in its place, or in the place of one of its folders.
    """
    place = top
    *folders, name = path.split(b"/")
    try:
        for folder in folders:
            place = place + b"/" + folder
            if not stat.S_ISDIR(os.lstat(place).st_mode):
                return False
        mode = os.lstat(place + b"/" + name).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def _parsed_modes(text: bytes) -> dict[bytes, str]:
    rows = (row.partition(b" ") for row in text.split(b"\0")[:-1])
    return {path: mode.decode("ascii") for mode, _, path in rows}


def _entry(git_mode: str, blob: str, path: bytes, modes: Mapping[bytes, str]) -> Entry | None:
    """An entry of a tree; None where there was none, or a repository of its own."""
    listed = modes.get(path)
    if listed is not None and listed.startswith("u"):
        return Entry("100644", "", None, listed)
    if git_mode == "120000":
        return Entry(git_mode, blob, None)
    usual = _USUAL.get(git_mode)
    if usual is None:
        return None
    return Entry(git_mode, blob, usual if listed is None else int(listed, 8))
