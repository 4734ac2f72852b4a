"""AGENTS.md: what a project tells every agent; the nearest one wins."""

from pathlib import Path

import anyio.to_thread

FILE = "AGENTS.md"
CAP = 32_768


async def instructions_for(folder: str | Path, root: str | Path | None = None) -> str:
    """The nearest AGENTS.md from `folder` up to `root` (default: the repository's, else `folder`).

    32 KiB of it at most.
    """
    return await anyio.to_thread.run_sync(read_instructions, Path(folder), None if root is None else Path(root))


def read_instructions(folder: Path, root: Path | None) -> str:
    """The same, at once."""
    for place in (folder, *folder.parents):
        path = place / FILE
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                return file.read(CAP).decode("utf-8", "replace")
        if place == root or (place / ".git").exists():
            break
    return ""
