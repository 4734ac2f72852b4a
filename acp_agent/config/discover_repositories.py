"""Finding git repositories below a folder and writing them down as a projects.toml, which is never overwritten."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import tomlkit

from acp_agent.config.guess import READ, guess
from acp_agent.config.index import read_index
from acp_agent.config.names import MAX_NAME, name_problem
from acp_agent.config.paths import shown_path
from acp_agent.config.projects_tables import VERSION
from acp_agent.domain.errors import NothingSelected, Refused, UsageError

MAX_DEPTH = 4
MAX_REPOSITORIES = 500
MAX_FOLDERS = 50_000
MAX_FILES = 2_000
MAX_TEXT = 256 * 1024
SKIPPED = frozenset(
    {
        "__pycache__",
        "bower_components",
        "build",
        "dist",
        "env",
        "node_modules",
        "site-packages",
        "target",
        "vendor",
        "venv",
        "virtualenv",
    }
)
SURROGATE = re.compile("[\ud800-\udfff]")
OTHER = re.compile(r"[^A-Za-z0-9._-]+")


class Repository(NamedTuple):
    """A repository that was found: its name is unique, `gate` a command that tests it, if its files say one."""

    name: str
    path: Path
    tags: tuple[str, ...]
    gate: str | None


class Discovery(NamedTuple):
    """What was found; `capped` says that there may be more."""

    repositories: tuple[Repository, ...]
    capped: bool


def discover(folder: Path) -> Discovery:
    """The main repositories in `folder` and up to four levels below, by path.

    Hidden folders, dependencies and build results are not entered, symbolic links not followed; submodules and other
    worktrees of a repository are not repositories of their own. Raises UsageError if `folder` is none.
    """
    if not folder.is_dir():
        hint = "acp init takes the folder your repositories lie in"
        raise UsageError(f"{shown_path(folder)}: no such folder", hint=hint)
    folder = Path(os.path.realpath(folder))
    search = _Search()
    paths = sorted(search.below(folder, 0))
    names: set[str] = set()
    found: list[Repository] = []
    for path in paths:
        guessed = guess(*_look(path))
        found.append(Repository(_unique(path, names), path, guessed.tags, guessed.gate))
    return Discovery(tuple(found), search.capped)


def write_projects(file: Path, repositories: Sequence[Repository]) -> None:
    """Write a new projects.toml with `repositories`, paths relative to it.

    Raises NothingSelected without repositories, and Refused when the file exists, naming those it lacks.
    """
    if os.path.lexists(file):
        raise _exists(file, _lacking(file, repositories))
    if not repositories:
        hint = f"acp init DIR looks {MAX_DEPTH} levels deep; git init makes a repository"
        raise NothingSelected(f"no git repositories in {shown_path(file.parent)}", hint=hint)
    text = projects_text(file.parent, repositories)
    try:
        # Exclusive: a file that appeared meanwhile is not overwritten either.
        with file.open("x", encoding="utf-8") as target:
            target.write(text)
    except FileExistsError:
        raise _exists(file, "") from None
    except OSError as error:
        what = f"{shown_path(file)}: cannot be written: {error.strerror}"
        raise UsageError(what, hint="choose another folder") from None


def projects_text(folder: Path, repositories: Sequence[Repository]) -> str:
    """A projects.toml for a file in `folder`: one gate per guessed command, one table per repository."""
    document = tomlkit.document()
    document.add(tomlkit.comment("What acp works on; acp projects ls lists it. Paths are relative to this file."))
    document.add("version", tomlkit.item(VERSION))
    gates = _gate_names(repositories)
    if gates:
        table = tomlkit.table()
        for command, name in gates.items():
            inline = tomlkit.inline_table()
            inline.update({"run": command, "timeout": "10m"})
            table.add(name, inline)
        document.add(tomlkit.nl())
        document.add("gates", table)
    projects = tomlkit.table(is_super_table=True)
    for repository in repositories:
        entry = tomlkit.table()
        entry.add("path", os.path.relpath(repository.path, os.path.realpath(folder)))
        entry.add("tags", list(repository.tags))
        if repository.gate:
            entry.add("gates", [gates[repository.gate]])
        entry.add(tomlkit.nl())
        projects.add(repository.name, entry)
    document.add(tomlkit.nl())
    document.add("projects", projects)
    return tomlkit.dumps(document).rstrip() + "\n"


class _Search:
    """One walk with its caps."""

    def __init__(self) -> None:
        self.capped = False
        self._folders = 0
        self._found = 0

    def below(self, folder: Path, depth: int) -> Iterator[Path]:
        self._folders += 1
        if self._folders > MAX_FOLDERS or self._found >= MAX_REPOSITORIES:
            self.capped = True
            return
        if os.path.lexists(folder / ".git"):
            # What lies inside a repository belongs to it: submodules, worktrees, vendored copies. Only the folder a
            # person named is looked through all the same: it may hold projects.toml beside the clones that it lists.
            if is_main_repository(folder):
                self._found += 1
                yield folder
            if depth > 0:
                return
        if depth < MAX_DEPTH:
            for inner in _folders_in(folder):
                yield from self.below(inner, depth + 1)


def is_main_repository(folder: Path) -> bool:
    """Whether `folder` is a repository's own checkout: not a linked worktree, not a submodule."""
    git = folder / ".git"
    if git.is_dir():
        return (git / "HEAD").exists()
    try:
        with git.open(encoding="utf-8", errors="replace") as file:
            line = file.readline(4096)
    except OSError:
        return False
    if not line.startswith("gitdir:"):
        return False
    # git init --separate-git-dir leaves such a file too; worktrees and submodules have their folder in another .git.
    target = Path(os.path.normpath(folder / line.removeprefix("gitdir:").strip()))
    own = (target / "HEAD").exists() and not (target / "commondir").exists()
    return own and "/.git/modules/" not in target.as_posix()


