"""Brings paths of a workspace to recorded states, byte for byte, and touches no other path.

All is checked before the first path is changed. Each path changes at once, so a process that is killed half-way leaves
every path either as it was or as it should be, and the same call again finishes the work.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from acp_agent.domain.changes import FileState, like
from acp_agent.tools.kept import Kept
from acp_agent.tools.snapshots import path_of
from acp_agent.tools.workspace import Workspace, digest, is_git_name, printable, temporary_name

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Target:
    """What a path should be now (`expected`) and what it shall become (`wanted`); None: it does not exist."""

    path: str
    expected: FileState | None
    wanted: FileState | None


@dataclass(frozen=True, slots=True)
class Restore:
    """A restoration that was checked. `problems` say by path why it cannot be; `done` paths are as wanted already.

    `current` are the states of those that are neither, permission bits included. `made` are all paths the run ever
    made: folders that held nothing else go with them.
    """

    workspace: Workspace
    kept: Kept
    targets: Sequence[Target]
    problems: Mapping[str, str]
    done: Collection[str]
    current: Mapping[str, FileState | None]
    made: Collection[str] = ()

    def apply(self) -> None:
        """Keep what stands there, then change it. Raises OSError; what was changed until then stays, to go on later."""
        due = [target for target in self.targets if target.path not in self.done and target.path not in self.problems]
        for target in due:
            if target.expected is None or target.expected.kind == "unkept":
                continue
            if (data := _content(self.workspace, path_of(target.path))) is not None:
                self.kept.put(data)
        wanted = [path_of(target.path) for target in self.targets if target.wanted is not None]
        for target in sorted(due, key=lambda one: -one.path.count("/")):
            if target.wanted is None:
                _remove(self.workspace, path_of(target.path), wanted)
        for target in due:
            if target.wanted is not None:
                data = self.kept.get(target.wanted.digest)
                assert data is not None
                _put(self.workspace, path_of(target.path), target.wanted, data)
        for path in sorted(map(path_of, self.made), key=lambda one: -one.count("/")):
            _remove_empty(self.workspace, path, wanted)


def checked(workspace: Workspace, kept: Kept, targets: Sequence[Target]) -> Restore:
    """`targets` held against what stands in the workspace; nothing is changed."""
    problems: dict[str, str] = {}
    done: set[str] = set()
    found: dict[str, FileState | None] = {}
    leaving = {path_of(target.path) for target in targets if target.wanted is None}
    for target in targets:
        path = path_of(target.path)
        try:
            current = look(workspace, path, by_time=target.expected is not None and target.expected.kind == "unkept")
        except OSError as error:
            problems[target.path] = error.strerror or str(error)
            continue
        if like(current, target.wanted):
            done.add(target.path)
        elif (problem := _problem(workspace, kept, target, current, leaving)) is not None:
            problems[target.path] = problem
        else:
            found[target.path] = current
    return Restore(workspace, kept, targets, problems, done, found)


def look(workspace: Workspace, path: str, *, by_time: bool = False) -> FileState | None:
    """The state of a path, without following a link in it; a directory counts as nothing. Raises OSError.

    `by_time` tells a file by size and time alone, as snapshots tell those that are too large.
    """
    try:
        with workspace.parent(path) as (parent, name):
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                return FileState(kind="link", digest=digest(os.readlink(os.fsencode(name), dir_fd=parent)))
            if stat.S_ISDIR(status.st_mode):
                return None
            if not stat.S_ISREG(status.st_mode):
                return FileState(kind="unkept", digest="special")
            if by_time:
                return FileState(kind="unkept", digest=f"u{status.st_size}:{status.st_mtime_ns}")
            return FileState(digest=digest(_bytes(parent, name)), mode=stat.S_IMODE(status.st_mode))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise


def _problem(
    workspace: Workspace, kept: Kept, target: Target, current: FileState | None, leaving: Collection[str]
) -> str | None:
    path = path_of(target.path)
    if not like(current, target.expected):
        return "it was changed since"
    if target.wanted is None:
        return None
    if target.wanted.kind == "unkept":
        return "what it held was too large, or could not be read, and was not kept"
    if kept.get(target.wanted.digest) is None:
        return "what it held is not kept any more"
    if (stranger := _in_the_way(workspace, path, leaving)) is not None:
        return f"{printable(stranger)} is in its way"
    return None


def _in_the_way(workspace: Workspace, path: str, leaving: Collection[str]) -> str | None:
    """What stands where `path` or a directory of it should be, and does not leave."""
    here, inside = workspace.place(path)
    if here is not workspace:
        stranger = _in_the_way(here, inside, {workspace.place(other)[1] for other in leaving if other.startswith("/")})
        return None if stranger is None else f"{here.root}/{stranger}"
    if any(is_git_name(part) or part in ("", ".", "..") for part in path.split("/")):
        return path
    place = Path(workspace.root)
    for part in path.split("/")[:-1]:
        place = place / part
        if os.path.lexists(place) and (place.is_symlink() or not place.is_dir()):
            inside = place.relative_to(workspace.root).as_posix()
            return None if inside in leaving else inside
    if place.joinpath(path.rsplit("/", 1)[-1]).is_dir() and not (workspace.root / path).is_symlink():
        return next((found for found in _files_in(workspace.root, path) if found not in leaving), None)
    return None


def _files_in(root: Path, folder: str) -> Iterator[str]:
    for where, folders, files in os.walk(root / folder):
        links = [name for name in folders if os.path.islink(os.path.join(where, name))]
        for name in (*files, *links):
            yield os.path.relpath(os.path.join(where, name), root)


def _content(workspace: Workspace, path: str) -> bytes | None:
    """The bytes of a file, or the target of a link, that is about to be changed."""
    try:
        with workspace.parent(path) as (parent, name):
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                return os.readlink(os.fsencode(name), dir_fd=parent)
            return _bytes(parent, name) if stat.S_ISREG(status.st_mode) else None
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise


def _bytes(parent: int, name: str) -> bytes:
    descriptor = os.open(name, _READ, dir_fd=parent)
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def _remove(workspace: Workspace, path: str, wanted: Collection[str]) -> None:
    """Delete a file or link, and the folders that held nothing else."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), workspace.parent(path) as (parent, name):
        os.unlink(name, dir_fd=parent)
    _remove_empty(workspace, path, wanted)


