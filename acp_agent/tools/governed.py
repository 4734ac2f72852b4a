"""What governs a workspace, as paths of it: the one list, from domain/governing.py, for file tools and for commands."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from acp_agent.domain.governing import GOVERNING_FILES, GOVERNING_FOLDERS, LOOPS_FOLDER, governs
from acp_agent.domain.patterns import Way
from acp_agent.tools.surroundings import FETCHED
from acp_agent.tools.workspace import is_git_name

MOST_LOOKED_AT = 20_000


def governing_paths(root: Path) -> list[Path]:
    """What governs at the top of `root`, whether it exists or not, and where it really lies."""
    names = (*GOVERNING_FILES, *GOVERNING_FOLDERS, *_loops(root))
    return [*map(root.joinpath, names), *_targets(root, names)]


def led_to(root: Path) -> Iterator[Path]:
    """Where governing files at the top of `root` really lie, for those that are links and lead to something in it."""
    return _targets(root, (*GOVERNING_FILES, *GOVERNING_FOLDERS, *_loops(root)))


def _targets(root: Path, names: Sequence[str]) -> Iterator[Path]:
    for name in names:
        path = f"{root}/{name}"
        if os.path.islink(path):
            target = Path(os.path.realpath(path))
            if target != root and target.is_relative_to(root):
                yield target


def _loops(root: Path) -> list[str]:
    """The loop files that there are; of a folder that is a link, the link, which is never gone into."""
    folder = f"{root}/{LOOPS_FOLDER}"
    if os.path.islink(folder):
        return [LOOPS_FOLDER]
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        # Most workspaces have none.
        return []
    return [path for name in names if governs(path := f"{LOOPS_FOLDER}/{name}")]


def matching(root: Path, globs: Sequence[str]) -> Iterator[Path]:
    """What is there of `globs`, as .gitignore reads them; a folder of which all is meant stands for what is in it.

    Looks at 20,000 entries at most, and not into folders that package managers fill.
    """
    todo, left = [("", Way.of(globs))] if globs else [], MOST_LOOKED_AT
    while todo and left > 0:
        folder, way = todo.pop()
        try:
            entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        except OSError:
            # It went away meanwhile, or nobody can look into it.
            continue
        left -= len(entries)
        for entry in entries:
            further = way.into(entry.name)
            if not (further.fits or further.leads_on) or is_git_name(entry.name):
                continue
            path = f"{folder}/{entry.name}" if folder else entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if further.fits or (is_folder and further.covers):
                yield root / path
            elif is_folder and entry.name not in FETCHED:
                todo.append((path, further))
