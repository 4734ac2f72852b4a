"""Reading a TOML file a person wrote, with errors that name file, line and column. Standard library only."""

import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from acp_agent.config.paths import shown_path
from acp_agent.config.problem import FileError, Problem

Key = tuple[str | int, ...]
MAX_BYTES = 1 << 20
POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


class TomlSource(NamedTuple):
    """A file that is well-formed TOML: its path, its text and what it says."""

    path: Path
    text: str
    data: dict[str, Any]

    @property
    def shown(self) -> str:
        """The path as errors show it."""
        return shown_path(self.path)


def read_toml(path: Path, hint: str | None = None) -> TomlSource:
    """Read `path`. Raises FileError, with `hint` where the file is missing."""
    return parse_toml(path, read_text(path, hint))


def read_text(path: Path, hint: str | None = None) -> str:
    """The text of a file of at most 1 MiB. Raises FileError if it is missing, too large, or no UTF-8 text."""
    shown = shown_path(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _error(shown, None, "no such file", hint) from None
    except IsADirectoryError:
        raise _error(shown, None, "is a folder, not a file", hint) from None
    except OSError as error:
        raise _error(shown, None, f"cannot be read: {error.strerror}", hint) from None
    if len(content) > MAX_BYTES:
        raise _error(shown, None, "is larger than 1 MiB", "is this the right file?")
    if b"\0" in content:
        raise _error(shown, None, "is a binary file", "is this the right file?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _error(shown, line, "is not UTF-8 text", "save the file as UTF-8") from None


def parse_toml(path: Path, text: str, first_line: int = 1) -> TomlSource:
    """Parse `text` of file `path`, where it begins at `first_line`. Raises FileError with line and column."""
    try:
        return TomlSource(path, text, tomllib.loads(text))
    except RecursionError:
        raise _error(shown_path(path), None, "is nested too deeply", "write it flatter") from None
    except ValueError as error:
        message = str(error)
        place = POSITION.search(message)
        line = int(place[1]) if place and place[1] else text.count("\n") + 1
        column = f", column {place[2]}" if place and place[2] else ""
        what = POSITION.sub("", message)
        what = f"broken TOML: {what}{column}"
        raise _error(shown_path(path), line + first_line - 1, what, "mend this line") from None


def _error(shown: str, line: int | None, what: str, hint: str | None) -> FileError:
    return FileError(Problem(shown, line, "", what, hint))
