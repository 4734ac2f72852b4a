"""Exact secrets in the forms they travel in: plain, JSON, base64, URL-quoted, hexadecimal, and broken over lines."""

import base64
import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

from acp_agent.domain.secret_shapes import begins

MIN_LENGTH = 8
"""Shorter secrets would mask plain words."""
_BREAK = re.compile(r"\\+(?=[nr\r\n])|(?<=\\)[nr]|[\r\n]")
"""A line break, as it is, escaped, or behind the backslash of a shell."""
_LABELLED_BREAK = re.compile(rf"\n(?:[^\n:\t]{{0,200}}:)?[ ]*[0-9]{{1,7}}(?:\t|: ?)|{_BREAK.pattern}")
"""The same, with what a listing puts before a line: its number, or the file and the number."""
_HALF_BREAK = re.compile(r"\\+\r?\Z")
_MAY_BREAK = re.compile(r"[\\\r\n]")
_SHORT = 256
"""Characters up to which one walk over a text is cheaper than a search for each form."""


class Forms:
    """The forms of `secrets`, to be found in texts."""

    def __init__(self, secrets: Iterable[str]) -> None:
        usual = {secret for secret in secrets if len(secret) >= MIN_LENGTH}
        whole = {form for secret in usual for form in forms_of(secret)}
        joined = {_BREAK.sub("", form) for form in whole}
        self._joined = tuple(form for form in joined if len(form) >= MIN_LENGTH)
        # Those that joining would change, or that look otherwise behind a backslash.
        self._whole = tuple(form for form in whole if form not in joined or form[0] in "nr" or form[-1] == "\\")
        # By their first two characters, and for the very end of a text by the first alone.
        self._by_start: dict[str, list[str]] = {}
        for form in {*whole, *self._joined}:
            for start in (form[:2], form[0]):
                self._by_start.setdefault(start, []).append(form)
        self._longest = max(map(len, whole), default=0)
        first, second = (_one_of(form[place] for form in whole | joined if len(form) >= MIN_LENGTH) for place in (0, 1))
        self._begin = re.compile(rf"{first}(?:{second}|\Z)")

    def spans(self, text: str, start: int = 0, *, labelled: bool = False) -> Iterator[tuple[int, int]]:
        """Every place of a form that begins at `start` or later; in no order, and they may overlap.

        With `labelled`, the lines that a secret is broken over may have labels, as a listing gives them.
        """
        if not self._longest:
            return
        cut = self._begun(text, max(start, 0))
        if len(text) - cut >= MIN_LENGTH:
            # A text that ends within a secret gives away the part that it has.
            yield cut, len(text)
        yield from self._whole_spans(text, start, _LABELLED_BREAK if labelled else _BREAK)

    def _whole_spans(self, text: str, start: int, breaks: re.Pattern[str]) -> Iterator[tuple[int, int]]:
        joined = breaks.sub("", text)
        if len(joined) == len(text):
            yield from _found((*self._joined, *self._whole), text, start)
            return
        yield from _found(self._whole, text, start)
        places: list[int] = []
        for low, high in _found(self._joined, joined, 0):
            places = places or _places(text, breaks)
            begin, end = places[low], places[high - 1] + 1
            if begin >= start:
                yield begin, end

    def look(self, text: str, start: int = 0) -> tuple[list[tuple[int, int]], int]:
        """Every place of a form, and the first from `start` on where one may have begun that more text decides.

        That is the length of `text` where there is none. What has begun and is not whole is no place yet.
        """
        if not self._longest:
            return [], len(text)
        if len(text) - start > _SHORT or _MAY_BREAK.search(text):
            undecided = self._undecided(text, start)
            return list(self._whole_spans(text, start, _BREAK)), undecided
        found: list[tuple[int, int]] = []
        undecided = len(text)
        for at in begins(self._begin, text, start):
            for form in self._by_start.get(text[at : at + 2], ()):
                if text.startswith(form, at):
                    found.append((at, at + len(form)))
                elif undecided == len(text) and form.startswith(text[at:]):
                    undecided = at
        return found, undecided

    def _undecided(self, text: str, start: int) -> int:
        found = self._begun(text, start)
        # A break that is not complete may or may not be one.
        for tail in {text, _HALF_BREAK.sub("", text)}:
            joined = _BREAK.sub("", tail)
            if joined == text:
                continue
            places = _places(tail)
            begun = self._begun(joined, bisect_left(places, start))
            if begun < len(joined):
                found = min(found, places[begun])
        return found

    def _begun(self, text: str, start: int) -> int:
        for at in range(max(start, len(text) - self._longest + 1), len(text)):
            forms = self._by_start.get(text[at : at + 2])
            if forms is not None:
                tail = text[at:]
                if any(form.startswith(tail) and form != tail for form in forms):
                    return at
        return len(text)


def forms_of(secret: str) -> set[str]:
    """The texts that give `secret` away; base64 in three alignments, for a secret that is a part of what is encoded."""
    data = secret.encode("utf-8", "surrogatepass")
    escaped = json.dumps(secret)[1:-1]
    quoted = {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    forms = {secret, escaped, json.dumps(escaped)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    forms |= quoted | {_lower_escapes(form) for form in quoted}
    forms |= {data.hex(), data.hex().upper()}
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + data).decode().rstrip("=")
        # The characters at the ends depend on the neighbours too.
        first = (shift * 8 + 5) // 6
        core = encoded[first : (shift + len(data)) * 8 // 6]
        forms |= {core, core.replace("+", "-").replace("/", "_")}
    return {form for form in forms if len(form) >= MIN_LENGTH}


def _lower_escapes(text: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), text)


def _one_of(characters: Iterable[str]) -> str:
    """A pattern of one of `characters`; of nothing at all where there are none."""
    escaped = "".join(re.escape(one) for one in sorted(set(characters)))
    return f"[{escaped}]" if escaped else "(?!)"


def _found(forms: Iterable[str], text: str, start: int) -> Iterator[tuple[int, int]]:
    for form in forms:
        at = text.find(form, start)
        while at >= 0:
            yield at, at + len(form)
            at = text.find(form, at + 1)


def _places(text: str, breaks: re.Pattern[str] = _BREAK) -> list[int]:
    """Where each character of the joined text stands in `text`."""
    places: list[int] = []
    last = 0
    for match in breaks.finditer(text):
        places += range(last, match.start())
        last = match.end()
    return [*places, *range(last, len(text))]
