"""The folder of a skill: found in a bounded scan, and hashed as a whole, which is what a person trusts."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from acp_agent.config.commands import Command
from acp_agent.config.paths import shown_path
from acp_agent.domain.errors import UsageError
from acp_agent.domain.skill import SkillScope

FILE = "SKILL.md"
PROJECT_FOLDERS = (".agents/skills", ".claude/skills")
DEPTH = 4
MOST_FOLDERS = 2000
MOST_FILES = 500
MOST_BYTES = 16 * 1024 * 1024
"""Of all files of one skill, SKILL.md included."""
NOT_LOOKED_INTO = frozenset({".git", "node_modules"})


class Place(NamedTuple):
    """A folder of skills. `inside`: what a project's may not lead out of."""

    folder: Path
    scope: SkillScope
    inside: Path | None = None


class Tree(NamedTuple):
    """The files of a skill (relative, SKILL.md left out), the SHA-256 over all of them, and what SKILL.md holds."""

    files: tuple[str, ...]
    digest: str
    text: bytes


def folders_in(place: Place, warnings: list[str]) -> Iterator[Path]:
    """The folders with a SKILL.md at or below `place`, by name; none is looked for inside another."""
    queue: list[tuple[Path, int]] = [(place.folder, 0)]
    looked = 0
    while queue:
        folder, depth = queue.pop(0)
        if not _is_inside(folder, place.inside) or not folder.is_dir():
            continue
        looked += 1
        if looked > MOST_FOLDERS:
            warnings.append(
                f"{shown_path(place.folder)}: has more than {MOST_FOLDERS} folders; the others are not looked at"
            )
            return
        if depth and (folder / FILE).is_file():
            yield folder
        elif depth < DEPTH:
            queue += [(folder / name, depth + 1) for name in names_in(folder) if name != ".git"]


def skills_of_project(folder: Path) -> list[Path]:
    """The SKILL.md files that a project brings in its own folder, wherever a repository around it begins."""
    found = (folders_in(Place(folder / name, "project", folder), []) for name in PROJECT_FOLDERS)
    return [skill / FILE for skills in found for skill in skills]


def tree_of(folder: Path) -> Tree:
    """All files of a skill and their digest: names, contents, what can be run, where links lead.

    Raises UsageError where there are too many, or they are too large.
    """
    lines: list[str] = []
    files: list[str] = []
    total = 0
    text = b""
    for relative, status in _walk(folder):
        path = folder / relative
        if stat.S_ISLNK(status.st_mode):
            kind, content = "link", os.readlink(path).encode(errors="surrogateescape")
        else:
            total += status.st_size
            kind, content = "run" if status.st_mode & 0o111 else "file", b""
            if total <= MOST_BYTES:
                content = path.read_bytes()
        lines.append(json.dumps([relative, kind, hashlib.sha256(content).hexdigest()]))
        if relative == FILE:
            text = content
        else:
            files.append(relative)
        if len(lines) > MOST_FILES or total > MOST_BYTES:
            what = f"{shown_path(folder)}: has more than {MOST_FILES} files or {MOST_BYTES >> 20} MiB"
            raise UsageError(what, hint="a skill is small")
    return Tree(tuple(files), hashlib.sha256("\n".join(lines).encode()).hexdigest(), text)


def skill_commands(file: Path) -> tuple[Command, ...]:
    """What a person trusts who trusts the skill of that SKILL.md: its folder as it stands. Raises UsageError."""
    tree = tree_of(file.parent)
    also = f" and {len(tree.files)} more files" if tree.files else ""
    return (Command("skill", f"{FILE}{also}, sha256 {tree.digest}"),)


def _walk(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Files and links below `folder`, sorted by path; folders are never reached through a link."""
    queue = [""]
    while queue:
        below = queue.pop()
        inner: list[str] = []
        for name in names_in(folder / below, hidden=True):
            relative = f"{below}/{name}" if below else name
            status = os.lstat(folder / relative)
            if stat.S_ISDIR(status.st_mode):
                if name != ".git":
                    inner.append(relative)
            elif stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
                yield relative, status
        queue += reversed(inner)


def names_in(folder: Path, *, hidden: bool = False) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if hidden or not name.startswith("."))
    except OSError:
        return []


def _is_inside(folder: Path, top: Path | None) -> bool:
    return top is None or Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(top))
