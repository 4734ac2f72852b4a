"""The tool `apply_patch`: one patch over several files, for models that were trained to write them."""

from pydantic import Field

from acp_agent.domain.errors import ToolError
from acp_agent.domain.tool import Risk
from acp_agent.domain.weight import Weight
from acp_agent.tools.patch import FilePatch, fitted, parse_patch
from acp_agent.tools.registry import Arguments, Ready, Seen, other_names, prepared_tool
from acp_agent.tools.syntax import warning
from acp_agent.tools.text import decode, unified
from acp_agent.tools.workspace import Workspace, digest
from acp_agent.tools.writing import Change, require_known, writing


class ApplyPatch(Arguments):
    OTHER_NAMES = other_names(patch="input diff patch_text content")

    patch: str = Field(min_length=1, description="The whole patch.")

    def title(self) -> str:
        return "Apply a patch"


def _weighed(arguments: ApplyPatch, workspace: Workspace) -> Weight:
    patches = parse_patch(arguments.patch)
    names = [name for patch in patches for name in (patch.path, patch.move_to) if name]
    return Weight(risk=Risk.LOCAL, writes=tuple(workspace.relative(name) for name in names))


@prepared_tool(Risk.LOCAL, kind="edit", timeout=None, weigh=_weighed)
def apply_patch(arguments: ApplyPatch, workspace: Workspace, seen: Seen) -> Ready:
    """Change, add, delete and rename files with one patch: all of it, or nothing. Files to change must have been read.

    Either a unified diff, or this form, whose places are found by the context lines (three before and after a change):
    *** Begin Patch
    *** Update File: path/of/file.py
    @@ def function_the_change_is_in():
     context
    -old line
    +new line
    *** Add File: path/of/new.py
    +first line
    *** Delete File: path/of/old.py
    *** End Patch
    `*** Move to: new/path` after `*** Update File:` renames.
    """
    changes: list[Change] = []
    notes: list[str] = []
    for patch in parse_patch(arguments.patch):
        made, told = _changes(patch, workspace, seen)
        changes += made
        notes += told
    paths = [change.path for change in changes]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise ToolError(f"The patch changes {twice} twice. Nothing was applied.", kind="invalid_patch")
    added = sum(change.diff.added or 0 for change in changes)
    removed = sum(change.diff.removed or 0 for change in changes)
    title = f"Patch {', '.join(paths[:3])}" + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
    files = "1 file" if len(paths) == 1 else f"{len(paths)} files"
    return writing(workspace, changes, title, f"Applied the patch: {files}, +{added} -{removed} lines.", notes)


def _changes(patch: FilePatch, workspace: Workspace, seen: Seen) -> tuple[list[Change], list[str]]:
    """The files that one part of a patch changes, and what there is to say about it."""
    path = workspace.relative(patch.path)
    if workspace.is_directory(path):
        raise ToolError(f"{path} is a directory.", kind="is_directory")
    if patch.kind == "add":
        return _added(path, patch, workspace)
    data = workspace.read(path)
    require_known(path, digest(data), seen)
    if patch.kind == "delete":
        return [Change(path, data, None, unified(path, _text_of(data, path), None))], []
    text = decode(data, path)
    content, notes = fitted(text.content, patch)
    told = warning(path, text.content, content)
    notes = [*notes, *([told] if told else [])]
    after = text.encode(content)
    if patch.move_to is None:
        return [Change(path, data, after, unified(path, text.content, content))], notes
    target = workspace.relative(patch.move_to)
    _refuse_existing(target, workspace)
    gone = Change(path, data, None, unified(path, text.content, None))
    return [gone, Change(target, None, after, unified(target, None, content), workspace.mode(path))], notes


def _added(path: str, patch: FilePatch, workspace: Workspace) -> tuple[list[Change], list[str]]:
    _refuse_existing(path, workspace)
    if "\0" in patch.content:
        raise ToolError("The content holds a NUL character, which no text file does.", kind="binary")
    told = warning(path, None, patch.content)
    change = Change(path, None, patch.content.encode(), unified(path, None, patch.content))
    return [change], [told] if told else []


def _refuse_existing(path: str, workspace: Workspace) -> None:
    if workspace.digest(path) is not None:
        hint = "Update it instead, after reading it."
        raise ToolError(f"{path} exists already. Nothing was applied.", kind="exists", hint=hint)


def _text_of(data: bytes, path: str) -> str:
    """What a deletion shows; of a file that is no text, that it is none."""
    try:
        return decode(data, path).content
    except ToolError:
        return f"(binary, {len(data):,} bytes)\n"
