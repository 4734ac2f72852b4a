"""The second try of an edit whose old text is not in the file: whole lines that are the same but for their whitespace.

It succeeds only where exactly one place fits, keeps the bytes of lines that do not change, and says what it overlooked.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fit:
    """Where old fits: the characters from `start` to `end` become `text`; `note` says what was overlooked."""

    start: int
    end: int
    text: str
    note: str


@dataclass(frozen=True, slots=True)
class Several:
    """More than one place fits; 1-based lines where they begin."""

    lines: tuple[int, ...]


Same = Callable[[str], str]
_WAYS: tuple[tuple[Same, str], ...] = (
    (str.rstrip, "blanks and carriage returns at the end of lines"),
    (str.strip, "indentation"),
)


def second_try(content: str, old: str, new: str) -> Fit | Several | None:
    """The one place where the lines of `old` stand but for whitespace, with `new` fitted to it; None where none is."""
    wanted, written = _lines(old), _lines(new)
    if not any(line.strip() for line in wanted):
        return None
    lines = content.split("\n")
    for same, what in _WAYS:
        starts = _starts(lines, wanted, same)
        if len(starts) > 1:
            return Several(tuple(start + 1 for start in starts))
        if starts:
            return _fitted(content, lines, starts[0], wanted, written, new, what)
    return None


def _lines(text: str) -> list[str]:
    """The lines of a text whose last line break, if any, ends the last of them."""
    lines = text.split("\n")
    return lines[:-1] if len(lines) > 1 and lines[-1] == "" else lines


def _starts(lines: Sequence[str], wanted: Sequence[str], same: Same) -> list[int]:
    keys = [same(line) for line in wanted]
    # A line that is long is in few places.
    anchor = max(range(len(keys)), key=lambda index: len(keys[index]))
    places = (index - anchor for index, line in enumerate(lines) if same(line) == keys[anchor])
    return [
        start
        for start in places
        if start >= 0
        and start + len(keys) <= len(lines)
        and all(same(lines[start + offset]) == key for offset, key in enumerate(keys))
    ]


def _fitted(
    content: str, lines: Sequence[str], start: int, wanted: Sequence[str], written: Sequence[str], new: str, what: str
) -> Fit | None:
    window = lines[start : start + len(wanted)]
    shift = shift_of(wanted, window)
    if shift is None:
        return None
    ending = "\r" if window[0].endswith("\r") else ""
    result: list[str] = []
    for tag, a, b, c, d in difflib.SequenceMatcher(None, list(wanted), list(written), autojunk=False).get_opcodes():
        if tag == "equal":
            result += window[a:b]
            continue
        for line in written[c:d]:
            shifted = shift(line)
            if shifted is None:
                return None
            result.append(shifted.removesuffix("\r") + ending)
    begin = sum(len(line) + 1 for line in lines[:start])
    end = begin + len("\n".join(window))
    text = "\n".join(result)
    if not new or (not written[0] and len(written) == 1):
        # The lines go altogether, with their last line break.
        text = ""
        end = min(len(content), end + 1)
    last = start + len(window)
    where = f"line {start + 1}" if len(window) == 1 else f"lines {start + 1}-{last}"
    return Fit(begin, end, text, f"{where} matched but for {what}")


Shift = Callable[[str], str | None]


def shift_of(wanted: Sequence[str], window: Sequence[str]) -> Shift | None:
    """How the indentation of `wanted` becomes that of `window`, for other lines too; None where that is not clear."""
    pairs = [(_indent(mine), _indent(theirs)) for mine, theirs in zip(wanted, window, strict=True) if mine.strip()]
    if all(mine == theirs for mine, theirs in pairs):
        return lambda line: line
    mine, theirs = pairs[0]
    if theirs.endswith(mine) and all(there == theirs[: len(theirs) - len(mine)] + here for here, there in pairs):
        more = theirs[: len(theirs) - len(mine)]
        return lambda line: more + line if line.strip() else line
    if mine.endswith(theirs) and all(here == mine[: len(mine) - len(theirs)] + there for here, there in pairs):
        less = mine[: len(mine) - len(theirs)]
        return lambda line: _without(line, less)
    table: dict[str, str] = {}
    for here, there in pairs:
        if table.setdefault(here, there) != there:
            return None
    return lambda line: _mapped(line, table)


def _without(line: str, less: str) -> str | None:
    if not line.strip():
        return line
    return line.removeprefix(less) if line.startswith(less) else None


def _mapped(line: str, table: dict[str, str]) -> str | None:
    if not line.strip():
        return line
    indent = _indent(line)
    return table[indent] + line[len(indent) :] if indent in table else None


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]
