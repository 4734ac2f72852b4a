"""What a command and all it started take together: looked at every quarter of a second, for no single limit sees it."""

import os
from collections.abc import Iterator
from typing import Literal

import anyio

EVERY = 0.25
_PAGE = os.sysconf("SC_PAGE_SIZE")
Excess = Literal["memory", "processes"]


async def exceeded(leader: int, memory: int, processes: int) -> Excess:
    """Return when the tree below the process `leader` takes more than `memory` bytes or has more `processes`."""
    while True:
        await anyio.sleep(EVERY)
        if found := excess(leader, memory, processes):
            return found


def excess(leader: int, memory: int, processes: int) -> Excess | None:
    """What is exceeded now. Shared pages count once: they are looked at closely where a rough sum is too high."""
    tree: list[int] = []
    for pid in _tree(leader):
        tree.append(pid)
        if len(tree) > processes:
            return "processes"
    if sum(map(_resident, tree)) > memory and sum(map(_proportional, tree)) > memory:
        return "memory"
    return None


def _tree(leader: int) -> Iterator[int]:
    left = [leader]
    while left:
        pid = left.pop()
        yield pid
        left += _children(pid)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    except OSError:
        # It has ended, or this kernel keeps no such lists (CONFIG_PROC_CHILDREN): the limit of each process remains.
        return found
    return found


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _proportional(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            line = next((line for line in file if line.startswith(b"Pss:")), b"Pss: 0 kB")
    except OSError:
        # Not ours to read closely, or gone meanwhile: the rough number.
        return _resident(pid)
    return int(line.split()[1]) * 1024
