"""Between a file's bytes and the text a model edits: encoding, byte order mark and line ends survive."""

import codecs
import difflib
import re
from dataclasses import dataclass

from acp_agent.domain.errors import ToolError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROLS = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f]")
_SNIFFED = 8192
_DIFF_LINES = 4000
_DIFF_CHARACTERS = 60_000


@dataclass(frozen=True, slots=True)
class Text:
    """A text file: `content` has `\\n` line ends where the file's are all `\\r\\n`; mixed ones stay as they are."""

    content: str
    encoding: str = "utf-8"
    mark: bytes = b""
    crlf: bool = False

    def encode(self, content: str) -> bytes:
        """`content` in this file's encoding and line ends. Raises ToolError where the encoding cannot hold it."""
        if self.crlf:
            content = content.replace("\r\n", "\n").replace("\n", "\r\n")
        try:
            return self.mark + content.encode(self.encoding)
        except UnicodeEncodeError as error:
            character = content[error.start]
            raise ToolError(
                f"The file is {self.encoding} and cannot hold the character {character!r}.",
                kind="encoding",
                hint="Use characters of that encoding, or convert the file to UTF-8 first.",
            ) from None


def decode(data: bytes, path: str) -> Text:
    """The text of a file's bytes: by byte order mark, else UTF-8, else Latin-1. Raises ToolError(kind="binary")."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            try:
                return _with_line_ends(data[len(mark) :].decode(encoding), encoding, mark)
            except UnicodeDecodeError:
                raise _binary(path, len(data)) from None
    sniffed = data[:_SNIFFED]
    if b"\0" in sniffed:
        raise _binary(path, len(data))
    try:
        return _with_line_ends(data.decode("utf-8"), "utf-8", b"")
    except UnicodeDecodeError:
        # Latin-1 decodes anything, so compressed data would pass as text but for its control characters.
        if len(_CONTROLS.findall(sniffed)) * 50 > len(sniffed):
            raise _binary(path, len(data)) from None
        return _with_line_ends(data.decode("latin-1"), "latin-1", b"")


def _with_line_ends(content: str, encoding: str, mark: bytes) -> Text:
    pairs = content.count("\r\n")
    crlf = pairs > 0 and pairs == content.count("\n") == content.count("\r")
    return Text(content.replace("\r\n", "\n") if crlf else content, encoding, mark, crlf)


def _binary(path: str, size: int) -> ToolError:
    return ToolError(f"{path} is a binary file of {size:,} bytes.", kind="binary", hint="Only text files can be used.")


@dataclass(frozen=True, slots=True)
class Diff:
    """A unified diff for people, and its line counts (None where the change is too large to compare)."""

    text: str
    added: int | None
    removed: int | None
    touched: int = 0

    @property
    def changed(self) -> int:
        """Lines added and removed; where they were too many to compare, those between the common head and tail."""
        return self.touched if self.added is None or self.removed is None else self.added + self.removed

    @property
    def counts(self) -> str:
        """`+3 -1 lines`, or that it was too large."""
        return "too large to compare" if self.added is None else f"+{self.added} -{self.removed} lines"


def unified(path: str, before: str | None, after: str | None) -> Diff:
    """The change of `path` as git would print it, without colours; None is a file that does not exist."""
    old, new = (before or "").split("\n"), (after or "").split("\n")
    head = f"--- {'/dev/null' if before is None else 'a/' + path}\n"
    head += f"+++ {'/dev/null' if after is None else 'b/' + path}\n"
    if (touched := _changed_lines(old, new)) > _DIFF_LINES:
        said = f"{head}@@ {len(old):,} lines became {len(new):,}: too large to compare @@\n"
        return Diff(said, None, None, touched)
    old, new = _without_last_empty(old), _without_last_empty(new)
    lines = list(difflib.unified_diff(old, new, n=3, lineterm=""))[2:]
    text = head + "".join(line + "\n" for line in lines)
    if len(text) > _DIFF_CHARACTERS:
        text = text[:_DIFF_CHARACTERS].rsplit("\n", 1)[0] + "\n[the rest of the diff is cut]\n"
    return Diff(text, sum(line.startswith("+") for line in lines), sum(line.startswith("-") for line in lines))


def _without_last_empty(lines: list[str]) -> list[str]:
    return lines[:-1] if lines[-1] == "" else [*lines[:-1], lines[-1] + "\n\\ No newline at end of file"]


def _changed_lines(old: list[str], new: list[str]) -> int:
    """Lines left between the common head and tail: what the quadratic comparison would have to work on."""
    shortest = min(len(old), len(new))
    head = next((index for index in range(shortest) if old[index] != new[index]), shortest)
    rest = shortest - head
    tail = next((index for index in range(rest) if old[-1 - index] != new[-1 - index]), rest)
    return len(old) + len(new) - 2 * (head + tail)
