"""A backup of a store that is in use, as one file, and the way back from it.

A gzipped tar archive: `manifest.json` first, then `acp.db` (a consistent copy by SQLite's own backup), its anchors, and
the folders of the state directory that the record refers to. Worktrees, sandbox homes and tokens are not in it: git has
the first, commands make the second again, and the third should not travel. Standard library only.
"""

import contextlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from acp_agent.domain.chain import Anchor
from acp_agent.domain.errors import Refused, UsageError
from acp_agent.store import sql
from acp_agent.store.anchors import file_beside
from acp_agent.store.audit import verify_database
from acp_agent.store.connection import SCHEMA_VERSION
from acp_agent.store.reads import Reads
from acp_agent.store.schema import open_for_reading, open_for_writing

FORMAT = 1
MANIFEST = "manifest.json"
FOLDERS = ("undo", "shadow", "loops")
FILES = ("trust.json",)
RAISED_BY = 1_000_000
"""How much later every fence is after a restore: no driver of the time since the backup can have one as late."""


class Manifest(NamedTuple):
    """What an archive says of itself; `made` is Unix seconds, `head` where its audit chain ends."""

    v: int
    made: float
    acp: str
    schema: int
    events: int
    head: Anchor


class Restored(NamedTuple):
    """What came back; `aside` is the folder with what was there before (None: nothing), `open_runs` are not over."""

    manifest: Manifest
    open_runs: int
    aside: Path | None


def back_up(database: Path, out: Path, version: str) -> Manifest:
    """Write everything of the store to `out` (mode 0600, whole or not at all), while it may be in use.

    Raises UsageError where there is no store, or `out` cannot be written or is there already.
    """
    if not database.is_file():
        raise UsageError(f"{database}: there is nothing to back up yet", hint="ACP_HOME names another state directory")
    if out.exists():
        raise UsageError(f"{out} is there already", hint="a backup never replaces a file; name another")
    try:
        with tempfile.TemporaryDirectory(prefix=".acp-backup-", dir=out.parent) as folder:
            copied = Path(folder) / database.name
            manifest = _copied(database, copied, version)
            archive = Path(folder) / "archive"
            with tarfile.open(archive, "w:gz", compresslevel=3) as tar:
                _add_manifest(tar, manifest)
                tar.add(copied, database.name)
                _add_rest(tar, database)
            archive.chmod(0o600)
            with archive.open("rb") as file:
                os.fsync(file.fileno())
            os.link(archive, out)
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror}", hint="no half backup was left") from error
    return manifest


def manifest_of(archive: Path) -> Manifest:
    """What an archive says of itself. Raises UsageError for a file that is no backup, or of a newer version."""
    with _opened(archive) as tar:
        return _manifest(archive, tar)


def restore(archive: Path, database: Path) -> Restored:
    """Put a backup in the place of the store; what was there is moved into a folder beside it, never deleted.

    The copy is checked, its audit chain too, before anything is touched; every fence is raised and every lease ended.
    Killed on its way it can be called again. Raises UsageError for a bad archive, Refused where a process has the store
    open.
    """
    state = database.parent
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".acp-restore-", dir=state) as folder, _opened(archive) as tar:
        new = Path(folder)
        manifest = _manifest(archive, tar)
        try:
            tar.extractall(new, filter="data")
        except TypeError:
            raise UsageError("restore needs Python 3.11.4 or newer: older ones unpack unsafely") from None
        except (OSError, tarfile.TarError, EOFError) as error:
            raise UsageError(f"{archive}: cannot be unpacked: {error}", hint="nothing was changed") from error
        open_runs = _checked(archive, new / database.name, manifest)
        _require_unused(database)
        aside = _moved_aside(state, database)
        for name in (*FOLDERS, *FILES, file_beside(database).name, database.name):
            # The database last: a store without one is an empty store, and everything else is of no use to that.
            if (new / name).exists():
                os.rename(new / name, state / name)
    return Restored(manifest, open_runs, aside)


def _copied(database: Path, copied: Path, version: str) -> Manifest:
    # An older schema is upgraded by the same look that any command takes at it.
    with Reads(database):
        pass
    with (
        contextlib.closing(open_for_reading(database)) as source,
        contextlib.closing(sqlite3.connect(copied)) as target,
    ):
        # In one step: that is one moment, and beside a write-ahead log it keeps no writer waiting.
        source.backup(target)
        events: int = target.execute("SELECT COUNT(*) FROM acp_event").fetchone()[0]
        found = target.execute(sql.CHAIN_HEAD, {"tenant": "local"}).fetchone()
    return Manifest(FORMAT, time.time(), version, SCHEMA_VERSION, events, Anchor(*(found or (0, "0" * 64))))


