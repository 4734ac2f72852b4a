"""Locks around git: one of ours per repository, and git's own lock files that a killed git left behind."""

import fcntl
import os
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from acp_agent.domain.errors import AcpAgentError

FOLDER = "acp-agent"
_PATIENCE = 60.0
_PAUSE = 0.01


@asynccontextmanager
async def repository_lock(common: Path) -> AsyncIterator[int]:
    """Hold the lock of a repository for adding, removing and landing; yields the descriptor to hand to git.

    A git that inherits it goes on holding the lock when we are killed, so whoever comes next waits for it to finish.
    Raises AcpAgentError after a minute.
    """
    descriptor = _opened(common / FOLDER)
    try:
        give_up = anyio.current_time() + _PATIENCE
        while not _taken(descriptor):
            if anyio.current_time() > give_up:
                raise AcpAgentError(f"{common} is locked by another run", hint="Wait for it, or end it, then resume")
            await anyio.sleep(_PAUSE)
        yield descriptor
    finally:
        os.close(descriptor)


async def clear_stale(locks: Iterable[Path]) -> None:
    """Remove git's lock files in places only this run writes, once no process has them open.

    Raises AcpAgentError when one is still held after a minute.
    """
    for lock in locks:
        give_up = anyio.current_time() + _PATIENCE
        while lock.exists():
            if not await anyio.to_thread.run_sync(_is_held, lock):
                lock.unlink(missing_ok=True)
            elif anyio.current_time() > give_up:
                raise AcpAgentError(f"{lock} is held by another git", hint="Wait for it, or end it, then resume")
            else:
                await anyio.sleep(_PAUSE)


def _opened(folder: Path) -> int:
    try:
        folder.mkdir(exist_ok=True)
        return os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise AcpAgentError(f"{folder}: {error.strerror}", hint="The repository must be writable") from None


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_held(lock: Path) -> bool:
    if not sys.platform.startswith("linux"):
        # No list of open files: a git of ours takes seconds at most to write an index.
        return lock.exists() and time.time() - lock.stat().st_mtime < _PATIENCE / 2
    wanted = os.path.realpath(lock)
    return any(_has_open(f"/proc/{process}/fd", wanted) for process in os.listdir("/proc") if process.isdigit())


def _has_open(folder: str, wanted: str) -> bool:
    try:
        return any(os.readlink(f"{folder}/{number}") == wanted for number in os.listdir(folder))
    except OSError:
        # Ended meanwhile, or another user's: neither is a git of ours.
        return False
