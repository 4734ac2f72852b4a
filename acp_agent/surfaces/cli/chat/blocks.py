"""Markdown that streams, cut into blocks: what is finished is printed once, what is not may be drawn again. Pure."""

import re

_FENCE = re.compile(r"^(?P<indent>\s*(?:(?:[-*+]|\d{1,9}[.)])\s+)?)(?P<mark>`{3,}(?=[^`]*$)|~{3,})")
_HEADING = re.compile(r"^ {0,3}#{1,6}(?:\s|$)")
_ITEM = re.compile(r"^ {0,3}(?:[-*+]|\d{1,9}[.)])(?:\s|$)")
_INDENTED = re.compile(r"^(?: {2}|\t)")


class Blocks:
    """Takes text in pieces of any size and gives back whole blocks: a paragraph, a list, a table, a fenced code.

    Only complete lines decide, so the blocks are the same however the text was cut into pieces.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._partial = ""
        self._fence = ""
        self._opener = ""

    @property
    def pending(self) -> str:
        """What has come of the block under way."""
        return "\n".join([*self._lines, self._partial]) if self._partial else "\n".join(self._lines)

    @property
    def opener(self) -> str:
        """The line that opened the code under way, empty outside of code."""
        return self._opener if self._fence else ""

    def feed(self, piece: str) -> list[str]:
        """The blocks that `piece` finished."""
        *lines, self._partial = (self._partial + piece).split("\n")
        return [block for line in lines for block in self._take(line.removesuffix("\r"))]

    def finish(self) -> list[str]:
        """The rest, as if the text ended here."""
        last, self._partial = self._partial, ""
        blocks = self._take(last.removesuffix("\r")) if last else []
        self._fence = ""
        return [*blocks, *self._close()]

    def _take(self, line: str) -> list[str]:
        if self._fence:
            return self._in_code(line)
        if not line.strip():
            return self._at_gap(line)
        fence = _FENCE.match(line)
        interrupts = not _INDENTED.match(line) and (fence is not None or _HEADING.match(line) is not None)
        before = self._close() if interrupts or (self._has_gap() and not _INDENTED.match(line)) else []
        self._lines.append(line)
        if fence is not None:
            self._fence, self._opener = fence["mark"], line[fence.start("mark") :]
            return before
        return [*before, *self._close()] if _HEADING.match(line) else before

    def _in_code(self, line: str) -> list[str]:
        self._lines.append(line)
        mark = line.strip()
        if len(mark) < len(self._fence) or set(mark) != {self._fence[0]}:
            return []
        self._fence = ""
        return [] if self._is_list() else self._close()

    def _at_gap(self, line: str) -> list[str]:
        if not self._lines:
            return []
        if self._is_list() or _INDENTED.match(self._lines[0]):
            # What follows may still belong to it.
            self._lines.append(line)
            return []
        return self._close()

    def _has_gap(self) -> bool:
        return bool(self._lines) and not self._lines[-1].strip()

    def _is_list(self) -> bool:
        return bool(self._lines) and _ITEM.match(self._lines[0]) is not None

    def _close(self) -> list[str]:
        lines, self._lines = self._lines, []
        while lines and not lines[-1].strip():
            lines.pop()
        return ["\n".join(lines)] if lines else []


def tail_of(block: str, opener: str, lines: int) -> str:
    """The last `lines` lines of a block under way; `opener` keeps code what it is."""
    every = block.split("\n")
    if len(every) <= lines:
        return block
    return "\n".join([*([opener] if opener else []), *every[-lines:]])
