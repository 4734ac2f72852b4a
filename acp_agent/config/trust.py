"""Which commands of which files a person has agreed to run: trust.json in the state directory.

It maps the absolute path of a file to the SHA-256 of every command that was in it. A command that is new or changed is
not trusted; one that moved to another key of the same file is.
"""

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from acp_agent.config.commands import Command
from acp_agent.config.names import printable
from acp_agent.config.paths import shown_path
from acp_agent.config.trusted_files import commands_of, files_of
from acp_agent.domain.errors import Refused, UsageError

TRUST_FILE = "trust.json"
LOCK_FILE = "trust.lock"
VERSION = 1
SHOWN = 3

Trusts = dict[str, dict[str, str]]
"""Absolute path -> key of the command -> SHA-256 of its text."""


class TrustedFile(NamedTuple):
    """A file and the keys of its commands that a person agreed to."""

    path: Path
    keys: tuple[str, ...]


def trust(path: Path, state_dir: Path) -> list[TrustedFile]:
    """Trust every command that `path` names now: a file, or of a folder its projects.toml, loops/ and .mcp.json.

    Raises UsageError when there is no such file or one of them cannot be read; then nothing is stored.
    """
    return trust_commands({file: commands_of(file) for file in files_of(path)}, state_dir)


def trust_commands(files: Mapping[Path, Sequence[Command]], state_dir: Path) -> list[TrustedFile]:
    """Trust exactly these commands, the ones a person has just been shown; they replace what was trusted before."""
    added = {_identity(path): {command.key: _digest(command) for command in found} for path, found in files.items()}
    with _held(state_dir):
        _write(state_dir, {**_read(state_dir), **added})
    return [TrustedFile(Path(name), tuple(keys)) for name, keys in added.items()]


def untrust(path: Path, state_dir: Path) -> list[Path]:
    """Forget a file, or every file below a folder, whether or not it still exists; the paths forgotten."""
    identity = _identity(path)
    below = os.path.join(identity, "")
    with _held(state_dir):
        stored = _read(state_dir)
        gone = [name for name in stored if name == identity or name.startswith(below)]
        if gone:
            _write(state_dir, {name: keys for name, keys in stored.items() if name not in gone})
    return [Path(name) for name in gone]


def trusted(state_dir: Path) -> list[TrustedFile]:
    """Every file on record, by path."""
    return [TrustedFile(Path(name), tuple(keys)) for name, keys in sorted(_read(state_dir).items())]


def untrusted(file: Path, commands: Sequence[Command], state_dir: Path) -> list[tuple[Command, str]]:
    """The commands of `file` nobody agreed to, each with `new` or `changed`."""
    if not commands:
        return []
    agreed = _read(state_dir).get(_identity(file), {})
    digests = set(agreed.values())
    return [
        (command, "changed" if command.key in agreed else "new")
        for command in commands
        if _digest(command) not in digests
    ]


def require_trust(file: Path, commands: Sequence[Command], state_dir: Path) -> None:
    """Return if every one of `commands`, as read from `file`, is trusted; a file without commands needs none.

    Raises Refused (exit 6) that lists the first of them. Run only what was passed here: the file may change meanwhile.
    """
    found = untrusted(file, commands, state_dir)
    if not found:
        return
    listed = [f"{command.key} {printable(command.run)} ({why})" for command, why in found[:SHOWN]]
    more = f" (+{len(found) - SHOWN} more)" if len(found) > SHOWN else ""
    count = "1 command is" if len(found) == 1 else f"{len(found)} commands are"
    shown = shown_path(file)
    raise Refused(
        f"{shown}: {count} not trusted: {', '.join(listed)}{more}", hint=f"read them, then: acp trust {_quoted(shown)}"
    )


def _quoted(path: str) -> str:
    # shlex would do, but not with control characters.
    return path if all(char.isalnum() or char in "-_./~+@%:," for char in path) else printable(path, 4096)


def _identity(path: Path) -> str:
    return os.path.realpath(path)


def _digest(command: Command) -> str:
    # A TOML string cannot hold a lone surrogate, but JSON can.
    return hashlib.sha256(command.run.encode("utf-8", "surrogatepass")).hexdigest()


@contextmanager
def _held(state_dir: Path) -> Generator[None]:
    """The writers' lock: a file of its own, since the trust file is replaced. The kernel frees it when we die."""
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(state_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        hint = "ACP_HOME names another state directory"
        raise UsageError(f"{shown_path(state_dir)}: cannot be written: {error.strerror}", hint=hint) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _read(state_dir: Path) -> Trusts:
    path = state_dir / TRUST_FILE
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or data.get("v") != VERSION or not _well_formed(data.get("files")):
        hint = f"remove {shown_path(path)} and trust your files again"
        raise UsageError(f"{shown_path(path)}: is not a list of trusted files", hint=hint)
    files: Trusts = data["files"]
    return files


def _well_formed(files: object) -> bool:
    return isinstance(files, dict) and all(
        isinstance(keys, dict) and all(isinstance(digest, str) for digest in keys.values()) for keys in files.values()
    )


def _write(state_dir: Path, files: Trusts) -> None:
    text = json.dumps({"v": VERSION, "files": files}, indent=1, sort_keys=True)
    # mkstemp makes the file 0600; the replacement is whole or not there, also after a power cut.
    handle, name = tempfile.mkstemp(prefix=f".{TRUST_FILE}.", dir=state_dir)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, state_dir / TRUST_FILE)
    except BaseException:
        os.unlink(name)
        raise
