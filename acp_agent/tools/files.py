"""The tools that read, edit and write files."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import Field, model_validator

from acp_agent.domain.errors import ToolError
from acp_agent.domain.tool import Risk, ToolResult
from acp_agent.domain.weight import Weight
from acp_agent.tools.edit import Edit, apply_edits
from acp_agent.tools.registry import Arguments, Ready, Seen, other_names, prepared_tool, tool
from acp_agent.tools.syntax import warning
from acp_agent.tools.text import decode, unified
from acp_agent.tools.workspace import Workspace, digest
from acp_agent.tools.writing import Change, require_known, writing

MAX_LINES: Final = 2000
MAX_CHARACTERS: Final = 50_000
MAX_LINE_CHARACTERS: Final = 2000
PATH_NAMES: Final = "file_path filepath filename file file_name target_file"


class ReadFile(Arguments):
    OTHER_NAMES = other_names(path=PATH_NAMES, offset="start_line line start", limit="lines max_lines")

    path: str = Field(description="File to read, relative to the workspace.")
    offset: int = Field(1, ge=1, description="First line to read.")
    limit: int = Field(MAX_LINES, ge=1, description="Lines to read, at most 2000.")

    def title(self) -> str:
        return f"Read {self.path}" + (f" from line {self.offset}" if self.offset > 1 else "")


def _reading(arguments: ReadFile, workspace: Workspace) -> Weight:
    return Weight(risk=Risk.READ, reads=(workspace.relative(arguments.path),))


@tool(Risk.READ, kind="read", weigh=_reading)
def read_file(arguments: ReadFile, workspace: Workspace) -> ToolResult:
    """Read a text file. Each line comes with its number and a tab before it; these are not part of the file.

    A file must be read before it can be edited. At most 2000 lines or 50 kB come at once; read on with offset.
    """
    path = workspace.relative(arguments.path)
    data = workspace.read(path)
    seen: dict[str, str | None] = {path: digest(data)}
    content = decode(data, path).content
    if not content:
        return ToolResult(status="ok", output=f"{path} is empty.", seen=seen)
    lines = content.split("\n")
    if lines[-1] == "":
        lines.pop()
    if arguments.offset > len(lines):
        raise ToolError(f"{path} has {len(lines):,} lines.", kind="past_end", hint="Use a smaller offset.")
    shown, cut = _numbered(lines, arguments.offset, min(arguments.limit, MAX_LINES))
    last = arguments.offset + len(shown) - 1
    output = "\n".join(shown)
    if last < len(lines) or arguments.offset > 1:
        output += f"\n[lines {arguments.offset}-{last} of {len(lines)}"
        output += f"; read on with offset {last + 1}]" if last < len(lines) else "]"
    if cut:
        output += f"\n[lines longer than {MAX_LINE_CHARACTERS} characters are cut]"
    return ToolResult(status="ok", output=output, seen=seen)


def _numbered(lines: list[str], offset: int, limit: int) -> tuple[list[str], bool]:
    """Lines from the 1-based `offset` with their numbers, as many as fit, and whether one of them was cut."""
    shown: list[str] = []
    cut = False
    room = MAX_CHARACTERS
    for number, line in enumerate(lines[offset - 1 : offset - 1 + limit], offset):
        text = line if len(line) <= MAX_LINE_CHARACTERS else f"{line[:MAX_LINE_CHARACTERS]} [...]"
        room -= len(text) + len(str(number)) + 2
        if room < 0 and shown:
            break
        cut = cut or text is not line
        shown.append(f"{number}\t{text}")
    return shown, cut


class EditFile(Arguments):
    OTHER_NAMES = other_names(path=PATH_NAMES, edits="changes replacements")

    path: str = Field(description="File to edit, relative to the workspace.")
    edits: tuple[Edit, ...] = Field(
        min_length=1, description="Replacements, made one after the other; all or none of them."
    )

    @model_validator(mode="before")
    @classmethod
    def _single(cls, given: Any) -> Any:
        """One edit that was not put in a list, or not even in an object."""
        if not isinstance(given, Mapping):
            return given
        if isinstance(given.get("edits"), Mapping):
            return {**given, "edits": [given["edits"]]}
        inner = {key: value for key, value in given.items() if key in _EDIT_NAMES}
        if not inner or "edits" in given:
            return given
        return {**{key: value for key, value in given.items() if key not in inner}, "edits": [inner]}

    def title(self) -> str:
        return f"Edit {self.path}"


_EDIT_NAMES = frozenset(Edit.model_fields) | frozenset(Edit.OTHER_NAMES)


def _changing(arguments: "EditFile | WriteFile", workspace: Workspace) -> Weight:
    return Weight(risk=Risk.LOCAL, writes=(workspace.relative(arguments.path),))


@prepared_tool(Risk.LOCAL, kind="edit", timeout=None, weigh=_changing)
def edit_file(arguments: EditFile, workspace: Workspace, seen: Seen) -> Ready:
    """Replace exact pieces of text in a file that was read before.

    Each old must occur exactly once unless all is true. Edits apply in order, and either all of them or none. Put
    several changes of one file in one call.
    """
    path = workspace.relative(arguments.path)
    data = workspace.read(path)
    require_known(path, digest(data), seen)
    text = decode(data, path)
    edited = apply_edits(text.content, arguments.edits, path)
    change = Change(path, data, text.encode(edited.content), unified(path, text.content, edited.content))
    count = len(arguments.edits)
    said = f"Edit {path}: {count} edit{'' if count == 1 else 's'}, {change.diff.counts}."
    told = warning(path, text.content, edited.content)
    return writing(workspace, [change], f"Edit {path}", said, [*edited.notes, *([told] if told else [])])


class WriteFile(Arguments):
    OTHER_NAMES = other_names(path=PATH_NAMES, content="contents text file_content file_text")

    path: str = Field(description="File to write, relative to the workspace.")
    content: str = Field(description="The whole content.")

    def title(self) -> str:
        return f"Write {self.path}"


@prepared_tool(Risk.LOCAL, kind="edit", timeout=None, weigh=_changing)
def write_file(arguments: WriteFile, workspace: Workspace, seen: Seen) -> Ready:
    """Write a whole file: a new one, or one that was read before. Directories are made as needed.

    To change part of a file use edit_file.
    """
    path = workspace.relative(arguments.path)
    if workspace.is_directory(path):
        raise ToolError(f"{path} is a directory.", kind="is_directory")
    if "\0" in arguments.content:
        raise ToolError("The content holds a NUL character, which no text file does.", kind="binary")
    data = workspace.read_if_exists(path)
    if data is None:
        change = Change(path, None, arguments.content.encode(), unified(path, None, arguments.content))
        return _whole(workspace, change, None, arguments.content, "new file")
    require_known(path, digest(data), seen)
    text = decode(data, path)
    change = Change(path, data, text.encode(arguments.content), unified(path, text.content, arguments.content))
    return _whole(workspace, change, text.content, arguments.content, "overwritten")


def _whole(workspace: Workspace, change: Change, before: str | None, after: str, what: str) -> Ready:
    title = f"Write {change.path}"
    told = warning(change.path, before, after)
    return writing(workspace, [change], title, f"{title}: {what}, {change.diff.counts}.", [told] if told else [])
