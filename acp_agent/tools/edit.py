"""Exact replacements, all or none, and what a model needs to know when one does not fit."""

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from acp_agent.domain.errors import ToolError
from acp_agent.tools.registry import Arguments, other_names
from acp_agent.tools.tolerant import Several, second_try

_NUMBERED = re.compile(r"^\s*\d+\t", re.MULTILINE)
_MAX_CHARACTERS = 64 * 1024 * 1024
_COMPARED_LINES = 5000
# Shorter text is in many files by chance.
_TELLING = 8
_SHOWN_LINES = 12
_SHOWN_CHARACTERS = 200


class Edit(Arguments):
    """One replacement."""

    OTHER_NAMES = other_names(
        old="old_string old_str old_text search find", new="new_string new_str new_text replace", all="replace_all"
    )

    old: str = Field(
        description="Text to replace, exactly as in the file with its indentation; must occur exactly once."
    )
    new: str = Field(description="Text to put in its place.")
    all: bool = Field(False, description="Replace every occurrence instead of one.")

    def title(self) -> str:
        return "Replace"


@dataclass(frozen=True, slots=True)
class Edited:
    """A file's text after edits; `notes` say what a second try had to overlook."""

    content: str
    notes: tuple[str, ...] = ()


def apply_edits(content: str, edits: Sequence[Edit], path: str) -> Edited:
    """`content` after all `edits`, each applied to what the one before left. Raises ToolError, and nothing is changed.

    Where old is not in the file, one place whose lines are the same but for whitespace is taken (`tolerant`). Kinds:
    `no_match` with the nearest lines, `ambiguous` with the line numbers, `no_change`, `empty`.
    """
    notes: list[str] = []
    for index, edit in enumerate(edits):
        name = f"edits[{index}]" if len(edits) > 1 else "the edit"
        content = _apply(content, edit, name, path, notes)
    return Edited(content, tuple(notes))


def _apply(content: str, edit: Edit, name: str, path: str, notes: list[str]) -> str:
    if not edit.old:
        raise ToolError(
            f"{name}: old is empty. Nothing was changed.",
            kind="empty",
            hint="Name the text to replace, or use write_file.",
        )
    if edit.old == edit.new:
        raise ToolError(f"{name}: old and new are the same. Nothing was changed.", kind="no_change")
    old, new = edit.old, edit.new
    if old not in content and "\r\n" in content and "\n" in old:
        # Mixed line ends: the model was shown lines, not how each of them ends.
        old, new = (text.replace("\r\n", "\n").replace("\n", "\r\n") for text in (old, new))
    found = _positions(content, old)
    if not found:
        return _tolerated(content, edit, name, path, notes)
    if len(found) > 1 and not edit.all:
        raise _ambiguous(content, found, name, path)
    if "\0" in new or len(content) + len(found) * len(new) > _MAX_CHARACTERS:
        raise ToolError(
            f"{name}: {path} would hold a NUL character or become too large. Nothing was changed.", kind="too_large"
        )
    return content.replace(old, new)


def _tolerated(content: str, edit: Edit, name: str, path: str, notes: list[str]) -> str:
    """The second try, for one place only. Raises ToolError where there is none, or more than one."""
    fit = None if edit.all else second_try(content, edit.old, edit.new)
    if isinstance(fit, Several):
        where = ", ".join(map(str, fit.lines[:20]))
        raise ToolError(
            f"{name}: old was not found in {path}; but for whitespace it stands at {len(fit.lines):,} places, lines"
            f" {where}. Nothing was changed.",
            kind="ambiguous",
            hint="Copy old from the file exactly, with more lines around it.",
        )
    if fit is None:
        raise _no_match(content, edit, name, path)
    notes.append(f"{name}: {fit.note}")
    return content[: fit.start] + fit.text + content[fit.end :]


def _positions(content: str, old: str) -> list[int]:
    """Where `old` begins, also where occurrences overlap: then too it is not clear which is meant."""
    found: list[int] = []
    position = content.find(old)
    while position >= 0:
        found.append(position)
        position = content.find(old, position + 1)
    return found


