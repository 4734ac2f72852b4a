"""Whether a repository that a command made runs nothing when somebody looks at it."""

import os
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

from acp_agent.tools.repository import git_argv, git_environment

# What `git init` and `git clone` write, and what says only where to and as whom.
_HARMLESS = re.compile(
    r"core\.(repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|symlinks|autocrlf)"
    r"|user\.(name|email)|init\.defaultbranch|branch\..+\.(remote|merge|rebase)|remote\..+\.(url|fetch)"
    r"|extensions\.objectformat|submodule\..+\.(url|active)"
)
_HEADER = re.compile(r'\[\s*([A-Za-z0-9.-]+)(?:\s+"((?:[^"\\]|\\.)*)")?\s*\]')
_GITLINK = b"\x00\x00\xe0\x00"
_TRANSPORTS = ("https://", "http://", "ssh://", "git://", "/", "./", "../", "git@")


def is_plain(git: Path) -> bool:
    """Whether `git`, a `.git` directory, has no hook, no further configuration and no setting that names a program."""
    if git.is_symlink() or not git.is_dir() or any((git / name).exists() for name in ("commondir", "config.worktree")):
        return False
    hooks = os.listdir(git / "hooks") if (git / "hooks").is_dir() else []
    if any(not name.endswith(".sample") for name in hooks) or (git / "info" / "attributes").exists():
        return False
    if any((git / name).exists() for name in ("modules", "worktrees")) or _has_links(git):
        return False
    try:
        text = (git / "config").read_text(encoding="utf-8")
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    return all(_HARMLESS.fullmatch(name) and _is_plain_value(name, value) for name, value in _settings(text))


def _has_links(git: Path) -> bool:
    """git follows them when it writes, and objects are found by content."""
    for folder, folders, files in os.walk(git):
        if any(os.path.islink(os.path.join(folder, name)) for name in (*folders, *files)):
            return True
        folders[:] = [name for name in folders if name != "objects"]
    return False


def _settings(text: str) -> Iterator[tuple[str, str]]:
    """Names and values; a line that this does not understand has a name that is never harmless."""
    section = ""
    for line in map(str.strip, text.splitlines()):
        if not line or line[0] in "#;":
            continue
        header = _HEADER.fullmatch(line)
        if header:
            name, sub = header.groups()
            section = name.lower() if sub is None else f"{name.lower()}.{sub}"
            continue
        key, _, value = line.partition("=")
        known = section and re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*\s*", key) and not line.endswith("\\")
        yield (f"{section}.{key.strip().lower()}" if known else "?"), value.strip()


def _is_plain_value(name: str, value: str) -> bool:
    # `ext::` and other helpers are programs.
    return not name.endswith(".url") or value.startswith(_TRANSPORTS)


def planted_repositories(root: Path, git: Path, since: float) -> Iterator[Path]:
    """`.git` of sub-directories that `git status` above would enter and that run code there, made after `since`.

    An entry of a submodule in the index makes git look into it, whether or not it is one.
    """
    index = git / "index"
    try:
        if index.stat().st_ctime < since or _GITLINK not in index.read_bytes():
            return
    except OSError:
        return
    for path in _submodules(root):
        inner = root / path / ".git"
        if not os.path.lexists(inner) or is_plain(_pointed_to(inner)):
            continue
        if max(_changed(inner), _changed(_pointed_to(inner)), _changed(_pointed_to(inner) / "config")) >= since:
            yield inner


def _submodules(root: Path) -> list[str]:
    listed = subprocess.run(
        git_argv(root, "ls-files", "--stage", "-z"),
        env=git_environment(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
    )
    entries = os.fsdecode(listed.stdout).split("\0")
    return [entry.partition("\t")[2] for entry in entries if entry.startswith("160000 ")]


def _pointed_to(git: Path) -> Path:
    try:
        text = git.read_text("utf-8", "surrogateescape") if stat.S_ISREG(git.lstat().st_mode) else ""
    except OSError:
        return git
    target = text.removeprefix("gitdir:").strip()
    return Path(os.path.realpath(git.parent / target)) if text.startswith("gitdir:") else git


def _changed(path: Path) -> float:
    try:
        return path.lstat().st_ctime
    except OSError:
        return 0.0
