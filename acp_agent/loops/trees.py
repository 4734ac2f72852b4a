"""One working tree of a loop, with an index of ours beside it.

Commands that run in a tree can write git's own index of it, and mark a file there as one that git shall not look at:
a changed check would then outlive every reset. So what a tree holds is told by an index that no command reaches; git's
own is a copy of it, for those who ask git inside.
"""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from acp_agent.domain.errors import AcpAgentError
from acp_agent.domain.request import Workplace
from acp_agent.fleet.checkout import Checkout, Place
from acp_agent.fleet.locks import clear_stale


@dataclass(frozen=True, slots=True)
class LoopTree:
    """A checkout that is read, reset and captured through our index."""

    checkout: Checkout

    @staticmethod
    def find(workplace: Workplace) -> "LoopTree | None":
        """The tree of a workplace, None where it is not there."""
        place = Place.of(workplace)
        checkout = Checkout.of(place, index=_index(place))
        return None if checkout is None else LoopTree(checkout)

    @staticmethod
    def of(workplace: Workplace) -> "LoopTree":
        """The tree of a workplace. Raises AcpAgentError where it is gone."""
        tree = LoopTree.find(workplace)
        if tree is None:
            what = f"the worktree {workplace.worktree} is gone"
            raise AcpAgentError(what, hint="start the loop again: it is made anew")
        return tree

    @staticmethod
    def forget(workplace: Workplace) -> None:
        """Remove the index of a tree that was taken away."""
        index = _index(Place.of(workplace))
        for path in (index, _candidate(index)):
            path.unlink(missing_ok=True)

    @property
    def _own(self) -> Path:
        return _index(self.checkout.place)

    async def stand(self, commit: str, branch: str | None) -> None:
        """Make it stand at `commit`, on `branch` or on none, without anything that git does not ignore."""
        checkout = self.checkout
        await clear_stale(checkout.locks)
        if not await self._stands(commit, branch):
            how = ("--detach",) if branch is None else ("-B", branch)
            await checkout.git("checkout", "--quiet", "--force", *how, commit)
            await checkout.git("clean", "-ffdq")
        await anyio.to_thread.run_sync(self._show_index)

    async def captured(self, base: str) -> str | None:
        """The tree object of all that stands in it; None where that is `base`. Its branch is at `base` after it."""
        checkout = self.checkout
        await clear_stale(checkout.locks)
        status = await checkout.status() if self._own.exists() else None
        if status is None or (status.branch, status.head) != (checkout.place.branch, base) or checkout.in_progress:
            await checkout.git("symbolic-ref", "HEAD", checkout.place.ref)
            await checkout.git("reset", "--quiet", "--mixed", base)
            status = await checkout.status()
        if not status.changes:
            return None
        candidate = _candidate(self._own)
        await anyio.to_thread.run_sync(shutil.copyfile, self._own, candidate)
        await checkout.stage(status.changes, candidate)
        return (await checkout.git("write-tree", index=candidate)).text

    async def keep(self) -> None:
        """What was captured is the base now: then nothing differs from it. Where it is not, `stand` sees that."""
        candidate = _candidate(self._own)
        if candidate.exists():
            candidate.replace(self._own)
            await anyio.to_thread.run_sync(self._show_index)

    async def _stands(self, commit: str, branch: str | None) -> bool:
        head = (self.checkout.private / "HEAD").read_text("utf-8", "replace").strip()
        if head != (commit if branch is None else f"ref: {self.checkout.place.ref}"):
            return False
        status = await self.checkout.status()
        return status.head == commit and not status.changes and not self.checkout.in_progress

    def _show_index(self) -> None:
        """Copy our index to where git looks for it; what stands there may be a link of the agent's, so not into it."""
        content = self._own.read_bytes()
        descriptor, name = tempfile.mkstemp(prefix="acp-index-", dir=self.checkout.private)
        with os.fdopen(descriptor, "wb") as copy:
            copy.write(content)
        os.replace(name, self.checkout.private / "index")


def _index(place: Place) -> Path:
    return place.worktree.with_name(f"{place.worktree.name}.index")


def _candidate(index: Path) -> Path:
    return index.with_name(f"{index.name}.candidate")
