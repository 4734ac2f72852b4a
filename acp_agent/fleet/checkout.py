"""A linked worktree of ours: found, read, staged and snapshotted, whatever the run did to it.

git is always told the worktree's private directory, never left to believe the `.git` file in a tree an agent wrote to.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from acp_agent.domain.errors import AcpAgentError
from acp_agent.domain.request import Workplace
from acp_agent.fleet.git import GitResult, git, git_as_somebody, ignored_among
from acp_agent.fleet.repository import common_directory
from acp_agent.fleet.status import Change, Status, parse_status

TRAILER = "Acp-Run"
_STATUS = ("status", "--porcelain=v2", "--branch", "-z", "-uall", "--no-renames", "--ignore-submodules=dirty")
_IN_PROGRESS = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")


@dataclass(frozen=True)
class Place:
    """A workplace of kind `worktree` with nothing left open. `common` is the repository's shared git directory."""

    root: Path
    common: Path
    worktree: Path
    branch: str
    base: str
    target: str | None
    subdir: str

    @staticmethod
    def of(workplace: Workplace) -> "Place":
        """The place of a workplace; raises AcpAgentError for one of another kind, or incomplete."""
        if not (workplace.kind == "worktree" and workplace.worktree and workplace.branch and workplace.base):
            raise AcpAgentError(f"{workplace.root} was worked on in place: there is no branch")
        return Place(
            root=Path(workplace.root),
            common=common_directory(workplace.root),
            worktree=Path(workplace.worktree),
            branch=workplace.branch,
            base=workplace.base,
            target=workplace.target,
            subdir=workplace.subdir.strip("/"),
        )

    @property
    def ref(self) -> str:
        """The full name of its branch."""
        return f"refs/heads/{self.branch}"

    @property
    def path(self) -> Path:
        """Where tools work."""
        return self.worktree / self.subdir if self.subdir else self.worktree

    def private(self) -> Path | None:
        """git's own directory for the worktree, None where git knows of none."""
        folder = self.common / "worktrees"
        likely = folder / self.worktree.name
        if _belongs(likely, self.worktree):
            return likely
        return next((entry for entry in _entries(folder) if _belongs(entry, self.worktree)), None)

    async def tip(self) -> str | None:
        """The commit its branch points at, None where there is no such branch."""
        found = await git(self.root, "rev-parse", "--verify", "--quiet", f"{self.ref}^{{commit}}", check=False)
        return found.text or None


@dataclass(frozen=True)
class Checkout:
    """The worktree of a place as it stands on disk; `private` is git's directory for it.

    `index` is used instead of the one there, where it is given.
    """

    place: Place
    private: Path
    index: Path | None = None

    @staticmethod
    def of(place: Place, index: Path | None = None) -> "Checkout | None":
        """The checkout of a place, None where it is not there."""
        private = place.private() if place.worktree.is_dir() else None
        return Checkout(place, private, index) if private else None

    @property
    def locks(self) -> tuple[Path, ...]:
        """The lock files git may have left that concern this worktree and its branch alone."""
        own = () if self.index is None else (self.index.with_name(f"{self.index.name}.lock"),)
        return (
            self.private / "index.lock",
            self.private / "HEAD.lock",
            self.place.common / f"{self.place.ref}.lock",
            *own,
        )

    @property
    def in_progress(self) -> bool:
        """Whether somebody left a merge or the like unfinished in it."""
        return any((self.private / name).exists() for name in _IN_PROGRESS)

    async def git(self, *arguments: str, stdin: bytes | None = None, index: Path | None = None) -> GitResult:
        """Run git on this worktree, with an index of its own where one is given."""
        return await git(self.place.worktree, *arguments, stdin=stdin, environment=self._environment(index))

    async def commit(self, *arguments: str, stdin: bytes) -> GitResult:
        """Run a git command that makes a commit."""
        return await git_as_somebody(self.place.worktree, *arguments, stdin=stdin, environment=self._environment(None))

    async def status(self) -> Status:
        """What differs from its HEAD; ignored files never do."""
        return parse_status((await self.git(*_STATUS)).stdout)

    async def stage(self, changes: Sequence[Change], index: Path | None = None) -> None:
        """Put the changes into the index as they stand in the working tree.

        A repository that the run made inside the tree is staged as plain files: as a link its content would be lost.
        """
        deleted = [change.path for change in changes if change.deleted]
        if deleted:
            nothing = "0" * len(self.place.base)
            lines = "".join(f"0 {nothing}\t{path}\0" for path in deleted)
            await self.git("update-index", "-z", "--index-info", stdin=os.fsencode(lines), index=index)
        paths = [change.path for change in changes if not change.deleted and not change.path.endswith("/")]
        nested = [change.path for change in changes if change.path.endswith("/")]
        if nested:
            paths += await self._plain_files(nested)
        if paths:
            await self.git(
                "update-index", "--add", "--remove", "--replace", "-z", "--stdin", stdin=_joined(paths), index=index
            )

    async def snapshot(self, message: str) -> str | None:
        """A commit of everything not committed yet, on top of HEAD; no branch moves. None where nothing is."""
        changes = (await self.status()).changes
        if not changes:
            return None
        index = self.private / f"acp-index-{os.urandom(6).hex()}"
        await anyio.to_thread.run_sync(shutil.copyfile, self.private / "index", index)
        try:
            await self.stage(changes, index)
            tree = (await self.git("write-tree", index=index)).text
        finally:
            index.unlink(missing_ok=True)
        return (await self.commit("commit-tree", tree, "-p", "HEAD", "-F", "-", stdin=message.encode())).text

    async def _plain_files(self, folders: Iterable[str]) -> list[str]:
        found = [path for folder in folders for path in _walk(self.place.worktree, folder)]
        ignored = await ignored_among(self.place.worktree, found, self._environment(None))
        return [path for path in found if path not in ignored]

    def _environment(self, index: Path | None) -> dict[str, str]:
        own = {"GIT_DIR": str(self.private), "GIT_WORK_TREE": str(self.place.worktree)}
        used = index or self.index
        return own if used is None else {**own, "GIT_INDEX_FILE": str(used)}


def _belongs(private: Path, worktree: Path) -> bool:
    try:
        entry = (private / "gitdir").read_text("utf-8", "surrogateescape").removesuffix("\n")
    except OSError:
        return False
    return os.path.realpath(os.path.dirname(os.path.join(private, entry))) == os.path.realpath(worktree)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _walk(top: Path, folder: str) -> Iterator[str]:
    for where, folders, files in os.walk(top / folder):
        folders[:] = [name for name in folders if name != ".git"]
        links = [name for name in folders if os.path.islink(os.path.join(where, name))]
        for name in (*files, *links):
            if name != ".git":
                yield os.path.relpath(os.path.join(where, name), top)


def _joined(paths: Iterable[str]) -> bytes:
    return b"".join(os.fsencode(path) + b"\0" for path in paths)
