"""The directory a run works in: resolves the paths a model gives, keeps them inside, reads and writes files."""

import contextlib
import difflib
import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from acp_agent.domain.errors import ToolError
from acp_agent.tools.editor import EditorFiles, as_held, writable

MAX_FILE_BYTES = 16 * 1024 * 1024
# Characters some file systems ignore in names, so that `.g\u200cit` is `.git` there (as git's own check has it).
_IGNORED = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK a FIFO would be waited for until somebody writes to it.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_ERRORS: dict[int, tuple[str, str, bool]] = {
    errno.ENOENT: ("not_found", "does not exist", False),
    errno.EISDIR: ("is_directory", "is a directory", False),
    errno.ENOTDIR: ("not_found", "leads through something that is not a directory", False),
    errno.EACCES: ("permission", "may not be accessed", False),
    errno.EPERM: ("permission", "may not be accessed", False),
    errno.ENOSPC: ("no_space", "does not fit: the disk is full", True),
    errno.EDQUOT: ("no_space", "does not fit: the disk quota is used up", True),
    errno.EROFS: ("permission", "is on a read-only file system", False),
    errno.ENAMETOOLONG: ("invalid_path", "is too long a name", False),
    errno.ELOOP: ("outside", "leads through a symbolic link that was just changed or goes in circles", False),
    errno.EMFILE: ("busy", "could not be opened: too many files are open", True),
    errno.ENFILE: ("busy", "could not be opened: too many files are open", True),
    errno.ETIMEDOUT: ("timeout", "did not answer in time", True),
}


def tool_error(error: OSError, path: str) -> ToolError:
    """What the model reads of an operating system's error about `path`."""
    known = _ERRORS.get(error.errno or 0)
    if known is None:
        return ToolError(f"{path}: {error.strerror or error}.", kind="io", retryable=True)
    kind, what, retryable = known
    return ToolError(f"{printable(path)} {what}.", kind=kind, retryable=retryable)


def printable(name: str) -> str:
    """`name` with bytes that are no UTF-8 written as escapes, so that it can be recorded."""
    return name.encode("utf-8", "backslashreplace").decode()


