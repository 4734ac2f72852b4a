"""The `search` tool: git grep in a checkout, else our own scan, always in a process that can be stopped."""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio.to_thread
from pydantic import Field

from acp_agent.domain.errors import ToolError
from acp_agent.domain.tool import Intent, Risk, ToolResult
from acp_agent.domain.weight import Weight
from acp_agent.tools.command import Bounds, Captured, run_program
from acp_agent.tools.listing import GLOB_NAMES, PLACE_NAMES, alternatives, files_below, glob_spec, in_git
from acp_agent.tools.registry import Arguments, Ready, Seen, other_names, prepared_tool
from acp_agent.tools.repository import git_argv, git_environment, literally
from acp_agent.tools.workspace import MAX_FILE_BYTES, Workspace

_SECONDS = 30.0
_KEPT = 4_000_000
_LINE_CHARACTERS = 300
_OUTPUT_CHARACTERS = 30_000
_MATCH = re.compile(rb"([^\0\n]+)\0(\d+)[\0:](.*)")
_ABOUT_THE_PATTERN = (b"fatal: -e option", b"fatal: pcre")
_TOO_COMPLEX = re.compile(r"pcre2?_\w*(match|exec) failed|limit")
_SCAN = Path(__file__).with_name("scan.py")


class Search(Arguments):
    OTHER_NAMES = other_names(
        pattern="query regex",
        path=PLACE_NAMES,
        glob=GLOB_NAMES,
        ignore_case="case_insensitive i",
        max="max_results limit",
    )

    pattern: str = Field(min_length=1, description="Regular expression, per line.")
    path: str = Field(".", description="File or directory to search, relative to the workspace.")
    glob: str | None = Field(None, min_length=1, description="Only files that match, e.g. `*.py`.")
    ignore_case: bool = False
    max: int = Field(100, ge=1, le=1000, description="Matching lines to return.")

    def title(self) -> str:
        return f"Search {self.pattern!r}" + (f" in {self.path}" if self.path != "." else "")


def _searching(arguments: Search, workspace: Workspace) -> Weight:
    return Weight(risk=Risk.READ, reads=(workspace.relative(arguments.path),))


@prepared_tool(Risk.READ, kind="search", repeatable=True, weigh=_searching)
def search(arguments: Search, workspace: Workspace, seen: Seen) -> Ready:
    """Search file contents with a regular expression. Returns `path:line: text`; files git ignores are left out."""
    path = workspace.relative(arguments.path)
    if not workspace.absolute(path).exists():
        workspace.directory(arguments.path)
    if arguments.glob is not None:
        glob_spec(arguments.glob)

    async def run(key: str) -> ToolResult:
        # Git names what it finds as seen from its root, so another root is searched by name.
        here, _ = workspace.place(path)
        if here is workspace and await anyio.to_thread.run_sync(in_git, workspace.root):
            found = await _git_grep(arguments, workspace, path)
            if found.exit_status in (None, 0, 1) or found.head.startswith(_ABOUT_THE_PATTERN):
                return _told(arguments, path, found)
        # There is no git here, or it refuses this repository (owned by another user, for one).
        names = await anyio.to_thread.run_sync(files_below, workspace, path, arguments.glob, abandon_on_cancel=True)
        return _told(arguments, path, await _scan(arguments, workspace, names))

    return Ready(Intent(title=arguments.title()), run)


async def _git_grep(arguments: Search, workspace: Workspace, path: str) -> Captured:
    options = ["-i"] if arguments.ignore_case else []
    places = [literally(path)] if arguments.glob is None else _pathspecs(path, arguments.glob)

    async def ask(dialect: str, pattern: str) -> Captured:
        what = ("grep", "-nIz", "--untracked", *options, dialect, "-e", pattern, "--", *places)
        return await _run(git_argv(workspace.root, *what), workspace)

    found = await ask("-P", arguments.pattern)
    if found.exit_status in (None, 0, 1):
        return found
    if b"Perl-compatible" in found.head:
        # Some builds of git lack the Perl dialect.
        return await ask("-E", arguments.pattern)
    if b"JIT stack" in found.head:
        # One long line is too much for the compiled pattern, which would end the search of all files.
        return await ask("-P", f"(*NO_JIT){arguments.pattern}")
    return found


