"""Takes worktrees and branches away without losing what stands in them. Every function may be called again."""

import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio.to_thread

from acp_agent.domain.request import Workplace
from acp_agent.fleet.advance import checked_out
from acp_agent.fleet.checkout import TRAILER, Checkout, Place
from acp_agent.fleet.git import git
from acp_agent.fleet.locks import clear_stale, repository_lock

_REMOVING = "acp-removing"


async def remove(run_id: str, place: Workplace) -> str | None:
    """Remove the worktree, not its branch. What was uncommitted is kept under the ref returned, None if nothing was."""
    whole = Place.of(place)
    async with repository_lock(whole.common):
        return await remove_checkout(whole, f"refs/acp/leftover/{run_id}", run_id)


async def discard_if(place: Workplace, empty: Callable[[Place], Awaitable[bool]]) -> None:
    """Remove the worktree, and its branch where that is at its base, if `empty` finds nothing that would be lost."""
    whole = Place.of(place)
    async with repository_lock(whole.common):
        if await empty(whole):
            await _delete(whole, Checkout.of(whole))
            await delete_branch(whole, whole.base)


async def remove_checkout(place: Place, leftover: str, run_id: str) -> str | None:
    """Remove the worktree of a place whose repository is locked; see `remove`."""
    checkout = Checkout.of(place)
    kept = None
    if checkout is not None:
        await clear_stale(checkout.locks)
        if (checkout.private / "index").exists() and not is_half_removed(checkout.private):
            commit = await checkout.snapshot(f"Left over by run {run_id}\n\n{TRAILER}: {run_id}\n")
            if commit is not None:
                await git(place.root, "update-ref", leftover, commit)
                kept = leftover
    await _delete(place, checkout)
    return kept


async def _delete(place: Place, checkout: Checkout | None) -> None:
    """Delete the worktree and git's own directory for it; killed half-way, it is known by its mark."""

    def delete() -> None:
        if checkout is not None:
            (checkout.private / _REMOVING).touch()
            delete_tree(place.worktree)
        private = place.private()
        if private is not None:
            delete_tree(private)

    await anyio.to_thread.run_sync(delete)


async def delete_branch(place: Place, tip: str) -> None:
    """Delete the branch of a place if it still points at `tip`; one that a person has checked out stays."""
    await clear_stale([place.common / f"{place.ref}.lock"])
    found = (await checked_out(place.root, place.ref)).get(place.ref)
    if found is None or found[0] != tip:
        return
    if found[1] is None or _same(found[1], place.worktree):
        await git(place.root, "update-ref", "-d", place.ref, tip)


def is_half_removed(private: Path) -> bool:
    """Whether a removal was begun: what is missing from the worktree then says nothing."""
    return (private / _REMOVING).exists()


def delete_tree(path: Path) -> None:
    """Delete a tree if it is there; folders without write permission (module caches) included."""
    if not path.exists():
        return
    for where, folders, _ in os.walk(path):
        for name in folders:
            folder = os.path.join(where, name)
            if not os.path.islink(folder) and not os.access(folder, os.W_OK | os.X_OK):
                os.chmod(folder, 0o700)
    shutil.rmtree(path)


def _same(one: str, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
