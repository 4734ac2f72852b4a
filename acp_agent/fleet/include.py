"""Copies what `.worktreeinclude` names from a person's checkout into a new worktree: ignored files such as `.env`."""

import os
import shutil
from pathlib import Path

import anyio.to_thread

from acp_agent.domain.errors import UsageError
from acp_agent.fleet.git import git, ignored_among

NAME = ".worktreeinclude"
MAX_BYTES = 512 * 1024 * 1024


async def include(root: Path, worktree: Path, max_bytes: int = MAX_BYTES) -> int:
    """Copy the ignored files of `root` that match its `.worktreeinclude` (gitignore syntax); returns how many.

    What exists in the worktree already stays. Links are copied only where they lead to somewhere inside `root`.
    Raises UsageError when there is more than `max_bytes` to copy, before anything is copied.
    """
    if not (root / NAME).is_file():
        return 0
    matching = await git(root, "ls-files", "-z", "--others", "--ignored", f"--exclude-from={root / NAME}")
    # Of what matches, what git would commit comes with the branch or not at all.
    ignored = sorted(await ignored_among(root, matching.fields))
    return await anyio.to_thread.run_sync(_copy_all, root, worktree, ignored, max_bytes)


def _copy_all(root: Path, worktree: Path, paths: list[str], max_bytes: int) -> int:
    size = sum(os.lstat(root / path).st_size for path in paths if os.path.lexists(root / path))
    if size > max_bytes:
        what = f"{root / NAME}: matches {size / 1e6:.0f} MB, more than {max_bytes / 1e6:.0f} MB"
        raise UsageError(what, hint="Name fewer files, and let `setup` make what can be made again")
    return sum(_copy(root, worktree, path) for path in paths)


def _copy(root: Path, worktree: Path, path: str) -> bool:
    source, copy = root / path, worktree / path
    # A link in the tree of the base must not lead the copy out of the worktree.
    if os.path.lexists(copy) or not _is_within(copy.parent, worktree) or not _is_within(source, root):
        return False
    if not (source.is_symlink() or source.is_file()) or (source.is_symlink() and os.path.isabs(os.readlink(source))):
        return False
    copy.parent.mkdir(parents=True, exist_ok=True)
    # Renamed into place, so that what a kill leaves half-copied is not taken for the file.
    part = copy.with_name(f".{copy.name[:100]}.acp-part")
    part.unlink(missing_ok=True)
    shutil.copy2(source, part, follow_symlinks=False)
    part.rename(copy)
    return True


def _is_within(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
