"""What no command may leave behind, and what is done where one did.

Some files are acted upon as soon as somebody opens the directory: git's configuration and hooks, settings of editors,
the files that govern the agent. Where they exist, bubblewrap binds them read-only; where they do not exist yet nothing
can be bound. So the workspace is looked at after each command: what appeared is moved aside, what changed is put back.
"""

import contextlib
import itertools
import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from acp_agent.domain.governing import OPENED_BY_OTHERS
from acp_agent.tools.governed import governing_paths, matching
from acp_agent.tools.sandbox.git_places import GitPlaces
from acp_agent.tools.sandbox.model import Level, Sandbox
from acp_agent.tools.sandbox.plain_repository import is_plain, planted_repositories

MOST_BOUND = 500
"""Files that bubblewrap holds; what is beyond that, of many that globs protect, is looked at after the command."""
_MOST_BYTES = 1 << 20
_MOST_FILES = 2000
_MOST_LINKS_LOOKED_AT = 20_000
# File systems stamp with a clock that may lag by a tick.
_CLOCK_STEP = 0.02
_TURN = itertools.count()


def protected_paths(root: Path, places: GitPlaces, sandbox: Sandbox) -> list[Path]:
    """What a command in `root` may neither change nor make, whether it exists or not."""
    opened = map(root.joinpath, OPENED_BY_OTHERS)
    return [*governing_paths(root), *opened, *places.kept, *sandbox.protected, *matching(root, sandbox.protect)]


def held_paths(root: Path, places: GitPlaces, sandbox: Sandbox) -> tuple[Path, ...]:
    """What bubblewrap holds for a command in `root`."""
    return _held(protected_paths(root, places, sandbox), places) if sandbox.held is None else sandbox.held


def _held(protected: Iterable[Path], places: GitPlaces) -> tuple[Path, ...]:
    """What bubblewrap can hold of `protected`: it exists, and is no link, which could be replaced."""
    held = itertools.islice(filter(_can_be_bound, dict.fromkeys(protected)), MOST_BOUND)
    return (*held, *filter(_can_be_bound, places.foreign))


