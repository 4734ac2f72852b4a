"""The two working trees of a loop: one the agent works in, one that only gates and metrics see. All may be repeated.

What an agent leaves in ignored files of its tree (caches, dependencies) never reaches the judge's; what it did to its
own `.git` is not believed either, since git is always told where it is.
"""

from dataclasses import dataclass
from pathlib import Path

from acp_agent.domain.errors import AcpAgentError
from acp_agent.domain.request import Workplace
from acp_agent.fleet.checkout import Checkout, Place
from acp_agent.fleet.git import git
from acp_agent.fleet.locks import clear_stale
from acp_agent.fleet.removal import delete_branch, remove_checkout
from acp_agent.fleet.status import count
from acp_agent.fleet.worktree import GitWorkplaces

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
        place = Place.of(self.judge)
        checkout = _checkout(place)
        if (checkout.private / "HEAD").read_text("utf-8").startswith("ref:"):
            # No branch is left of the judge's tree: nothing is ever committed there.
            await checkout.git("update-ref", "--no-deref", "HEAD", place.base)
        if (place.common / place.ref).exists() and (tip := await place.tip()) is not None:
            await delete_branch(place, tip)

    async def reset(self, base: str) -> None:
        """Make the agent's tree stand clean at `base`, on its branch; ignored files stay."""
        checkout = _checkout(Place.of(self.work))
        await clear_stale(checkout.locks)
        await checkout.git("checkout", "--quiet", "--force", "-B", checkout.place.branch, base)
        await checkout.git("clean", "-ffdq")

    async def changes(self, base: str, message: str) -> Change | None:
        """What stands in the agent's tree against `base`, as a commit that nothing but a ref of ours holds."""
        checkout = Checkout.of(Place.of(self.work))
        if checkout is None:
            return None
        await clear_stale(checkout.locks)
        head = await checkout.git("rev-parse", "--symbolic-full-name", "HEAD")
        if head.text != checkout.place.ref or await checkout.place.tip() != base or checkout.in_progress:
            await checkout.git("symbolic-ref", "HEAD", checkout.place.ref)
            await checkout.git("reset", "--quiet", "--mixed", base)
        commit = await checkout.snapshot(message)
        if commit is None:
            return None
        await git(self.work.root, "update-ref", self.ref("candidate", "now"), commit)
        shown = await git(self.work.root, "diff-tree", "-r", "--numstat", "-z", "--no-renames", base, commit)
        totals = count(shown.fields)
        if not totals.files:
            return None
        tree = (await git(self.work.root, "rev-parse", f"{commit}^{{tree}}")).text
        paths = tuple(field.split("\t", 2)[2] for field in shown.fields)
        return Change(commit, tree, paths, totals.files, totals.added, totals.removed)

    async def keep(self, kind: str, name: str, commit: str) -> str:
        """Keep a commit under a ref of ours; returns the ref."""
        ref = self.ref(kind, name)
        await git(self.work.root, "update-ref", ref, commit)
        return ref

    async def show(self, commit: str) -> None:
        """Make the judge's tree stand at `commit`, without anything a command left there."""
        checkout = _checkout(Place.of(self.judge))
        await clear_stale(checkout.locks)
        await checkout.git("clean", "-ffdq")
        await checkout.git("checkout", "--quiet", "--force", "--detach", commit)

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
        """One commit over `base` as the branch's new head, with the agent's tree on it."""
        place = Place.of(self.work)
        checkout = _checkout(place)
        made = await checkout.commit("commit-tree", tree, "-p", base, "-F", "-", stdin=message.encode())
        await git(self.work.root, "update-ref", "-m", f"acp loop {self.loop_id}", place.ref, made.text)
        return made.text

    async def remove(self) -> None:
        """Take both trees away; the branch stays, and what was uncommitted is kept under a ref."""
        for workplace, name in ((self.work, "work"), (self.judge, "judge")):
            await remove_checkout(Place.of(workplace), self.ref("leftover", name), self.loop_id)

    def path(self) -> str:
        """Where the agent's tools work."""
        return str(Place.of(self.work).path)

    def judge_path(self) -> Path:
        """Where gates and metrics run."""
        return Place.of(self.judge).path


def _checkout(place: Place) -> Checkout:
    checkout = Checkout.of(place)
    if checkout is None:
        raise AcpAgentError(f"the worktree {place.worktree} is gone", hint="start the loop again: it is made anew")
    return checkout
