"""What becomes of a result: shown, merged into the branch the run started from, or put aside. All may be repeated."""

from dataclasses import dataclass

from acp_agent.domain.errors import AcpAgentError, NothingSelected, Refused
from acp_agent.domain.events import Accepted, Rejected
from acp_agent.domain.request import Workplace
from acp_agent.fleet.advance import Advance, checked_out, conflict
from acp_agent.fleet.checkout import TRAILER, Checkout, Place
from acp_agent.fleet.git import GitFailed, git, git_as_somebody
from acp_agent.fleet.locks import repository_lock
from acp_agent.fleet.removal import delete_branch, remove_checkout

_ATTEMPTS = 3
_DIFF = (
    "-c",
    "diff.noprefix=false",
    "-c",
    "diff.mnemonicPrefix=false",
    "diff",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
)


@dataclass(frozen=True)
class _Tips:
    """Where branch and target stand; `checkout` is the path that has the target out."""

    branch: str | None
    target: str | None
    checkout: str | None


async def diff(place: Workplace, commit: str | None = None) -> str:
    """The unified diff from the base to `commit` (default: what stands in the worktree) of the project's directory."""
    return await _difference(Place.of(place), commit, "--patch")


async def stat(place: Workplace, commit: str | None = None) -> str:
    """The same as git's `--stat`."""
    return await _difference(Place.of(place), commit, "--stat=100")


async def accept(run_id: str, place: Workplace) -> Accepted:
    """Merge the run's commit into the branch it started from, then remove its worktree and branch.

    Nothing changes when it raises: Refused for a detached start, a branch that is gone or a dirty checkout;
    NothingSelected where the run left no commit; AcpAgentError naming the files for a conflict. What stood uncommitted
    in the worktree is kept under `refs/acp/leftover/`.
    """
    whole = Place.of(place)
    if whole.target is None:
        what = f"run {run_id} started from a detached HEAD: there is no branch to merge into"
        raise Refused(what, hint=f"git cherry-pick {whole.branch}")
    async with repository_lock(whole.common) as lock:
        for attempt in range(_ATTEMPTS):
            tips = await _tips(whole)
            try:
                head = await _merge(whole, whole.target, tips, run_id, lock)
                break
            except GitFailed as failure:
                # Somebody committed to the target between our look and our move: look again.
                if "but expected" not in failure.said or attempt == _ATTEMPTS - 1:
                    raise
        else:
            raise AssertionError("unreachable")
        await remove_checkout(whole, f"refs/acp/leftover/{run_id}", run_id)
        if tips.branch is not None:
            await delete_branch(whole, tips.branch)
    return Accepted(commit=head, target=whole.target)


async def reject(run_id: str, place: Workplace, note: str = "") -> Rejected:
    """Remove worktree and branch; what the run did, committed or not, stays under `refs/acp/rejected/<run_id>`."""
    whole = Place.of(place)
    ref = f"refs/acp/rejected/{run_id}"
    async with repository_lock(whole.common):
        tip = await whole.tip()
        if tip is not None and tip != whole.base and not await _has_ref(whole, ref):
            await git(whole.root, "update-ref", ref, tip)
        # A snapshot has the branch's commit as its parent, so the ref may move on to it.
        await remove_checkout(whole, ref, run_id)
        if tip is not None:
            await delete_branch(whole, tip)
        return Rejected(ref=ref if await _has_ref(whole, ref) else None, note=note)


async def _difference(place: Place, commit: str | None, form: str) -> str:
    scope = ("--", place.subdir) if place.subdir else ("--",)
    if commit is None:
        checkout = Checkout.of(place)
        commit = await checkout.snapshot("Work in progress") if checkout else None
        commit = commit or await place.tip()
    if commit is None:
        raise AcpAgentError(f"branch {place.branch} of {place.root} is gone", hint="It was accepted or rejected")
    shown = await git(place.root, *_DIFF, form, place.base, commit, *scope)
    return shown.stdout.decode("utf-8", "replace")


async def _tips(place: Place) -> _Tips:
    target = f"refs/heads/{place.target}"
    found = await checked_out(place.root, place.ref, target)
    commit, checkout = found.get(target, (None, None))
    return _Tips(branch=found.get(place.ref, (None, None))[0], target=commit, checkout=checkout)


async def _merge(place: Place, target: str, tips: _Tips, run_id: str, lock: int) -> str:
    """The target's head with the run's commit in it."""
    if tips.target is None:
        raise Refused(f"branch {target} of {place.root} is gone", hint=f"git branch {target} {place.base}")
    if tips.branch is None:
        return await _landed_before(place, tips.target, run_id)
    if tips.branch == place.base:
        raise NothingSelected(f"run {run_id} left no commit: there is nothing to accept", hint=f"acp reject {run_id}")
    if await _is_ancestor(place, tips.branch, tips.target):
        return tips.target
    new = tips.branch
    if not await _is_ancestor(place, tips.target, tips.branch):
        new = await _merged(place, target, tips.target, tips.branch, run_id)
    ref = f"refs/heads/{target}"
    move = Advance(place.root, place.common, run_id, ref, tips.target, new, tips.checkout)
    await move.apply(lock)
    return new


async def _merged(place: Place, target: str, ours: str, theirs: str, run_id: str) -> str:
    """A merge commit of both, made without touching any checkout."""
    merge = ("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", ours, theirs)
    result = await git(place.root, *merge, check=False)
    if result.status == 1:
        raise conflict(target, result.fields[1:], place.branch)
    if result.status != 0:
        hint = "git 2.38 or newer is needed" if "usage:" in result.stderr or "unknown" in result.stderr else None
        raise AcpAgentError(f"git merge-tree in {place.root}: exit status {result.status}", hint=hint)
    signing = await git(place.root, "config", "--type=bool", "commit.gpgsign", check=False)
    sign = ("-S",) if signing.text == "true" else ()
    message = f"Merge branch '{place.branch}' into {target}\n\n{TRAILER}: {run_id}\n"
    commit = ("commit-tree", result.fields[0], "-p", ours, "-p", theirs, *sign, "-F", "-")
    return (await git_as_somebody(place.root, *commit, stdin=message.encode())).text


async def _landed_before(place: Place, target: str, run_id: str) -> str:
    """The target's head if it holds the run's commit already: we were killed after the branch was deleted."""
    search = ("rev-list", "-1", f"--grep=^{TRAILER}: {run_id}$", target, f"^{place.base}")
    if not (await git(place.root, *search)).text:
        what = f"branch {place.branch} of {place.root} is gone"
        raise Refused(what, hint=f"Was run {run_id} rejected? See git for-each-ref refs/acp")
    return target


async def _is_ancestor(place: Place, older: str, newer: str) -> bool:
    result = await git(place.root, "merge-base", "--is-ancestor", older, newer, check=False)
    if result.status not in (0, 1):
        raise GitFailed("merge-base", str(place.root), result.status, result.stderr)
    return result.status == 0


async def _has_ref(place: Place, ref: str) -> bool:
    return (await git(place.root, "show-ref", "--verify", "--quiet", ref, check=False)).status == 0
