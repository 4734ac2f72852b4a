"""Text of others made harmless: what a model or a file name says can neither drive nor disguise the terminal."""

import re
import unicodedata

# Control characters (C0 but tab and newline, DEL, C1), the marks that reorder or hide text, line separators that only
# some readers know, lone surrogates, and the invisible tag characters.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
_ELLIPSIS = "…"
LONGEST_LINE = 400


def plain(text: str) -> str:
    """`text` with every unsafe character written out (`\\x1b`); newlines stay, a tab becomes four spaces."""
    unified = text.replace("\r\n", "\n").replace("\t", "    ")
    return _UNSAFE.sub(_written_out, unified)


def one_line(text: str) -> str:
    """`plain(text)` with all whitespace runs as one space."""
    return " ".join(plain(text).split())


def _written_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def cells(text: str) -> int:
    """How many columns of a terminal `text` takes: wide glyphs two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(_cell(character) for character in text)


def _cell(character: str) -> int:
    if unicodedata.combining(character) or character in "\u200d\ufe0e\ufe0f":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int, ellipsis: str = _ELLIPSIS) -> str:
    """`text` in at most `width` columns; what is cut is replaced by `ellipsis`."""
    if cells(text) <= width:
        return text
    room = width - cells(ellipsis)
    kept, used = [], 0
    for character in text:
        used += _cell(character)
        if used > room:
            break
        kept.append(character)
    return "".join(kept) + ellipsis if room >= 0 else ellipsis[:width]


def wrapped(text: str, width: int | None) -> str:
    """One line of words in lines of at most `width` columns; a longer word is left whole, None wraps nothing."""
    if width is None or cells(text) <= width:
        return text
    lines: list[str] = []
    for word in text.split(" "):
        if lines and cells(lines[-1]) + 1 + cells(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


def last_lines(text: str, most: int) -> str:
    """The last `most` lines of `text` that are not blank, each in at most 400 columns."""
    lines = [line.rstrip() for line in plain(text).splitlines() if line.strip()]
    return "\n".join(cut(line, LONGEST_LINE) for line in lines[-most:])


def head_of(text: str, lines: int, characters: int) -> tuple[str, int]:
    """The beginning of `text` within both bounds, and how many lines were left out."""
    every = text.strip().splitlines()
    kept: list[str] = []
    for line in every[:lines]:
        if sum(map(len, kept)) + len(line) > characters:
            break
        kept.append(line)
    if not kept and every:
        kept = [cut(every[0], characters)]
    return "\n".join(kept), len(every) - len(kept)