def _remove_empty(workspace: Workspace, path: str, wanted: Collection[str]) -> None:
    """Delete the folders above `path` that hold nothing, and will hold nothing wanted."""
    folder, _, _ = path.rpartition("/")
    while folder and not any(other.startswith(f"{folder}/") for other in wanted):
        try:
            with workspace.parent(folder) as (parent, name):
                os.rmdir(name, dir_fd=parent)
        except OSError:
            # Something else is in it, or it is gone: either way it is not ours to remove.
            return
        folder, _, _ = folder.rpartition("/")


def _put(workspace: Workspace, path: str, state: FileState, data: bytes) -> None:
    with workspace.parent(path, create=True) as (parent, name):
        _clear_folder(parent, name)
        temporary = temporary_name(printable(path))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=parent)
        if state.kind == "link":
            os.symlink(data, os.fsencode(temporary), dir_fd=parent)
        else:
            _write(parent, name, temporary, state.mode, data)
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        os.fsync(parent)


def _write(parent: int, name: str, temporary: str, mode: int | None, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o666, dir_fd=parent)
    with os.fdopen(descriptor, "wb") as file:
        status = None
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if status is not None and stat.S_ISREG(status.st_mode):
            # Only root may give a file away; for anybody else it is theirs already.
            with contextlib.suppress(PermissionError):
                os.fchown(descriptor, status.st_uid, status.st_gid)
            mode = stat.S_IMODE(status.st_mode) if mode is None else mode
        if mode is not None:
            os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _clear_folder(parent: int, name: str) -> None:
    """Remove a tree of directories that hold no file any more, where a file shall stand."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except OSError:
        return
    try:
        for inner in os.listdir(descriptor):
            _clear_folder(descriptor, inner)
    finally:
        os.close(descriptor)
    os.rmdir(name, dir_fd=parent)
