"""Moves a branch of a person's repository forward to a commit, together with the checkout that has it out, if any."""

import os
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from acp_agent.domain.errors import AcpAgentError, Refused
from acp_agent.fleet.git import GitFailed, git
from acp_agent.fleet.locks import FOLDER, clear_stale
from acp_agent.fleet.status import Change, parse_status

_SHOWN = 5
_STATUS = ("status", "--porcelain=v2", "-z", "--no-renames", "--ignore-submodules=dirty")


@dataclass(frozen=True)
class Advance:
    """Move `ref` from commit `old` to its descendant `new`. `checkout` is the path that has the branch out, if any."""

    root: Path
    common: Path
    run_id: str
    ref: str
    old: str
    new: str
    checkout: str | None

    @property
    def note(self) -> Path:
        """Exists while the checkout is moved: what a kill leaves half-moved is told from a person's edits by it."""
        return self.common / FOLDER / f"landing-{self.run_id}"

    async def apply(self, lock: int) -> None:
        """Do it, or change nothing and raise Refused (a dirty checkout) or GitFailed (the branch moved meanwhile)."""
        if self.checkout is None:
            await git(self.root, "update-ref", "-m", f"acp accept {self.run_id}", self.ref, self.new, self.old)
            return
        if self.note.exists():
            await self._finish(self.checkout, lock)
        else:
            await self._merge(self.checkout, lock)
        self.note.unlink(missing_ok=True)

    async def _merge(self, checkout: str, lock: int) -> None:
        status = parse_status((await git(checkout, *_STATUS, "-uno")).stdout)
        _refuse(checkout, [change.path for change in status.changes], "has uncommitted changes")
        self.note.touch()
        fast_forward = ("merge", "--ff-only", "--no-autostash", "--no-stat", "--quiet", self.new)
        try:
            await git(checkout, *fast_forward, hold=lock)
        except GitFailed as failure:
            # git checks before it changes anything, so a refusal leaves the checkout as it was.
            self.note.unlink(missing_ok=True)
            in_the_way = [line.strip() for line in failure.said.splitlines() if line.startswith("\t")]
            _refuse(checkout, in_the_way, "has files in the way")
            raise

    async def _finish(self, checkout: str, lock: int) -> None:
        """Go on after a kill: part of the files may be new, the index and the branch still old."""
        own = Path((await git(checkout, "rev-parse", "--absolute-git-dir")).text)
        await clear_stale([own / "index.lock"])
        status = parse_status((await git(checkout, *_STATUS, "-uall")).stdout)
        _refuse(checkout, await self._edited(checkout, own, status.changes), "has uncommitted changes")
        await git(checkout, "read-tree", "--reset", "-u", self.new, hold=lock)
        await git(checkout, "update-ref", "-m", f"acp accept {self.run_id}", "HEAD", self.new, self.old)

    async def _edited(self, checkout: str, own: Path, changes: tuple[Change, ...]) -> list[str]:
        """The changed paths that stand neither as in the old commit nor as in the new one: a person's."""
        index = own / "acp-index"
        with_index = {"GIT_INDEX_FILE": str(index)}
        try:
            await git(checkout, "read-tree", self.new, environment=with_index)
            await git(checkout, "update-index", "-q", "--refresh", check=False, environment=with_index)
            unlike_new = set((await git(checkout, "diff-files", "--name-only", "-z", environment=with_index)).fields)
        finally:
            index.unlink(missing_ok=True)
        in_new = set((await git(checkout, "ls-tree", "-r", "--name-only", "-z", "--full-tree", self.new)).fields)
        edited: list[str] = []
        for change in changes:
            if change.path in in_new:
                if change.path in unlike_new and not await self._half_written(checkout, change.path):
                    edited.append(change.path)
            elif not change.untracked and not change.deleted:
                edited.append(change.path)
        return edited

    async def _half_written(self, checkout: str, path: str) -> bool:
        """Whether a file holds only the beginning of what the new commit has there: git was killed while it wrote."""
        whole = await git(checkout, "cat-file", "--filters", f"{self.new}:{path}", check=False)
        return whole.status == 0 and await anyio.to_thread.run_sync(
            _holds_beginning, Path(checkout, path), whole.stdout
        )


async def checked_out(root: Path, *refs: str) -> dict[str, tuple[str, str | None]]:
    """For each of `refs` that exists: its commit, and the path of the checkout that has it out, if any."""
    form = "--format=%(refname)%00%(objectname)%00%(worktreepath)%00"
    shown = (await git(root, "for-each-ref", form, *refs)).stdout
    fields = os.fsdecode(shown).replace("\0\n", "\0").split("\0")[:-1]
    found = zip(fields[::3], fields[1::3], fields[2::3], strict=True)
    return {name: (commit, path or None) for name, commit, path in found if name in refs}


def _holds_beginning(file: Path, whole: bytes) -> bool:
    return file.is_file() and not file.is_symlink() and whole.startswith(file.read_bytes())


def _refuse(checkout: str, paths: list[str], what: str) -> None:
    if paths:
        more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
        shown = ", ".join(paths[:_SHOWN])
        raise Refused(f"{checkout} {what}: {shown}{more}", hint="Commit or stash them, then accept again")


def conflict(target: str, paths: list[str], branch: str) -> AcpAgentError:
    """The error for a merge that needs a person."""
    what = f"{branch} conflicts with {target} in {', '.join(paths)}; nothing was changed"
    return AcpAgentError(what, hint=f"Merge it by hand (git merge {branch}), or reject it and run again")
