"""On which line each key of a TOML text stands: tomllib tells values only, and an error should name the line.

The text is known to be well-formed, so this reads its skeleton and skips what values mean.
"""

import re
import tomllib
from functools import lru_cache

TOKEN = re.compile(
    r"""
    (?P<long>\"{3}(?:[^\\]|\\[\s\S])*?\"{3,5}|'{3}[\s\S]*?'{3,5})
  | (?P<quoted>"(?:[^"\\\n]|\\.)*"|'[^'\n]*')
  | (?P<comment>\#[^\n]*)
  | (?P<newline>\n)
  | (?P<mark>[\[\]{}=,.])
  | (?P<bare>[^\s\[\]{}=,."'\#]+)
    """,
    re.VERBOSE,
)
END = ("end", "", 0)

Key = tuple[str | int, ...]
Token = tuple[str, str, int]


def lines_of_keys(text: str) -> dict[Key, int]:
    """The first line (from 1) of every key, table and list item of well-formed `text`."""
    scan = _Scan(_tokens(text))
    try:
        scan.document()
    except RecursionError:
        # Deeper than any file of ours; the keys found so far still have their lines.
        return scan.lines
    return scan.lines


# A file with many problems is asked for each of them.
_lines = lru_cache(maxsize=1)(lines_of_keys)


def line_of(text: str, key: Key) -> int | None:
    """The line where `key` stands, or its nearest parent that stands somewhere."""
    lines = _lines(text)
    return next((lines[key[:size]] for size in range(len(key), 0, -1) if key[:size] in lines), None)


def _tokens(text: str) -> list[Token]:
    found: list[Token] = []
    line = 1
    for match in TOKEN.finditer(text):
        kind, token = match.lastgroup or "", match.group()
        if kind != "comment":
            found.append((kind, token, line))
        line += token.count("\n")
    return found


class _Scan:
    """A walk over the tokens of one text."""

    def __init__(self, tokens: list[Token]) -> None:
        self.lines: dict[Key, int] = {}
        self._tokens = tokens
        self._next = 0
        self._lists: dict[Key, int] = {}

    def document(self) -> None:
        table: Key = ()
        while (token := self._peek())[0] != "end":
            if token[0] == "newline":
                self._next += 1
            elif token[1] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Key:
        line = self._take()[2]
        many = self._peek()[1] == "["
        if many:
            self._next += 1
        key: Key = ()
        for part in self._key_parts("]"):
            # A header below [[list]] speaks of the list's last table.
            key = self._in_list((*key, part))
            self.lines.setdefault(key, line)
        if many:
            self._next += 1
            parent = key[:-1] if isinstance(key[-1], int) else key
            self._lists[parent] = self._lists.get(parent, -1) + 1
            key = self._in_list(parent)
            self.lines.setdefault(key, line)
        return key

    def _in_list(self, key: Key) -> Key:
        return (*key, self._lists[key]) if key in self._lists else key

    def _key_parts(self, end: str) -> list[str]:
        parts: list[str] = []
        while (token := self._take())[1] != end or token[0] != "mark":
            if token[0] == "end":
                break
            if token[0] == "quoted":
                parts.append(tomllib.loads(f"key = {token[1]}")["key"])
            elif token[0] == "bare":
                parts.append(token[1])
        return parts

    def _pair(self, table: Key) -> None:
        line = self._peek()[2]
        key = table
        for part in self._key_parts("="):
            key = (*key, part)
            self.lines.setdefault(key, line)
        self._value(key)

    def _value(self, key: Key) -> None:
        mark = self._peek()[1] if self._peek()[0] == "mark" else ""
        if mark == "[":
            self._list(key)
        elif mark == "{":
            self._inline_table(key)
        else:
            # A number such as 1.5 is several tokens; a value ends where its line or its container goes on.
            while not self._at(",", "]", "}") and self._peek()[0] not in ("newline", "end"):
                self._next += 1

    def _list(self, key: Key) -> None:
        self._next += 1
        index = 0
        while self._skip_to_item("]"):
            item = (*key, index)
            self.lines.setdefault(item, self._peek()[2])
            self._value(item)
            index += 1

    def _inline_table(self, key: Key) -> None:
        self._next += 1
        while self._skip_to_item("}"):
            self._pair(key)

    def _skip_to_item(self, end: str) -> bool:
        while self._at(",") or self._peek()[0] == "newline":
            self._next += 1
        if self._at(end) or self._peek()[0] == "end":
            self._next += 1
            return False
        return True

    def _at(self, *marks: str) -> bool:
        kind, token, _ = self._peek()
        return kind == "mark" and token in marks

    def _peek(self) -> Token:
        return self._tokens[self._next] if self._next < len(self._tokens) else END

    def _take(self) -> Token:
        token = self._peek()
        self._next += 1
        return token