def _pathspecs(path: str, glob: str) -> list[str]:
    """The glob, as .gitignore reads it, in git's words: relative to `path`, and a directory is all below it."""
    base = "" if path == "." else re.sub(r"([\\*?\[])", r"\\\1", path) + "/"
    specs: list[str] = []
    for pattern in alternatives(glob):
        bare = pattern.rstrip("/")
        anchored = bare.lstrip("/") if "/" in bare else f"**/{bare}"
        specs += [f":(glob){base}{anchored}/**"] + ([f":(glob){base}{anchored}"] if bare == pattern else [])
    return specs


async def _scan(arguments: Search, workspace: Workspace, names: list[str]) -> Captured:
    request = {
        "root": str(workspace.root),
        "names": names,
        "pattern": arguments.pattern,
        "ignore_case": arguments.ignore_case,
        "largest": MAX_FILE_BYTES,
    }
    argv = [sys.executable, "-I", "-S", str(_SCAN)]
    return await _run(argv, workspace, json.dumps(request).encode())


async def _run(argv: list[str], workspace: Workspace, stdin: bytes = b"") -> Captured:
    bounds = Bounds(_SECONDS, head=_KEPT, tail=0)
    environment = git_environment(os.environ)
    found = await run_program(argv, cwd=workspace.root, environment=environment, bounds=bounds, stdin=stdin)
    if found.timed_out:
        raise ToolError(
            f"The search took longer than {_SECONDS:g} seconds.",
            kind="timeout",
            hint="Use a simpler pattern, or narrow with path or glob.",
        )
    return found


def _told(arguments: Search, path: str, found: Captured) -> ToolResult:
    if found.exit_status not in (None, 0, 1):
        raise _failure(arguments.pattern, found)
    lines = [_line(*match) for match in _matches(found.head)]
    if not lines:
        where = "" if path == "." else f" in {path}"
        return ToolResult(status="ok", output=f"No line matches {arguments.pattern!r}{where}.")
    shown: list[str] = []
    room = _OUTPUT_CHARACTERS
    for line in lines[: arguments.max]:
        room -= len(line) + 1
        if room < 0:
            break
        shown.append(line)
    output = "\n".join(shown)
    if len(shown) < len(lines):
        more = "more than " if found.exit_status is None else ""
        output += f"\n[{len(shown):,} of {more}{len(lines):,} matching lines; narrow with path, glob or pattern]"
    return ToolResult(status="ok", output=output)


def _matches(output: bytes) -> Iterator[tuple[str, str, str]]:
    for record in output.split(b"\n"):
        if match := _MATCH.fullmatch(record):
            path, number, text = (part.decode(errors="replace") for part in match.groups())
            yield path, number, text


def _line(path: str, number: str, text: str) -> str:
    text = text.rstrip()
    return f"{path}:{number}: {text if len(text) <= _LINE_CHARACTERS else text[:_LINE_CHARACTERS] + ' [...]'}"


def _failure(pattern: str, found: Captured) -> ToolError:
    message = found.head.decode(errors="replace").strip().rpartition("\n")[2].removeprefix("fatal: ")
    if _TOO_COMPLEX.search(message):
        return ToolError(
            f"The pattern {pattern!r} is too complex: {message}.", kind="timeout", hint="Use a simpler one."
        )
    hint = "Escape ( ) [ ] { } . * + ? with a backslash to match them as they are."
    return ToolError(f"The pattern {pattern!r} is invalid: {message}.", kind="invalid_regex", hint=hint)