def digest(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def is_git_name(name: str) -> bool:
    """Whether some file system takes `name` for `.git`."""
    plain = name.translate(_IGNORED).casefold().rstrip(" .")
    return plain in (".git", "git~1")


@dataclass(frozen=True, slots=True)
class Workspace:
    """A root that file tools cannot leave. Relative paths have `/` and are the keys of hashes; "." is the root itself.

    `also` are further roots; what lies in them is named by absolute paths, which are the keys there.

    Every open walks from the root without following links, so a link swapped in after the check leads nowhere. With an
    `editor` files are read and written as it holds them, saved or not; call these methods in worker threads then.
    """

    root: Path
    editor: EditorFiles | None = None
    also: tuple[Path, ...] = ()

    @classmethod
    def at(cls, root: Path, editor: EditorFiles | None = None, also: Iterable[str] = ()) -> "Workspace":
        """The workspace at an existing directory, and those of `also` that lie elsewhere. Raises NotADirectoryError."""
        real = Path(os.path.realpath(root))
        if not real.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "not a directory", str(root))
        others = (Path(os.path.realpath(other)) for other in also)
        return cls(real, editor, tuple(other for other in others if not other.is_relative_to(real)))

    def place(self, relative: str) -> tuple["Workspace", str]:
        """The workspace of the root that a path of `relative` lies in, and the path relative to that root."""
        if not relative.startswith("/"):
            return self, relative
        path = Path(relative)
        root = next((other for other in self.also if path.is_relative_to(other)), None)
        if root is None:
            raise ToolError(f"{relative} is outside the workspace.", kind="outside")
        return Workspace(root, self.editor), path.relative_to(root).as_posix()

    def relative(self, given: str) -> str:
        """The path a model gave, resolved, relative to the root. Raises ToolError(kind="outside" | "protected"...)."""
        _check_name(given)
        expanded = os.path.expanduser(given) if given == "~" or given.startswith("~/") else given
        # Lexically first: `.git` is refused even where it is a link to somewhere harmless.
        self._refuse_git(given, Path(expanded).parts[1:] if os.path.isabs(expanded) else Path(expanded).parts)
        try:
            resolved = Path(os.path.realpath(self.root / expanded))
        except (OSError, ValueError) as error:
            raise ToolError(f"{given!r} cannot be resolved: {error}.", kind="invalid_path") from None
        root = next((root for root in (self.root, *self.also) if resolved.is_relative_to(root)), None)
        if root is None:
            raise self._outside(given)
        inside = resolved.relative_to(root)
        self._refuse_git(given, inside.parts)
        if (found := (inside if root is self.root else resolved).as_posix()) != printable(found):
            raise ToolError(f"{printable(found)} is not a UTF-8 name.", kind="invalid_path")
        return found

    def absolute(self, relative: str) -> Path:
        """Where a path of `relative` lies on disk."""
        return self.root / relative

    def is_directory(self, relative: str) -> bool:
        """Whether it exists and is a directory; links in its parents have been resolved already."""
        return self.absolute(relative).is_dir()

    def directory(self, given: str) -> str:
        """The relative path of a directory the model named. Raises ToolError."""
        relative = self.relative(given)
        if not self.absolute(relative).exists():
            raise self._not_found(relative)
        if not self.is_directory(relative):
            raise ToolError(f"{relative} is a file, not a directory.", kind="not_a_directory")
        return relative

    def read(self, relative: str) -> bytes:
        """All bytes of a regular file, of an editor those that it holds. Raises ToolError as `read_saved` does."""
        if self.editor is None:
            return self.read_saved(relative)
        try:
            saved = self.read_saved(relative)
        except ToolError as error:
            held = self.editor.read(self.absolute(relative)) if error.kind == "not_found" else None
            if held is None or (data := as_held(None, held)) is None:
                raise
            return data
        held = self.editor.read(self.absolute(relative))
        data = saved if held is None else as_held(saved, held)
        return saved if data is None or len(data) > MAX_FILE_BYTES else data

    def read_saved(self, relative: str) -> bytes:
        """All bytes of a regular file on disk.

        Raises ToolError(kind="not_found" | "is_directory" | "too_large"...).
        """
        try:
            with self.parent(relative) as (parent, name):
                return _read_regular(parent, name, relative)
        except FileNotFoundError:
            raise self._not_found(relative) from None
        except OSError as error:
            raise tool_error(error, relative) from None

    def read_if_exists(self, relative: str) -> bytes | None:
        """As `read`, None where there is no such file."""
        try:
            return self.read(relative)
        except ToolError as error:
            if error.kind == "not_found":
                return None
            raise

    def digest(self, relative: str) -> str | None:
        """SHA-256 of the file, None where it does not exist."""
        data = self.read_if_exists(relative)
        return None if data is None else digest(data)

    def mode(self, relative: str) -> int | None:
        """The permission bits of a file, None where there is none."""
        try:
            with self.parent(relative) as (parent, name):
                return stat.S_IMODE(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
        except OSError:
            return None

    def write(self, relative: str, data: bytes, *, mode: int | None = None) -> None:
        """Replace a file by `data` at once and durably: a crash leaves the old or the new one.

        Makes parent directories; keeps mode and owner of an existing file, a new one gets `mode`. An editor writes text
        itself, which is as durable as it makes it. Raises ToolError.
        """
        try:
            with self.parent(relative, create=True) as (parent, name):
                if mode is None and self._written_by_editor(relative, parent, name, data):
                    return
                _replace(parent, name, temporary_name(relative), data, mode)
        except OSError as error:
            raise tool_error(error, relative) from None

    def _written_by_editor(self, relative: str, parent: int, name: str, data: bytes) -> bool:
        if self.editor is None or (text := writable(data)) is None:
            return False
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                return False
        return self.editor.write(self.absolute(relative), text)

    def delete(self, relative: str) -> None:
        """Remove a file durably; one that is gone already is fine. Raises ToolError."""
        try:
            with self.parent(relative) as (parent, name), contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=parent)
                os.fsync(parent)
        except OSError as error:
            raise tool_error(error, relative) from None

    def clear_unfinished(self, relative: str) -> None:
        """Remove what a killed `write` of this path may have left beside it."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), self.parent(relative) as (parent, _):
            os.unlink(temporary_name(relative), dir_fd=parent)

    @contextlib.contextmanager
    def parent(self, relative: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """A descriptor of the directory that holds `relative`, reached without following a link, and the last name."""
        here, inside = self.place(relative)
        if inside == ".":
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), relative)
        *folders, name = inside.split("/")
        current = os.open(here.root, _DIRECTORY)
        try:
            for folder in folders:
                if create:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(folder, dir_fd=current)
                following = os.open(folder, _DIRECTORY, dir_fd=current)
                os.close(current)
                current = following
            yield current, name
        finally:
            os.close(current)

    def _refuse_git(self, given: str, parts: tuple[str, ...]) -> None:
        if any(is_git_name(part) for part in parts):
            raise ToolError(
                f"{given} belongs to git and cannot be read or written by file tools.",
                kind="protected",
                hint="What you change is committed for you.",
            )

    def _outside(self, given: str) -> ToolError:
        hint = "Paths are relative to the workspace."
        inner = given.lstrip("/")
        if given.startswith("/") and inner and (self.root / inner).exists():
            hint += f" Did you mean {inner}?"
        return ToolError(f"{given} is outside the workspace.", kind="outside", hint=hint)

    def _not_found(self, relative: str) -> ToolError:
        similar = self._similar(relative)
        hint = f"Did you mean {' or '.join(similar)}?" if similar else "list_files shows what is there."
        return ToolError(f"{relative} does not exist.", kind="not_found", hint=hint)

    def _similar(self, relative: str) -> list[str]:
        folder, _, name = relative.rpartition("/")
        # A model often puts the workspace's own name in front.
        first, _, rest = relative.partition("/")
        if first == self.root.name and rest and (self.root / rest).exists():
            return [rest]
        try:
            names = {other.casefold(): other for other in os.listdir(self.root / folder) if not is_git_name(other)}
        except OSError:
            return []
        near = difflib.get_close_matches(name.casefold(), names, n=2, cutoff=0.7)
        return [printable(f"{folder}/{names[key]}" if folder else names[key]) for key in near]


def _check_name(given: str) -> None:
    if not given or "\0" in given:
        raise ToolError("The path is empty or holds a NUL character.", kind="invalid_path")
    if len(given) > 4096:
        raise ToolError(f"The path has {len(given):,} characters, at most 4,096.", kind="invalid_path")
    try:
        given.encode()
    except UnicodeEncodeError:
        raise ToolError(f"{printable(given)} is not valid Unicode.", kind="invalid_path") from None


def _read_regular(parent: int, name: str, relative: str) -> bytes:
    descriptor = os.open(name, _READ, dir_fd=parent)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), relative)
        if not stat.S_ISREG(status.st_mode):
            raise ToolError(f"{relative} is not a regular file.", kind="not_a_file")
        # The descriptor stays ours: `open` would leave it open where it refuses it.
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(MAX_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > MAX_FILE_BYTES:
        raise ToolError(
            f"{relative} has {status.st_size:,} bytes, at most {MAX_FILE_BYTES:,} can be read.",
            kind="too_large",
            hint="Use search to find the lines that matter.",
        )
    return data


def temporary_name(relative: str) -> str:
    # The same name for the same file, so that whoever takes over after a crash finds what it left.
    return f".acp-{digest(relative.encode())[:16]}.tmp"


def _replace(parent: int, name: str, temporary: str, data: bytes, mode: int | None) -> None:
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        status = None
    if status is not None and not stat.S_ISREG(status.st_mode):
        kind = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.ELOOP
        raise OSError(kind, os.strerror(kind), name)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=parent)
    descriptor = os.open(temporary, _CREATE, 0o666, dir_fd=parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if status is not None:
                _keep_owner_and_mode(descriptor, status)
            elif mode is not None:
                os.fchmod(descriptor, mode)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=parent)
        raise
    os.fsync(parent)


def _keep_owner_and_mode(descriptor: int, status: os.stat_result) -> None:
    ours = os.fstat(descriptor)
    if (ours.st_uid, ours.st_gid) != (status.st_uid, status.st_gid):
        # Only root may give a file away; for anybody else the new file is theirs, as with any editor.
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, status.st_uid, status.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
