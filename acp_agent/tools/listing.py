"""Which files a workspace has: what git knows of, or a walk that honours .gitignore; and the `list_files` tool."""

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import Field

from acp_agent.domain.errors import ToolError
from acp_agent.domain.tool import Risk, ToolResult
from acp_agent.tools.files import PATH_NAMES
from acp_agent.tools.registry import Arguments, other_names, tool
from acp_agent.tools.repository import Repository, git_argv, git_environment, literally
from acp_agent.tools.workspace import Workspace, is_git_name, printable

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

MAX_LISTED = 1000
MAX_WALKED = 100_000
_GIT_SECONDS = 30
_LEFT_OUT = frozenset({".hg", ".svn", ".jj", "node_modules", "__pycache__"})
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
PLACE_NAMES: Final = f"{PATH_NAMES} directory dir folder"
GLOB_NAMES: Final = "include file_pattern file_glob"


class ListFiles(Arguments):
    OTHER_NAMES = other_names(path=PLACE_NAMES, glob=f"{GLOB_NAMES} pattern")

    path: str = Field(".", description="Directory to list, relative to the workspace.")
    glob: str | None = Field(
        None,
        min_length=1,
        description="Only files that match, as in .gitignore: `*.py` anywhere below, `src/**/*.ts` from the directory.",
    )

    def title(self) -> str:
        return f"List {self.path}" + (f" ({self.glob})" if self.glob else "")


@tool(Risk.READ, kind="search")
def list_files(arguments: ListFiles, workspace: Workspace) -> ToolResult:
    """List files below a directory, sorted, without those git ignores (and node_modules where there is no git)."""
    path = workspace.directory(arguments.path)
    found = files_below(workspace, path, arguments.glob)
    if not found:
        what = f"matching {arguments.glob}" if arguments.glob else "that git would not ignore"
        return ToolResult(status="ok", output=f"There are no files {what} in {path}.")
    output = "\n".join(found[:MAX_LISTED])
    if len(found) > MAX_LISTED:
        output += f"\n[{MAX_LISTED:,} of {len(found):,} files; narrow with path or glob. Files by directory: "
        output += f"{_by_directory(found, path)}]"
    return ToolResult(status="ok", output=output)


def _by_directory(found: Sequence[str], path: str) -> str:
    depth = 0 if path == "." else path.count("/") + 1
    counts = Counter("/".join(name.split("/")[: depth + 1]) + "/" for name in found if name.count("/") > depth)
    return ", ".join(f"{folder} {count:,}" for folder, count in counts.most_common(30))


def files_below(workspace: Workspace, path: str, glob: str | None) -> list[str]:
    """Sorted workspace-relative paths of the files below `path` that match `glob`; links are listed, not followed."""
    here, inside = workspace.place(path)
    if here is not workspace:
        return [f"{printable(str(here.root))}/{name}" for name in files_below(here, inside, glob)]
    found = _from_git(workspace, path)
    names = _walk(workspace, path) if found is None else found
    prefix = "" if path == "." else f"{path}/"
    if glob is not None:
        spec = glob_spec(glob)
        names = [name for name in names if spec.match_file(name.removeprefix(prefix))]
    return sorted(printable(name) for name in names)


def glob_spec(glob: str) -> "GitIgnoreSpec":
    """The glob as a pattern of .gitignore, relative to a directory. Raises ToolError(kind="invalid_glob")."""
    patterns = [pattern.removeprefix("./") for pattern in alternatives(glob)]
    try:
        return _spec("\\" + text if text[:1] in ("!", "#") else text for text in patterns)
    except ValueError as error:
        raise ToolError(f"The glob {glob!r} is invalid: {error}.", kind="invalid_glob") from None


def alternatives(glob: str) -> list[str]:
    """`*.{ts,tsx}` as `*.ts` and `*.tsx`, which .gitignore does not know; at most a few hundred of them."""
    done: list[str] = []
    todo = [glob]
    while todo and len(todo) + len(done) < 500:
        pattern = todo.pop(0)
        braces = _BRACES.search(pattern)
        if braces is None:
            done.append(pattern)
        else:
            todo += [pattern[: braces.start()] + choice + pattern[braces.end() :] for choice in braces[1].split(",")]
    return done


def _from_git(workspace: Workspace, path: str) -> list[str] | None:
    """What git tracks or would add below `path`; None where it is no checkout, or git cannot say."""
    if not in_git(workspace.root):
        return None
    argv = git_argv(
        workspace.root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", literally(path)
    )
    try:
        ended = subprocess.run(
            argv, env=git_environment(os.environ), capture_output=True, timeout=_GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if ended.returncode != 0:
        return None
    names = {os.fsdecode(name) for name in ended.stdout.split(b"\0") if name}
    # The index also names what was deleted since.
    root = f"{workspace.root}/"
    return [name for name in names if os.path.lexists(root + name)]


def in_git(root: Path) -> bool:
    """Whether git speaks for `root`: it is a checkout's top, or below one and not ignored there."""
    repository = Repository.of(root)
    if repository is None:
        return False
    if repository.top == root:
        return True
    argv = git_argv(repository.top, "check-ignore", "-q", str(root))
    try:
        ended = subprocess.run(
            argv, env=git_environment(os.environ), capture_output=True, timeout=_GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ended.returncode == 1


def _walk(workspace: Workspace, path: str) -> list[str]:
    return list(islice(_walked(workspace, path), MAX_WALKED))


def _walked(workspace: Workspace, path: str) -> Iterator[str]:
    """Files below `path` that no .gitignore between the root and them names."""
    if not workspace.is_directory(path):
        yield path
        return
    start = "" if path == "." else path
    rules = [rule for folder in _ancestors(start) if (rule := _rules_of(workspace, folder)) is not None]
    todo = [(start, rules)]
    while todo:
        folder, above = todo.pop()
        own = _rules_of(workspace, folder)
        rules = above if own is None else [*above, own]
        for entry in _entries(workspace.root / folder):
            name = f"{folder}/{entry.name}" if folder else entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_git_name(entry.name) or entry.name in _LEFT_OUT or _ignored(rules, name, is_folder):
                continue
            if is_folder:
                todo.append((name, rules))
            else:
                yield name


def _spec(lines: Iterable[str]) -> "GitIgnoreSpec":
    # Where git is, the rules of .gitignore are mostly git's to know.
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(lines)


Rules = tuple[str, "GitIgnoreSpec"]


def _ancestors(folder: str) -> list[str]:
    """The directories above `folder`, the root ("") first, without itself."""
    parts = folder.split("/") if folder else []
    return ["/".join(parts[:count]) for count in range(len(parts))]


def _rules_of(workspace: Workspace, folder: str) -> Rules | None:
    try:
        data = workspace.read_saved(f"{folder}/.gitignore" if folder else ".gitignore")
        return folder, _spec(data.decode(errors="replace").splitlines())
    except (ToolError, ValueError):
        return None


def _ignored(rules: Sequence[Rules], name: str, is_folder: bool) -> bool:
    """As git decides: the last pattern that matches, from the nearest .gitignore outwards."""
    for folder, spec in reversed(rules):
        inner = name[len(folder) + 1 :] if folder else name
        verdict = spec.check_file(inner + "/" if is_folder else inner).include
        if verdict is not None:
            return verdict
    return False


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    """The entries of a directory, none of one that cannot be read or is gone."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