def _folders_in(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(
                Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False) and _is_entered(entry.name)
            )
    except OSError:
        # A folder we may not read holds nothing we could work on.
        return []


def _is_entered(name: str) -> bool:
    # A blank name, or one with bytes that are no UTF-8, cannot be written down in a projects.toml.
    writable = bool(name.strip()) and not SURROGATE.search(name)
    return writable and not name.startswith(".") and name not in SKIPPED


def _look(root: Path) -> tuple[list[str], dict[str, str]]:
    files: list[str] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if _is_own(os.path.join(folder, name)))
        base = os.path.relpath(folder, root)
        files += (name if base == "." else f"{base}/{name}" for name in sorted(names))
        if len(files) >= MAX_FILES:
            break
    return files[:MAX_FILES], {name: text for name in READ if (text := _head(root / name))}


def _is_own(folder: str) -> bool:
    """Whether a folder inside a repository belongs to its own code: no dependency, and no submodule or other clone."""
    name = os.path.basename(folder)
    return not name.startswith(".") and name not in SKIPPED and not os.path.lexists(os.path.join(folder, ".git"))


def _head(path: Path) -> str:
    try:
        if path.is_symlink() or not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(MAX_TEXT).decode("utf-8", "replace")
    except OSError:
        return ""


def _unique(path: Path, names: set[str]) -> str:
    """A name for `path`: its folder's, with the parent's before it when that is taken, else a number."""
    own, parent = _slug(path.name), _slug(path.parent.name)
    numbered = (f"{own}-{number}" for number in range(2, MAX_REPOSITORIES + 3))
    name = next(name for name in (own, f"{parent}-{own}"[:MAX_NAME], *numbered) if name.lower() not in names)
    names.add(name.lower())
    return name


def _slug(text: str) -> str:
    slug = re.sub(r"\.{2,}", ".", OTHER.sub("-", text)).strip("._-").removesuffix(".lock")[: MAX_NAME - 10].rstrip(".")
    return slug if name_problem(slug) is None else "project"


def _gate_names(repositories: Sequence[Repository]) -> dict[str, str]:
    commands = dict.fromkeys(repository.gate for repository in repositories if repository.gate)
    return {command: f"test-{command.split()[0]}" if len(commands) > 1 else "test" for command in commands}


def _lacking(file: Path, repositories: Sequence[Repository]) -> str:
    try:
        known = {entry.path for entry in read_index(file)}
    except UsageError as error:
        return f"; it cannot be read either: {error.what}"
    new = [repository.name for repository in repositories if repository.path not in known]
    if not new:
        return "; it has every repository found"
    return f"; it lacks {', '.join(new[:5])}" + (f" (+{len(new) - 5} more)" if len(new) > 5 else "")


def _exists(file: Path, more: str) -> Refused:
    shown = shown_path(file)
    hint = f"edit {shown}, or move it away and run acp init again"
    return Refused(f"{shown}: exists and is not overwritten{more}", hint=hint)
