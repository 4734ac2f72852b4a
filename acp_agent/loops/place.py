"""The two working trees of a loop: one the agent works in, one that only gates and metrics see. All may be repeated.

What an agent leaves in ignored files of its tree (caches, dependencies) never reaches the judge's; what it did to its
own `.git` is not believed either, since git is always told where it is.
"""

from dataclasses import dataclass
from pathlib import Path

from acp_agent.domain.request import Workplace
from acp_agent.fleet.checkout import Place
from acp_agent.fleet.git import git
from acp_agent.fleet.locks import clear_stale
from acp_agent.fleet.removal import delete_branch, remove_checkout
from acp_agent.fleet.status import count
from acp_agent.fleet.worktree import GitWorkplaces
from acp_agent.loops.trees import LoopTree

TRAILERS = ("Acp-Loop", "Acp-Iteration")


@dataclass(frozen=True, slots=True)
class Change:
    """A change as a commit on no branch; `paths` are relative to the repository."""

    commit: str
    tree: str
    paths: tuple[str, ...]
    files: int
    added: int
    removed: int


@dataclass(frozen=True, slots=True)
class LoopPlace:
    """The trees of one loop."""

    loop_id: str
    work: Workplace
    judge: Workplace

    def ref(self, kind: str, name: str) -> str:
        """`refs/acp/rejected/l_x/7`."""
        return f"refs/acp/{kind}/{self.loop_id}/{name}"

    async def prepare(self, places: GitWorkplaces, setup: str | None) -> None:
        """Make both trees exist and set new ones up. Raises Refused or AcpAgentError."""
        await places.prepare(self.loop_id, self.work, setup)
        await places.prepare(self.loop_id, self.judge, setup)
        checkout = LoopTree.of(self.judge).checkout
        place = checkout.place
        if (checkout.private / "HEAD").read_text("utf-8").startswith("ref:"):
            # No branch is left of the judge's tree: nothing is ever committed there.
            await checkout.git("update-ref", "--no-deref", "HEAD", place.base)
        if (place.common / place.ref).exists() and (tip := await place.tip()) is not None:
            await delete_branch(place, tip)

    async def reset(self, base: str) -> None:
        """Make the agent's tree stand clean at `base`, on its branch; ignored files stay."""
        await LoopTree.of(self.work).stand(base, self.work.branch)

    async def changes(self, base: str, message: str) -> Change | None:
        """What stands in the agent's tree against `base`, as a commit that nothing but a ref of ours holds."""
        found = LoopTree.find(self.work)
        tree = None if found is None else await found.captured(base)
        if found is None or tree is None:
            return None
        made = await found.checkout.commit("commit-tree", tree, "-p", base, "-F", "-", stdin=message.encode())
        await git(self.work.root, "update-ref", self.ref("candidate", "now"), made.text)
        shown = await git(self.work.root, "diff-tree", "-r", "--numstat", "-z", "--no-renames", base, made.text)
        totals = count(shown.fields)
        if not totals.files:
            return None
        paths = tuple(field.split("\t", 2)[2] for field in shown.fields)
        return Change(made.text, tree, paths, totals.files, totals.added, totals.removed)

    async def keep(self, kind: str, name: str, commit: str) -> str:
        """Keep a commit under a ref of ours; returns the ref."""
        ref = self.ref(kind, name)
        await git(self.work.root, "update-ref", ref, commit)
        return ref

    async def show(self, commit: str) -> None:
        """Make the judge's tree stand at `commit`, without anything a command left there."""
        await LoopTree.of(self.judge).stand(commit, None)

    async def accepted(self, base: str, iteration: int) -> str | None:
        """The commit of this iteration, if it is the branch's head already: we were killed before it was on record."""
        tip = await Place.of(self.work).tip()
        if tip is None or tip == base:
            return None
        shown = await git(self.work.root, "log", "-1", "--no-show-signature", "--format=%P%x00%B", tip)
        parents, _, message = shown.text.partition("\0")
        wanted = {f"{TRAILERS[0]}: {self.loop_id}", f"{TRAILERS[1]}: {iteration}"}
        return tip if parents == base and wanted <= set(message.splitlines()) else None

    async def commit(self, base: str, tree: str, message: str) -> str:
        """One commit over `base` as the branch's new head, with the agent's tree on it.

        Raises GitFailed where the head is not `base`: then it may be that commit already.
        """
        found = LoopTree.of(self.work)
        await clear_stale(found.checkout.locks)
        made = await found.checkout.commit("commit-tree", tree, "-p", base, "-F", "-", stdin=message.encode())
        ref = found.checkout.place.ref
        await git(self.work.root, "update-ref", "-m", f"acp loop {self.loop_id}", ref, made.text, base)
        await found.keep()
        return made.text

    async def remove(self) -> None:
        """Take both trees away; the branch stays, and what was uncommitted is kept under a ref."""
        for workplace, name in ((self.work, "work"), (self.judge, "judge")):
            await remove_checkout(Place.of(workplace), self.ref("leftover", name), self.loop_id)
            LoopTree.forget(workplace)
        await git(self.work.root, "update-ref", "-d", self.ref("candidate", "now"))

    def path(self) -> str:
        """Where the agent's tools work."""
        return str(Place.of(self.work).path)

    def judge_path(self) -> Path:
        """Where gates and metrics run."""
        return Place.of(self.judge).path
