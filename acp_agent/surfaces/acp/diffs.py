"""Unified diffs as the protocol's diff content: the old and the new text of what changed. Pure."""

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")


@dataclass(slots=True)
class FileDiff:
    """One file of a diff, cut to its hunks; `old` is None for a new file."""

    path: str
    old: list[str] | None
    new: list[str]


def diff_content(diff: str, root: str) -> list[dict[str, Any]]:
    """`diff` as content items of a tool call, paths below `root` made absolute."""
    return [
        {
            "type": "diff",
            "path": str(PurePath(root) / file.path),
            "oldText": None if file.old is None else "".join(file.old),
            "newText": "".join(file.new),
        }
        for file in parse(diff)
    ]


def parse(diff: str) -> list[FileDiff]:
    """The files of a unified diff; what is no diff has none."""
    files: list[FileDiff] = []
    before = ""
    left = (0, 0)
    for line in diff.splitlines(keepends=True):
        if left != (0, 0):
            left = _add(files[-1], line, left)
        elif line.startswith("--- "):
            before = _path(line)
        elif line.startswith("+++ "):
            after = _path(line)
            files.append(FileDiff(before if after == "/dev/null" else after, None if before == "/dev/null" else [], []))
        elif files and line.startswith("\\"):
            _drop_line_end(files[-1])
        elif files and (hunk := HUNK.match(line)):
            left = (int(hunk[1] or 1), int(hunk[2] or 1))
    return files


def _path(line: str) -> str:
    path = line[4:].rstrip("\n").split("\t")[0]
    return path[2:] if path[:2] in ("a/", "b/") else path


def _add(file: FileDiff, line: str, left: tuple[int, int]) -> tuple[int, int]:
    """Put a line of a hunk to its sides; what is left of both."""
    mark, text = line[:1], line[1:]
    if mark == "\\":
        _drop_line_end(file)
        return left
    old, new = int(mark in " -"), int(mark in " +")
    if old and file.old is not None:
        file.old.append(text)
    if new:
        file.new.append(text)
    return max(0, left[0] - old), max(0, left[1] - new)


def _drop_line_end(file: FileDiff) -> None:
    for side in (file.old, file.new):
        if side:
            side[-1] = side[-1].rstrip("\n")
