"""Opens a SQLite database: recognises a current schema by one pragma, creates an empty one, upgrades an older one.

Standard library only, because the fast commands open databases too; alembic is imported for an upgrade alone.
"""

import sqlite3
import time
from pathlib import Path

from acp_agent.domain.errors import UsageError
from acp_agent.store.connection import SCHEMA_VERSION, SqliteConnection

REVISION = f"{SCHEMA_VERSION:04d}"
"""The migration that `schema.sql` stands at; its number is the schema's version."""
MIGRATION_TABLE = "acp_migration"
SCHEMA_FILE = Path(__file__).with_name("schema.sql")
POSTGRES_SCHEMA_FILE = Path(__file__).with_name("schema_postgres.sql")
BUSY_SECONDS = 30.0
# UPDATE ... RETURNING, in which every fence is checked.
OLDEST_SQLITE = (3, 35)


def open_for_writing(path: Path) -> SqliteConnection:
    """A connection in autocommit mode to the database at `path`, created or upgraded where needed.

    May be used by one thread at a time, any thread. Raises UsageError where the file cannot be used.
    """
    return _usable(path)[0]


def migrate(path: Path) -> int:
    """Create or upgrade the database at `path` where needed; the version of its schema before, 0 for none.

    Raises UsageError where it is newer than ours, or cannot be used.
    """
    connection, before = _usable(path)
    connection.close()
    return before


def _usable(path: Path) -> tuple[SqliteConnection, int]:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise UsageError(
            f"SQLite {sqlite3.sqlite_version} is too old for {path}", hint="use a Python with SQLite 3.35 or newer"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _opened(path)
    except (OSError, sqlite3.Error) as error:
        raise unusable(path, error) from error


def open_for_reading(path: Path) -> SqliteConnection:
    """A second, read-only connection to a database that is current; any thread, one at a time."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        factory=SqliteConnection,
    )


def mend(path: Path) -> None:
    """Undo what a process killed at the very first start left half done; only a writing connection may."""
    if not path.with_name(f"{path.name}-journal").exists():
        return
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS)
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    finally:
        connection.close()


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """The version of the schema, 0 for an empty database. Raises UsageError where it is newer than ours."""
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    require_known(found, str(path), "ACP_HOME to another directory")
    return found


def require_known(version: int, name: str, elsewhere: str) -> None:
    """Raise UsageError where the schema of the database `name` is newer than ours."""
    if version > SCHEMA_VERSION:
        known = f"schema {version}, this one knows {SCHEMA_VERSION}"
        raise UsageError(
            f"{name}: database was written by a newer acp-agent ({known})",
            hint=f"upgrade acp-agent, or set {elsewhere}",
        )


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether none of our tables exist."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name LIKE 'acp!_%' ESCAPE '!'").fetchone() is None


def unusable(path: Path, error: Exception) -> UsageError:
    """What a person reads when the file at `path` cannot be opened."""
    return UsageError(
        f"{path}: cannot use this database: {error}", hint="check the path and its permissions, or set ACP_HOME"
    )


def _opened(path: Path) -> tuple[SqliteConnection, int]:
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, factory=SqliteConnection
    )
    try:
        version = version_of(connection, path)
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        if version < SCHEMA_VERSION:
            version = _created(connection, path)
        if 0 < version < SCHEMA_VERSION:
            version = _upgrade(path)
    except BaseException:
        connection.close()
        raise
    return connection, version


def _use_wal(connection: sqlite3.Connection) -> None:
    # Two processes that both make an empty file a WAL one wait for each other, and SQLite refuses one at once instead
    # of calling its busy handler.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _created(connection: sqlite3.Connection, path: Path) -> int:
    """Create the schema unless another process just has; the version there was, 0 for none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = version_of(connection, path)
        if is_empty(connection):
            version = 0
            # Not executescript: it would commit the transaction that keeps the other process out.
            for statement in SCHEMA_FILE.read_text(encoding="utf-8").split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return version


def _upgrade(path: Path) -> int:
    from acp_agent.store.migrate import upgrade

    return upgrade(path)
