"""Patches over several files: read in two forms, and fitted to what the files hold. Pure.

The forms are the one between `*** Begin Patch` and `*** End Patch` (places are found by their context) and the unified
diff (line numbers are hints; the context decides).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from acp_agent.domain.errors import ToolError
from acp_agent.tools.edit import nearest_to
from acp_agent.tools.tolerant import shift_of

_RANGE = re.compile(r"^@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@ ?(.*)$")
_FILE = re.compile(r"^\*\*\* (Add|Delete|Update) File: (.+?)\s*$")
_MOVE = "*** Move to: "
_END_OF_FILE = "*** End of File"
_NO_NEWLINE = "\\ No newline at end of file"
_QUOTED = re.compile(r'^"(.*)"$')
HINT = "Read the files again, and send the whole patch once more: nothing of it was applied."

Sign = Literal[" ", "-", "+"]


@dataclass(frozen=True, slots=True)
class Hunk:
    """One change of a file: its lines in order, each with its sign.

    `anchors` are lines to go past first, `near` is the 1-based line where a diff says it begins; `at_end` puts it at
    the end of the file. `bare_end` says that the file ends without a line break afterwards, `full_end` that it ends
    with one and did not before.
    """

    lines: tuple[tuple[Sign, str], ...]
    anchors: tuple[str, ...] = ()
    near: int | None = None
    at_end: bool = False
    bare_end: bool = False
    full_end: bool = False

    @property
    def old(self) -> tuple[str, ...]:
        """The lines that must be there."""
        return tuple(text for sign, text in self.lines if sign != "+")

    @property
    def new(self) -> tuple[str, ...]:
        """The lines that will be there."""
        return tuple(text for sign, text in self.lines if sign != "-")


@dataclass(frozen=True, slots=True)
class FilePatch:
    """What becomes of one file: a new one (`content`), a deletion, or hunks and perhaps another name (`move_to`)."""

    path: str
    kind: Literal["add", "delete", "update"]
    content: str = ""
    hunks: tuple[Hunk, ...] = ()
    move_to: str | None = None


def parse_patch(text: str) -> tuple[FilePatch, ...]:
    """The files of a patch in either form. Raises ToolError(kind="invalid_patch") naming the line that is wrong."""
    lines = _without_fence(text.replace("\r\n", "\n").split("\n"))
    begins = next((index for index, line in enumerate(lines) if line.strip() == "*** Begin Patch"), None)
    if begins is not None:
        found = tuple(_sections(lines, begins + 1))
    elif any(line.startswith(("--- ", "diff --git ")) for line in lines):
        found = tuple(_diffs(lines))
    elif any(_FILE.match(line) for line in lines):
        found = tuple(_sections(lines, 0))
    else:
        raise _invalid(1, "it begins neither with `*** Begin Patch` nor with the `---` of a unified diff")
    if not found:
        raise _invalid(len(lines), "it names no file")
    names = [name for patch in found for name in (patch.path, patch.move_to) if name]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ToolError(f"The patch names {twice} twice. Nothing was applied.", kind="invalid_patch", hint=HINT)
    return found


def _without_fence(lines: list[str]) -> list[str]:
    inside = [index for index, line in enumerate(lines) if line.strip().startswith("```")]
    if len(inside) >= 2 and inside[0] == next((index for index, line in enumerate(lines) if line.strip()), -1):
        return lines[inside[0] + 1 : inside[-1]]
    return lines


def _invalid(line: int, what: str) -> ToolError:
    return ToolError(f"The patch cannot be read, line {line}: {what}.", kind="invalid_patch", hint=HINT)


# The form with sections


def _sections(lines: Sequence[str], start: int) -> Iterator[FilePatch]:
    index = start
    while index < len(lines):
        line = lines[index]
        if line.strip() == "*** End Patch":
            return
        if not line.strip():
            index += 1
            continue
        head = _FILE.match(line)
        if head is None:
            expected = "`*** Add File:`, `*** Update File:` or `*** Delete File:`"
            raise _invalid(index + 1, f"expected {expected}, not {line!r}")
        end = next((at for at in range(index + 1, len(lines)) if _ends_section(lines[at])), len(lines))
        yield _section(head[1], head[2], lines[index + 1 : end], index + 2)
        index = end
    if start:
        raise _invalid(len(lines), "`*** End Patch` is missing: the patch was cut")


def _ends_section(line: str) -> bool:
    return line.strip() == "*** End Patch" or _FILE.match(line) is not None


def _section(verb: str, path: str, body: Sequence[str], at: int) -> FilePatch:
    if verb == "Delete":
        if any(line.strip() for line in body):
            raise _invalid(at, f"nothing follows the deletion of {path}")
        return FilePatch(path, "delete")
    if verb == "Add":
        for offset, line in enumerate(body):
            if not line.startswith("+") and line.strip():
                raise _invalid(at + offset, f"each line of the new file {path} begins with `+`")
        added = [line[1:] for line in body if line.startswith("+")]
        return FilePatch(path, "add", content="".join(f"{line}\n" for line in added))
    move_to = None
    if body and body[0].startswith(_MOVE):
        move_to, body, at = body[0].removeprefix(_MOVE).strip(), body[1:], at + 1
    hunks = tuple(_hunks(body, at))
    if not hunks and move_to is None:
        raise _invalid(at, f"the update of {path} changes nothing")
    return FilePatch(path, "update", hunks=hunks, move_to=move_to)


@dataclass
class _Draft:
    """A hunk while its lines are read."""

    anchors: list[str] = field(default_factory=list)
    lines: list[tuple[Sign, str]] = field(default_factory=list)
    near: int | None = None
    at_end: bool = False
    bare_end: bool = False
    full_end: bool = False

    def take(self, line: str) -> bool:
        """Read a line of the hunk; False where it is none."""
        sign = line[:1]
        if sign == " ":
            self.lines.append((" ", line[1:]))
        elif sign == "-":
            self.lines.append(("-", line[1:]))
        elif sign == "+":
            self.lines.append(("+", line[1:]))
        elif not line:
            # Editors and models cut the blank that an empty line of context consists of.
            self.lines.append((" ", ""))
        else:
            return False
        return True

    def done(self) -> Hunk:
        lines = list(self.lines)
        # Empty lines between hunks are nobody's context.
        while lines and lines[-1] == (" ", ""):
            lines.pop()
        return Hunk(tuple(lines), tuple(self.anchors), self.near, self.at_end, self.bare_end, self.full_end)


def _hunks(body: Sequence[str], at: int) -> Iterator[Hunk]:
    draft = _Draft()
    for offset, line in enumerate(body):
        if line.startswith("@@"):
            if draft.lines:
                yield _checked(draft.done(), at + offset)
                draft = _Draft()
            ranged = _RANGE.match(line)
            anchor = ranged[2] if ranged else line[2:].removesuffix("@@").strip()
            draft.near = int(ranged[1]) if ranged else None
            if anchor and not ranged:
                draft.anchors.append(anchor)
        elif line.strip() == _END_OF_FILE:
            draft.at_end = True
        elif line == _NO_NEWLINE:
            sign = draft.lines[-1][0] if draft.lines else " "
            draft.bare_end, draft.full_end = sign == "+", sign == "-"
        elif not draft.take(line):
            raise _invalid(at + offset, f"a line begins with a blank, `-` or `+`, not {line!r}")
    if draft.done().lines:
        yield _checked(draft.done(), at + len(body))


def _checked(hunk: Hunk, at: int) -> Hunk:
    if all(sign == " " for sign, _ in hunk.lines):
        raise _invalid(at, "a hunk has neither `-` nor `+` lines")
    return hunk


# The unified form


def _diffs(lines: Sequence[str]) -> Iterator[FilePatch]:
    index = 0
    while index < len(lines):
        renamed, index = _renamed(lines, index)
        if renamed is not None:
            yield renamed
        if index >= len(lines):
            return
        if not lines[index].startswith("--- "):
            index += 1
            continue
        if index + 1 >= len(lines) or not lines[index + 1].startswith("+++ "):
            raise _invalid(index + 2, "`+++` must follow `---`")
        old, new = _name(lines[index][4:], "a/"), _name(lines[index + 1][4:], "b/")
        end = _end_of_diff(lines, index + 2)
        yield _diff(old, new, tuple(_hunks(lines[index + 2 : end], index + 3)), index + 1)
        index = end


def _renamed(lines: Sequence[str], index: int) -> tuple[FilePatch | None, int]:
    """A `diff --git` that only renames, and where to read on."""
    if not lines[index].startswith("diff --git "):
        return None, index
    end = next((at for at in range(index + 1, len(lines)) if lines[at].startswith(("diff --git ", "--- "))), len(lines))
    head = lines[index + 1 : end]
    old = next((line.removeprefix("rename from ") for line in head if line.startswith("rename from ")), None)
    new = next((line.removeprefix("rename to ") for line in head if line.startswith("rename to ")), None)
    if any(line.startswith(("GIT binary patch", "Binary files")) for line in head):
        raise _invalid(index + 1, "it changes a binary file")
    only = end == len(lines) or not lines[end].startswith("--- ")
    if old and new and only:
        return FilePatch(old, "update", move_to=new), end
    return None, end


def _end_of_diff(lines: Sequence[str], start: int) -> int:
    for at in range(start, len(lines)):
        if lines[at].startswith("diff --git "):
            return at
        if lines[at].startswith("--- ") and at + 1 < len(lines) and lines[at + 1].startswith("+++ "):
            return at
    return len(lines)


def _name(text: str, prefix: str) -> str | None:
    plain = text.split("\t")[0].strip()
    quoted = _QUOTED.match(plain)
    plain = quoted[1].encode().decode("unicode_escape").encode("latin-1").decode("utf-8") if quoted else plain
    return None if plain == "/dev/null" else plain.removeprefix(prefix)


def _diff(old: str | None, new: str | None, hunks: tuple[Hunk, ...], at: int) -> FilePatch:
    if old is None and new is None:
        raise _invalid(at, "both names are /dev/null")
    if not hunks:
        raise _invalid(at, "a file has no hunk")
    if old is None:
        lines = [text for hunk in hunks for text in hunk.new]
        whole = "".join(f"{line}\n" for line in lines)
        return FilePatch(str(new), "add", content=whole[:-1] if hunks[-1].bare_end else whole)
    if new is None:
        return FilePatch(old, "delete")
    return FilePatch(old, "update", hunks=hunks, move_to=None if new == old else new)


# Fitting


def fitted(content: str, patch: FilePatch) -> tuple[str, list[str]]:
    """`content` after the hunks of `patch`, in order, and what had to be overlooked.

    Lines that do not change keep their bytes. Raises ToolError: `no_match` with the nearest lines, or `ambiguous`.
    """
    lines = content.split("\n")
    whole = lines[-1] == ""
    if whole:
        lines.pop()
    notes: list[str] = []
    cursor = 0
    for number, hunk in enumerate(patch.hunks, 1):
        name = f"hunk {number} of {patch.path}" if len(patch.hunks) > 1 else f"the hunk of {patch.path}"
        at = _past_anchors(lines, hunk, cursor, name)
        start, note = _place(lines, hunk, at, name, first=cursor == 0 and not hunk.anchors)
        if note:
            notes.append(f"{name}, line {start + 1}: matched but for {note}")
        made = _made(lines, hunk, start, name)
        lines[start : start + len(hunk.old)] = made
        cursor = start + len(made)
        if hunk.bare_end or hunk.full_end:
            whole = hunk.full_end
    return "\n".join(lines) + ("\n" if whole and lines else ""), notes


def _past_anchors(lines: Sequence[str], hunk: Hunk, cursor: int, name: str) -> int:
    for anchor in hunk.anchors:
        found = next((at for at in range(cursor, len(lines)) if lines[at].rstrip() == anchor.rstrip()), None)
        if found is None:
            found = next((at for at in range(cursor, len(lines)) if lines[at].strip() == anchor.strip()), None)
        if found is None:
            found = next((at for at in range(cursor, len(lines)) if anchor.strip() in lines[at]), None)
        if found is None:
            raise ToolError(
                f"{name}: the line {anchor!r} after @@ is not in the file. Nothing was applied.",
                kind="no_match",
                hint=HINT,
            )
        cursor = found + 1
    return cursor


def _place(lines: Sequence[str], hunk: Hunk, cursor: int, name: str, *, first: bool) -> tuple[int, str]:
    """Where the old lines of a hunk stand, and what was overlooked."""
    old = hunk.old
    if not old:
        if hunk.at_end or hunk.near is None:
            return (len(lines) if hunk.at_end or not hunk.anchors else cursor), ""
        return min(hunk.near, len(lines)), ""
    for strip, note in ((_bare, ""), (str.rstrip, "blanks at the end of lines"), (str.strip, "indentation")):
        keys = [strip(line) for line in old]
        places = [
            at
            for at in range(cursor, len(lines) - len(keys) + 1)
            if all(strip(lines[at + offset]) == key for offset, key in enumerate(keys))
        ]
        if not places:
            continue
        if hunk.at_end and places[-1] + len(keys) == len(lines):
            return places[-1], note
        if len(places) == 1 or (not note and not first and hunk.near is None):
            return places[0], note
        if hunk.near is not None and not note:
            return min(places, key=lambda at: (abs(at + 1 - (hunk.near or 0)), at)), note
        where = ", ".join(str(at + 1) for at in places[:20])
        raise ToolError(
            f"{name}: its lines stand at {len(places)} places, lines {where}. Nothing was applied.",
            kind="ambiguous",
            hint="Give more lines of context, or the function's first line after @@.",
        )
    raise ToolError(
        f"{name}: its lines were not found{' after the place before' if cursor else ''}. Nothing was applied."
        f"{nearest_to(old, lines)}",
        kind="no_match",
        hint=HINT,
    )


def _bare(line: str) -> str:
    return line.removesuffix("\r")


def _made(lines: Sequence[str], hunk: Hunk, start: int, name: str) -> list[str]:
    """The lines after a hunk: context keeps the file's own bytes, new lines end as their neighbours do."""
    window = lines[start : start + len(hunk.old)]
    near = window[0] if window else (lines[start - 1] if start > 0 and lines else "")
    ending = "\r" if near.endswith("\r") else ""
    shift = shift_of(hunk.old, window)
    made: list[str] = []
    at = 0
    for sign, text in hunk.lines:
        if sign == "+":
            shifted = None if shift is None else shift(text)
            if shifted is None:
                raise ToolError(
                    f"{name}: in the file its lines are indented otherwise, and it is not clear how the new ones are."
                    " Nothing was applied.",
                    kind="no_match",
                    hint=HINT,
                )
            made.append(shifted + ending)
        else:
            if sign == " ":
                made.append(window[at])
            at += 1
    return made
