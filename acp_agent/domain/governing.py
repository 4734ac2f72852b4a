"""The files that govern the agent: who may change them could change what is allowed (docs/architecture.md, section 6).

The one list. File tools weigh a write of such a file as risk 4, and the guard that looks at a workspace after a command
uses the same functions. Names are compared as the most lenient file system would compare them.
"""

import unicodedata
from collections.abc import Iterable

GOVERNING_FILES = (
    "projects.toml",
    ".mcp.json",
    ".worktreeinclude",
    "acp-agent.service",
    "acp-agent.timer",
)
"""Names that govern in whatever directory they stand."""

GOVERNING_FOLDERS = (
    ".agents",
    ".claude",
    ".acp-agent",
)
"""Directories that govern with all that is in them, in whatever directory they stand."""

LOOPS_FOLDER = "loops"
LOOP_SUFFIXES = (".md", ".toml")
"""Files of these endings directly in that folder at the top of a workspace are loops: they govern. The name alone is
common in other programs, so nothing else of such a folder does."""

OPENED_BY_OTHERS = (".vscode", ".idea", ".envrc", ".claude", ".codex", ".cursor", ".gemini", ".opencode")
"""At the top of a workspace, what editors, shells and other agents act upon as soon as somebody opens it: a command may
neither change nor make it."""

INSTRUCTION_FILES = ("AGENTS.md", "AGENTS.override.md", "CLAUDE.md", "GEMINI.md", ".cursorrules")
"""Text that later runs read as instructions. It says what to do, never what is allowed, so it does not govern."""

# Characters some file systems ignore in names, so that `.mcp\u200c.json` is `.mcp.json` there (as git has it).
_IGNORED = dict.fromkeys([*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF])


def plain_name(name: str) -> str:
    """`name` as the most lenient file system sees it: case, width, ignored characters, dots and blanks at the end."""
    return unicodedata.normalize("NFKC", name.translate(_IGNORED)).casefold().rstrip(" .")


_FILES = frozenset(map(plain_name, GOVERNING_FILES))
_FOLDERS = frozenset(map(plain_name, GOVERNING_FOLDERS))
_OPENED = frozenset(map(plain_name, OPENED_BY_OTHERS))
_INSTRUCTIONS = frozenset(map(plain_name, INSTRUCTION_FILES))


def governs(path: str, also: Iterable[str] = ()) -> bool:
    """Whether the workspace-relative `path` governs the agent; `also` are further paths (gate files, protected ones).

    A path of `also` governs with all that is below it.
    """
    parts = _parts(path)
    if not parts:
        return False
    if parts[-1] in _FILES or any(part in _FOLDERS for part in parts) or _is_loop(parts):
        return True
    return any(other == parts[: len(other)] for other in map(_parts, also) if other)


def opens(path: str) -> bool:
    """Whether editors, shells or other agents act upon the file as soon as somebody opens the workspace."""
    parts = _parts(path)
    return bool(parts) and parts[0] in _OPENED


def instructs(path: str) -> bool:
    """Whether later runs read the file as instructions."""
    parts = _parts(path)
    return bool(parts) and parts[-1] in _INSTRUCTIONS


def _is_loop(parts: tuple[str, ...]) -> bool:
    return len(parts) == 2 and parts[0] == LOOPS_FOLDER and parts[1].endswith(LOOP_SUFFIXES)


def _parts(path: str) -> tuple[str, ...]:
    return tuple(plain_name(part) for part in path.split("/") if part not in ("", "."))