def _add_manifest(tar: tarfile.TarFile, manifest: Manifest) -> None:
    text = json.dumps({**manifest._asdict(), "head": str(manifest.head)}).encode()
    entry = tarfile.TarInfo(MANIFEST)
    entry.size, entry.mode, entry.mtime = len(text), 0o600, int(manifest.made)
    tar.addfile(entry, io.BytesIO(text))


def _add_rest(tar: tarfile.TarFile, database: Path) -> None:
    """What runs keep while this goes on may come and go: contents are written once, so what is read is whole."""
    state = database.parent
    for name in (*FOLDERS, *FILES, file_beside(database).name):
        for path in _below(state / name):
            with contextlib.suppress(FileNotFoundError):
                tar.add(path, str(path.relative_to(state)), recursive=False)


def _below(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield path
        for entry in sorted(path.rglob("*")):
            # Half a file that somebody is writing right now, and locks of git, are no part of it.
            if not entry.name.endswith((".tmp", ".lock")):
                yield entry
    elif path.exists():
        yield path


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    try:
        tar = tarfile.open(archive, "r:gz")  # noqa: SIM115  (what goes wrong while it is used is told otherwise)
    except (OSError, tarfile.TarError, EOFError) as error:
        raise UsageError(f"{archive}: no backup: {error}", hint="acp backup FILE makes one") from error
    with tar:
        yield tar


def _manifest(archive: Path, tar: tarfile.TarFile) -> Manifest:
    try:
        first = tar.next()
        file = tar.extractfile(first) if first is not None and first.name == MANIFEST else None
        if file is None:
            raise UsageError(f"{archive}: no backup of a store", hint="acp backup FILE makes one")
        told: dict[str, Any] = json.loads(file.read())
        position, _, digest = str(told.pop("head")).partition(":")
        manifest = Manifest(**told, head=Anchor(int(position), digest))
    except (OSError, tarfile.TarError, EOFError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{archive}: {MANIFEST} cannot be read: {error}") from error
    if manifest.v > FORMAT or manifest.schema > SCHEMA_VERSION:
        hint = f"upgrade acp-agent to {manifest.acp} or newer"
        raise UsageError(f"{archive}: was written by a newer acp-agent ({manifest.acp})", hint=hint)
    return manifest


def _checked(archive: Path, copy: Path, manifest: Manifest) -> int:
    """Check the unpacked database and make it nobody's; returns how many of its runs are not over."""
    try:
        with contextlib.closing(open_for_writing(copy)) as connection:
            said = connection.execute("PRAGMA quick_check").fetchone()[0]
            connection.execute(sql.RAISE_FENCES, {"by": RAISED_BY})
            open_runs: int = connection.execute(sql.NOT_OVER).fetchone()[0]
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise UsageError(f"{archive}: its database is broken: {error}", hint="nothing was changed") from error
    verdict = verify_database(copy)
    if said != "ok" or verdict.broken or verdict.head != manifest.head:
        broken = verdict.broken.detail if verdict.broken else said if said != "ok" else "it ends elsewhere than it says"
        raise UsageError(f"{archive}: its record is not whole: {broken}", hint="nothing was changed")
    return open_runs


def _require_unused(database: Path) -> None:
    """Leaving the write-ahead log is granted only to who is alone with a file."""
    if not database.exists():
        return
    with contextlib.closing(sqlite3.connect(database, timeout=1.0, isolation_level=None)) as connection:
        try:
            connection.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.OperationalError:
            hint = "end every acp that works with it (acp ps, editors, acp serve, timers), then restore"
            raise Refused(f"{database} is in use", hint=hint) from None
        except sqlite3.DatabaseError:
            # No database any more: that may well be why somebody restores.
            return


def _moved_aside(state: Path, database: Path) -> Path | None:
    beside = [f"{database.name}{end}" for end in ("", "-wal", "-shm", "-journal")]
    present = [name for name in (*FOLDERS, *FILES, file_beside(database).name, *beside) if (state / name).exists()]
    if not present:
        return None
    aside = Path(tempfile.mkdtemp(prefix=f"before-restore-{time.strftime('%Y%m%dT%H%M%S')}-", dir=state))
    for name in present:
        shutil.move(state / name, aside / name)
    return aside
