"""Real git repositories for tests: small, fast to make, the same commit ids on every machine.

Nothing of the user's own git configuration is read, hooks and background maintenance are off, and each repository has
an author of its own, so that the agent can commit in it on a bare machine.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Content = str | bytes
Files = Mapping[str, Content]

_CONFIG = """\
[user]
\tname = Test
\temail = test@example.org
[commit]
\tgpgsign = false
[gc]
\tauto = 0
[maintenance]
\tauto = false
"""
_DATE = "2026-01-01T00:00:00+00:00"
_DEFAULT_FILES: Files = {"README.md": "# sample\n", "main.py": "def main() -> int:\n    return 0\n"}


class GitFailed(Exception):
    """git ended with an error; the message holds the command and what git said."""


@dataclass(frozen=True)
class Fleet:
    """Several repositories and the projects.toml that lists them."""

    projects_file: Path
    repos: Mapping[str, Path]


def git_environment() -> dict[str, str]:
    """The environment in which tests call git: no user or system configuration, fixed dates, no prompts."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_DATE": _DATE,
        "GIT_COMMITTER_DATE": _DATE,
        "LC_ALL": "C",
    }


def git(path: Path | str, *arguments: str) -> str:
    """Run git in `path` and return what it prints, without the last newline; GitFailed when it fails."""
    return _git(path, arguments).decode("utf-8", "surrogateescape").rstrip("\n")


def make_repo(
    path: Path | str,
    files: Files = _DEFAULT_FILES,
    *,
    branch: str = "main",
    dirty: Mapping[str, Content | None] | None = None,
) -> Path:
    """Make a repository whose first commit holds `files`; return its path.

    A file that begins with `#!` is executable. `dirty` is written after the commit and left uncommitted; None removes.
    Without files the repository has no commit.
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    _git(path, ("init", "--quiet", "--template=", f"--initial-branch={branch}"))
    with (path / ".git" / "config").open("a", encoding="utf-8") as config:
        config.write(_CONFIG)
    if files:
        write_files(path, files)
        commit(path, "first commit")
    write_files(path, dirty or {})
    return path


def write_files(root: Path | str, files: Mapping[str, Content | None]) -> None:
    """Write files below `root`, making their folders; None removes a file."""
    for name, content in files.items():
        target = Path(root) / name
        if content is None:
            target.unlink()
            continue
        data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        if data.startswith(b"#!"):
            target.chmod(0o755)


def commit(path: Path | str, message: str) -> str:
    """Commit everything in the working tree, ignored files too, and return the commit id."""
    _git(path, ("add", "--all", "--force"))
    _git(path, ("commit", "--quiet", "--allow-empty", "-m", message))
    return git(path, "rev-parse", "HEAD")


def tree(path: Path | str, ref: str = "HEAD") -> dict[str, str]:
    """All files of a commit with their contents; bytes that are no UTF-8 come as surrogate escapes."""
    entries: list[tuple[str, str]] = []
    for line in _git(path, ("ls-tree", "-r", "-z", "--full-tree", ref)).split(b"\0"):
        if line:
            about, _, name = line.decode("utf-8", "surrogateescape").partition("\t")
            _, kind, identifier = about.split()
            if kind == "blob":
                entries.append((name, identifier))
    wanted = "".join(f"{identifier}\n" for _, identifier in entries).encode()
    output = _git(path, ("cat-file", "--batch"), wanted)
    files: dict[str, str] = {}
    position = 0
    for name, _ in entries:
        start = output.index(b"\n", position) + 1
        size = int(output[position : start - 1].split()[2])
        files[name] = output[start : start + size].decode("utf-8", "surrogateescape")
        position = start + size + 1
    return files


def make_fleet(
    root: Path | str,
    names: Sequence[str],
    tags: Mapping[str, Sequence[str]] | Sequence[str] = (),
    *,
    files: Files | Callable[[str], Files] = _DEFAULT_FILES,
    extra: str = "",
) -> Fleet:
    """Make one repository per name below `root` and `root/projects.toml` that lists them.

    `tags` are the same for all, or a mapping by name; `files` may be chosen by name. `extra` is TOML text (defaults,
    gates, tasks) put between the version and the projects.
    """
    root = Path(root)
    repos = {name: make_repo(root / name, files(name) if callable(files) else files) for name in names}
    sections = ["version = 1", extra.strip()] if extra.strip() else ["version = 1"]
    for name in names:
        own = tags.get(name, ()) if isinstance(tags, Mapping) else tags
        sections.append(f"[projects.{_key(name)}]\npath = {_quote(name)}\ntags = [{', '.join(map(_quote, own))}]")
    projects_file = root / "projects.toml"
    projects_file.write_text("\n\n".join(sections) + "\n", "utf-8")
    return Fleet(projects_file, repos)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quote(name)


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a JSON string is a TOML basic string


def _git(path: Path | str, arguments: Sequence[str], data: bytes | None = None) -> bytes:
    ended = subprocess.run(
        ["git", *arguments], cwd=path, input=data, capture_output=True, env=git_environment(), check=False
    )
    if ended.returncode:
        said = (ended.stderr + ended.stdout).decode("utf-8", "replace").strip()
        raise GitFailed(f"git {' '.join(arguments)} in {path}: exit {ended.returncode}: {said}")
    return ended.stdout
