"""Unified diffs for a person: how many lines they add and remove, and what each line is. Pure."""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

Kind = Literal["head", "hunk", "added", "removed", "same", "output"]
_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_KINDS: dict[str, Kind] = {"+": "added", "-": "removed", " ": "same", "": "same"}


class Line(NamedTuple):
    """One line below an act: of a diff (inside a hunk its first character is the mark), or of what was printed."""

    kind: Kind
    text: str


def lines_of(diff: str) -> Iterator[Line]:
    """Every line with its kind. Counted by the hunks' heads, since a removed `-- x` looks like the head of a file."""
    old = new = 0
    for text in diff.removesuffix("\n").split("\n"):
        if old <= 0 and new <= 0:
            hunk = _HUNK.match(text)
            if hunk:
                old, new = int(hunk[1] or 1), int(hunk[2] or 1)
            yield Line("hunk" if hunk else "head", text)
            continue
        kind = _KINDS.get(text[:1], "head")
        old -= kind in ("removed", "same")
        new -= kind in ("added", "same")
        yield Line(kind, text)


def counts(diff: str) -> str:
    """`+10 -2`."""
    kinds = [line.kind for line in lines_of(diff)]
    return f"+{kinds.count('added')} -{kinds.count('removed')}"


def shown(diff: str) -> list[Line]:
    """The lines worth showing: without the heads of a single file, which the title names already."""
    every = list(lines_of(diff))
    if sum(line.text.startswith("+++ ") for line in every if line.kind == "head") > 1:
        return every
    return [line for line in every if line.kind != "head" or line.text.startswith("\\")]