def _ambiguous(content: str, found: Sequence[int], name: str, path: str) -> ToolError:
    lines = [content.count("\n", 0, position) + 1 for position in found[:20]]
    more = f" and {len(found) - 20:,} more" if len(found) > 20 else ""
    where = ", ".join(map(str, lines)) + more
    return ToolError(
        f"{name}: old occurs {len(found):,} times in {path}, at lines {where}. Nothing was changed.",
        kind="ambiguous",
        hint="Add lines around it to old until it is unique, or set all to true.",
    )


def _no_match(content: str, edit: Edit, name: str, path: str) -> ToolError:
    problem = f"{name}: old was not found in {path}. Nothing was changed."
    if len(edit.new.strip()) >= _TELLING and edit.new in content:
        line = content.count("\n", 0, content.index(edit.new)) + 1
        return ToolError(
            f"{problem} The text of new is already there, at line {line}.",
            kind="no_match",
            hint="Perhaps this edit was made before; read the file again.",
        )
    old_lines, lines = edit.old.split("\n"), content.split("\n")
    if len(_NUMBERED.findall(edit.old)) == len([line for line in old_lines if line]):
        return ToolError(
            problem, kind="no_match", hint="Leave out the line numbers that read_file puts before each line."
        )
    nearest = nearest_to(old_lines, lines)
    if not nearest:
        return ToolError(f"{problem} Nothing in it is similar.", kind="no_match", hint="Read the file again.")
    hint = "Copy old from the file exactly, with its whitespace."
    return ToolError(f"{problem}{nearest}", kind="no_match", hint=hint)


def nearest_to(old_lines: Sequence[str], lines: Sequence[str]) -> str:
    """A sentence that shows where `old_lines` nearly stand, and in what they differ; empty where nothing is similar."""
    start = _nearest(old_lines, lines)
    if start is None:
        return ""
    window = lines[start : start + len(old_lines)]
    shown = "\n".join(f"{start + 1 + index}\t{_cut(line)}" for index, line in enumerate(window[:_SHOWN_LINES]))
    return f" The nearest is at line {start + 1}{_difference(old_lines, window, start)}:\n{shown}"


def _cut(line: str) -> str:
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[:_SHOWN_CHARACTERS]} [...]"


def _difference(old_lines: Sequence[str], window: Sequence[str], start: int) -> str:
    """What the first differing line differs in."""
    for index, (old, line) in enumerate(zip(old_lines, window, strict=False)):
        if old == line:
            continue
        where = f" (first difference at line {start + 1 + index}: " if index else " ("
        if old.strip() == line.strip():
            mine, theirs = _blanks(old), _blanks(line)
            what = "indentation" if mine[0] != theirs[0] else "blanks at the end of the line"
            part = 0 if mine[0] != theirs[0] else 1
            return f"{where}{what}, the file has {theirs[part]!r}, old has {mine[part]!r})"
        if old.split() == line.split():
            return f"{where}only whitespace within the line)"
        return f"{where}the file has {_cut(line)!r}, old has {_cut(old)!r})"
    return " (old has more lines than are left there)"


def _blanks(line: str) -> tuple[str, str]:
    bare = line.strip()
    if not bare:
        return line, ""
    start = line.index(bare)
    return line[:start], line[start + len(bare) :]


def _nearest(old_lines: Sequence[str], lines: Sequence[str]) -> int | None:
    """Index of the line where `old_lines` fit best: most lines equal but for blanks, else the one most similar line."""
    places: dict[str, list[int]] = {}
    for index, line in enumerate(lines):
        places.setdefault(line.strip(), []).append(index)
    votes: Counter[int] = Counter()
    for offset, line in enumerate(old_lines):
        if bare := line.strip():
            # A line that is everywhere (a closing brace) says nothing about where.
            votes.update(place - offset for place in places.get(bare, ())[:50] if place >= offset)
    if votes:
        return max(votes, key=lambda start: (votes[start], -start))
    return _most_similar(old_lines, lines)


def _most_similar(old_lines: Sequence[str], lines: Sequence[str]) -> int | None:
    offset, longest = max(enumerate(old_lines), key=lambda pair: len(pair[1].strip()))
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(longest.strip()[:_SHOWN_CHARACTERS])
    best, where = 0.6, None
    for index, line in enumerate(lines[:_COMPARED_LINES]):
        matcher.set_seq1(line.strip()[:_SHOWN_CHARACTERS])
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best and matcher.ratio() > best:
            best, where = matcher.ratio(), index
    return None if where is None else max(0, where - offset)
