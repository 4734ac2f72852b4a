"""What the store asks of a connection to either database. Standard library only: the fast commands import it."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from acp_agent.store import sql

Row = tuple[Any, ...]
Values = Mapping[str, Any]
NO_VALUES: Values = {}
SCHEMA_VERSION = 5
"""The schema that our statements are of; a database of another one is not written."""
REMEDY = "another acp has upgraded this database meanwhile: end this process, and start it as new as that one"


class Connection(Protocol):
    """A connection in autocommit mode: one thread at a time, any thread. Statements are those of `store.sql`."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        ...

    @property
    def lost(self) -> bool:
        """Whether this connection can never be used again."""
        ...

    def rows(self, statement: str, values: Values = NO_VALUES) -> list[Row]:
        """Run one statement to its end; no rows where it has none to give."""
        ...

    def write(self, statements: Sequence[tuple[str, Sequence[Values]]]) -> None:
        """Run statements in order, none of which gives rows, each with every one of its values."""
        ...

    def stream(self, statement: str, values: Values = NO_VALUES) -> Iterator[Row]:
        """The rows of a long answer, not all in memory at once; for PostgreSQL inside a transaction."""
        ...

    def begin_writing(self, *, lasting: bool = True) -> tuple[str, float]:
        """Begin a transaction that keeps every other writer out until it ends.

        One that is not `lasting` may be lost with the power until a lasting one is committed behind it.
        Returns its mark (`has_committed`) and the database's time (`sql.NOW`). Raises an error of the driver where the
        schema is another one by now (`REMEDY`).
        """
        ...

    def begin_reading(self) -> None:
        """Begin a transaction in which every read sees the same."""
        ...

    def has_committed(self, mark: str) -> bool:
        """Whether a transaction of a connection that was lost is on record. Waits for one that is still ending."""
        ...

    def announce(self) -> None:
        """Inside a transaction: tell other processes, once it commits, that there is something new for them."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class SqliteUpgraded(sqlite3.OperationalError):
    """The file was upgraded since it was opened."""


class SqliteConnection(sqlite3.Connection):
    """A connection to a file."""

    lost = False
    _lasting: bool | None = None

    def rows(self, statement: str, values: Values = NO_VALUES) -> list[Row]:
        """Run one statement to its end."""
        return self.execute(statement, values).fetchall()

    def write(self, statements: Sequence[tuple[str, Sequence[Values]]]) -> None:
        """Run each statement with every one of its values."""
        for statement, rows in statements:
            self.executemany(statement, rows)

    def stream(self, statement: str, values: Values = NO_VALUES) -> Iterator[Row]:
        """The rows as SQLite finds them."""
        return iter(self.execute(statement, values))

    def begin_writing(self, *, lasting: bool = True) -> tuple[str, float]:
        """Take the one lock of the file. In its log a commit that is waited for brings those before it to disk."""
        if self._lasting is not lasting:
            self.execute(f"PRAGMA synchronous = {'FULL' if lasting else 'NORMAL'}")
            self._lasting = lasting
        self.execute("BEGIN IMMEDIATE")
        found = self.execute("PRAGMA user_version").fetchone()[0]
        if found != SCHEMA_VERSION:
            self.execute("ROLLBACK")
            raise SqliteUpgraded(f"its schema is {found} now, this process writes {SCHEMA_VERSION}")
        return "", self.execute(sql.NOW).fetchone()[0]

    def begin_reading(self) -> None:
        """Begin a transaction whose first read fixes what it sees."""
        self.execute("BEGIN")

    def has_committed(self, mark: str) -> bool:
        """Never asked: a file is not lost."""
        raise NotImplementedError

    def announce(self) -> None:
        """Other processes look at the file once a second."""
