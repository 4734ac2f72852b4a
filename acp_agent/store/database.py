"""The two databases behind one face. Standard library only: the driver of PostgreSQL is imported when one is opened."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from acp_agent.domain.errors import UsageError
from acp_agent.domain.location import Location, ServerLocation
from acp_agent.store import schema
from acp_agent.store.anchors import file_beside
from acp_agent.store.connection import REMEDY, SCHEMA_VERSION, Connection, SqliteUpgraded


class Database(Protocol):
    """Opens connections. Each of them raises UsageError where the database cannot be used."""

    @property
    def name(self) -> str:
        """What a person calls it; no password in it."""
        ...

    @property
    def anchors(self) -> Path:
        """Where the anchors of its audit chains are kept."""
        ...

    @property
    def error(self) -> type[Exception]:
        """What its driver raises."""
        ...

    @property
    def failure(self) -> tuple[type[Exception], ...]:
        """Those of its errors that are of the whole database and not of one statement."""
        ...

    def open_for_writing(self) -> Connection:
        """A connection to the current schema, created where there is none; an older file is upgraded, a server not."""
        ...

    def migrate(self) -> int:
        """Create or upgrade the schema; its version before, 0 for none. Safe beside any other process."""
        ...

    def open_for_reading(self) -> Connection:
        """A connection for reads alone, to a database that is current."""
        ...

    def open_again(self) -> Connection:
        """One more connection after one was lost. Raises `error` while there is none to be had."""
        ...

    def look(self) -> Connection | None:
        """A connection for reads to a database that may not exist, which is None; as `open_for_writing` otherwise."""
        ...

    def remedy(self, error: Exception) -> str:
        """What a person does about an error that kept the journal from writing."""
        ...

    def listen(self, heard: Callable[[], None]) -> Callable[[], None] | None:
        """Call `heard`, on a thread, whenever a process has announced something; returns what ends that.

        None where nothing is announced.
        """
        ...


class SqliteDatabase:
    """A file, which is created where it is missing."""

    error = sqlite3.Error
    # Disk full or input/output: of the whole file, and SQLite may have rolled everything back.
    failure = (sqlite3.OperationalError,)

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)
        self.anchors = file_beside(path)

    def open_for_writing(self) -> Connection:
        """A connection that may create the file."""
        return schema.open_for_writing(self._path)

    def migrate(self) -> int:
        """What the next use of the file would do too."""
        return schema.migrate(self._path)

    def open_for_reading(self) -> Connection:
        """A read-only connection."""
        return schema.open_for_reading(self._path)

    def open_again(self) -> Connection:
        """Never asked: a file is not lost."""
        raise NotImplementedError

    def listen(self, heard: Callable[[], None]) -> Callable[[], None] | None:
        """A file announces nothing."""
        return None

    def remedy(self, error: Exception) -> str:
        """Free the disk, let the folder be written, or end who has locked the file."""
        folder = self._path.parent
        if isinstance(error, SqliteUpgraded):
            return REMEDY
        # The low byte is the kind, the others say more about it.
        match getattr(error, "sqlite_errorcode", 0) & 0xFF:
            case sqlite3.SQLITE_FULL:
                return f"free some space on the disk of {folder}"
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN:
                return f"let {folder} be written again"
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return "another program has locked it: end that program"
            case _:
                return f"check the disk of {folder}"

    def look(self) -> Connection | None:
        """None where the file is missing or has no table of ours."""
        if not self._path.exists():
            return None
        try:
            schema.mend(self._path)
            connection = schema.open_for_reading(self._path)
        except sqlite3.Error as error:
            raise schema.unusable(self._path, error) from error
        try:
            # One look at both: another process may be making the database right now.
            connection.execute("BEGIN")
            version, empty = schema.version_of(connection, self._path), schema.is_empty(connection)
            connection.execute("COMMIT")
            if version == SCHEMA_VERSION:
                return connection
        except sqlite3.Error as error:
            connection.close()
            raise schema.unusable(self._path, error) from error
        except UsageError:
            connection.close()
            raise
        connection.close()
        if empty:
            return None
        # As the next run would do: whoever looks at an older record need not know that it is one.
        schema.open_for_writing(self._path).close()
        return self.look()


def database_at(location: Location | str) -> Database:
    """The database at a file's path or a server's URL. Raises UsageError where its driver is not installed."""
    if not isinstance(location, ServerLocation):
        return SqliteDatabase(Path(location))
    try:
        from acp_agent.store.postgres import PostgresDatabase
    except ImportError as error:
        raise UsageError(
            f"{location.shown}: the driver for PostgreSQL cannot be imported: {error}",
            hint="pip install 'acp-agent[postgres]'",
        ) from error
    return PostgresDatabase(location)