def _can_be_bound(path: Path) -> bool:
    try:
        return not stat.S_ISLNK(os.lstat(path).st_mode)
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a path was: `content` is bytes of a file, the target of a link, None of a directory or what is too large."""

    mode: int
    content: bytes | str | None
    identity: tuple[int, ...]


class Protection:
    """The protected paths as they were before a command; `mend` puts back what is different after it, once.

    `held` are those that bubblewrap holds, and none at other levels.
    """

    def __init__(self, root: Path, places: GitPlaces, level: Level, aside: Path | None, sandbox: Sandbox) -> None:
        self._root = root
        self._aside = aside
        self._linkless = places.linkless
        self._links = set(_links(places.linkless))
        self._look = partial(protected_paths, root, places, sandbox)
        paths = self._look()
        self.held = _held(paths, places) if level == "bwrap" else ()
        self._bound = frozenset(self.held)
        self._paths = [path for path in paths if path not in self._bound]
        self._before = dict(_entries(self._paths))
        # What is bound cannot be moved, but the folders it lies in can, with it.
        self._folders = dict(_opened(root, self.held))
        self._git = None if level == "bwrap" else _identity(root / ".git")
        self._began = time.time() - _CLOCK_STEP

    def mend(self) -> tuple[str, ...]:
        """Undo what was tampered with; a line about each thing, empty for a command that kept away from them."""
        told = list(self._folders_moved_back())
        if self._git and _identity(self._root / ".git") != self._git:
            told.append("replaced .git as a whole: not undone, look at it before you use git here")
        looked = [path for path in dict.fromkeys((*self._paths, *self._look())) if path not in self._bound]
        after = dict(_entries(looked))
        for path in sorted(after.keys() - self._before.keys()):
            # Of a directory that appeared, what is in it has gone with it.
            if os.path.lexists(path) and not self._may_be_made(path):
                told.append(f"made {self._named(path)}: {self._moved_aside(path)}")
        for path, entry in self._before.items():
            if _differs(entry, after.get(path)):
                told.append(f"changed {self._named(path)}: {self._put_back(path, entry)}")
        for link in sorted(set(_links(self._linkless)) - self._links):
            told.append(f"made the link {self._named(link)}: {self._moved_aside(link)}")
        for folder in self._linkless[:1]:
            for inner in planted_repositories(self._root, folder, self._began):
                told.append(f"made {self._named(inner)}, which runs programs: {self._moved_aside(inner)}")
        return tuple(told)

    def _folders_moved_back(self) -> Iterator[str]:
        """Folders of what was bound that lie elsewhere now, the outer ones first."""
        for folder, descriptor in self._folders.items():
            try:
                found = os.fstat(descriptor)
                if _identity(folder) == (found.st_dev, found.st_ino):
                    continue
                place = os.readlink(f"/proc/self/fd/{descriptor}")
                if os.path.lexists(folder):
                    self._moved_aside(folder)
                folder.parent.mkdir(parents=True, exist_ok=True)
                os.rename(place, folder)
                yield f"moved {self._named(folder)}, where protected files are: moved back"
            except OSError as error:
                yield f"moved {self._named(folder)}, where protected files are ({error.strerror}): look at it"
            finally:
                os.close(descriptor)

    def _may_be_made(self, path: Path) -> bool:
        """`git init` and all that it writes, as long as nothing of it runs."""
        git = self._root / ".git"
        return path.is_relative_to(git) and git not in self._before and git in self._paths and is_plain(git)

    def _named(self, path: Path) -> str:
        return str(path.relative_to(self._root)) if path.is_relative_to(self._root) else str(path)

    def _moved_aside(self, path: Path) -> str:
        try:
            if self._aside is None:
                _delete(path)
                return "removed"
            place = self._aside / f"{time.time_ns()}-{os.getpid()}-{next(_TURN)}"
            place.mkdir(parents=True, mode=0o700)
            shutil.move(path, place / path.name)
        except OSError as error:
            return f"could not be taken away ({error.strerror}): look at it"
        return f"moved to {place}"

    def _put_back(self, path: Path, entry: _Entry) -> str:
        try:
            if entry.content is None:
                if stat.S_ISDIR(entry.mode):
                    if os.path.lexists(path):
                        self._moved_aside(path)
                    path.mkdir(parents=True)
                    return "made again"
                return "not put back: look at it"
            if os.path.lexists(path):
                self._moved_aside(path)
            if os.path.lexists(path.parent) and not path.parent.is_dir():
                self._moved_aside(path.parent)
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(entry.content, str):
                path.symlink_to(entry.content)
            else:
                _write(path, entry.content, stat.S_IMODE(entry.mode))
        except OSError as error:
            return f"could not be put back ({error.strerror}): look at it"
        return "put back"


def _entries(paths: Iterable[Path]) -> Iterator[tuple[Path, _Entry]]:
    """What is there of `paths`, directories with all that is in them (up to a bound)."""
    left = list(paths)
    count = 0
    while left and count < _MOST_FILES:
        path = left.pop()
        try:
            found = path.lstat()
            content = _content(path, found)
            if stat.S_ISDIR(found.st_mode) and path.name != "objects":
                left += (path / name for name in os.listdir(path))
        except OSError:
            # It is not there, or went away while we looked.
            continue
        count += 1
        yield path, _Entry(found.st_mode, content, _marks(found))


def _content(path: Path, found: os.stat_result) -> bytes | str | None:
    if stat.S_ISLNK(found.st_mode):
        return os.readlink(path)
    return path.read_bytes() if stat.S_ISREG(found.st_mode) and found.st_size <= _MOST_BYTES else None


def _marks(found: os.stat_result) -> tuple[int, ...]:
    """What tells two states of something apart that is not read; entries of a directory are looked at one by one."""
    if stat.S_ISDIR(found.st_mode):
        return ()
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def _differs(before: _Entry, after: _Entry | None) -> bool:
    if after is None or stat.S_IFMT(before.mode) != stat.S_IFMT(after.mode):
        return True
    if before.content is None:
        return before.identity != after.identity
    return before.content != after.content or (before.mode != after.mode and isinstance(before.content, bytes))


def _identity(path: Path) -> tuple[int, int] | tuple[()]:
    try:
        found = path.lstat()
    except OSError:
        return ()
    return (found.st_dev, found.st_ino)


def _opened(root: Path, paths: Iterable[Path]) -> Iterator[tuple[Path, int]]:
    """The folders between `root` and `paths`, open so that they can be found again; the outer ones first."""
    inside = (str(path).removeprefix(f"{root}/") for path in paths)
    folders: set[str] = set()
    for path in inside:
        if not path.startswith(("/", ".git/")):
            parts = path.split("/")
            folders.update("/".join(parts[:length]) for length in range(1, len(parts)))
    for folder in sorted(folders, key=lambda folder: folder.count("/")):
        # One that went away just now is not there to be moved.
        with contextlib.suppress(OSError):
            yield root / folder, os.open(root / folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _links(folders: Iterable[Path]) -> Iterator[Path]:
    """Links in `folders` and below them, but for objects, which git finds by content."""
    left = [*folders]
    count = 0
    while left and count < _MOST_LINKS_LOOKED_AT:
        try:
            with os.scandir(left.pop()) as entries:
                for entry in entries:
                    count += 1
                    if entry.is_symlink():
                        yield Path(entry.path)
                    elif entry.is_dir(follow_symlinks=False) and entry.name not in ("objects", "modules", "worktrees"):
                        left.append(Path(entry.path))
        except OSError:
            continue


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _write(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)
