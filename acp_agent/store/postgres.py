"""PostgreSQL: the only importer of psycopg. The statements of `store.sql` are adapted to its driver here.

Writers keep each other out by one advisory lock for each schema, taken first, as SQLite's by `BEGIN IMMEDIATE`: so a
group that waits holds nothing yet, and two groups cannot deadlock.
"""

import hashlib
import re
import select
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from typing import Any

import psycopg
from psycopg.adapt import Buffer, Dumper, Loader
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.types.string import StrDumperUnknown

from acp_agent.domain.errors import UsageError
from acp_agent.domain.location import ServerLocation
from acp_agent.store import sql
from acp_agent.store.connection import NO_VALUES, REMEDY, SCHEMA_VERSION, Connection, Row, Values
from acp_agent.store.schema import MIGRATION_TABLE, POSTGRES_SCHEMA_FILE, require_known

OLDEST_SERVER = 13
CHANNEL = "acp_news"
NOW = "SELECT EXTRACT(EPOCH FROM clock_timestamp())::double precision"
LOCK = "SELECT pg_advisory_xact_lock(1633906792, hashtext(current_schema()))"
REVISION = f"SELECT version_num FROM {MIGRATION_TABLE}"
# One way to the server and back. Time and revision are those after the lock was had: the latter by its own statement.
BEGIN = f"BEGIN; {LOCK}, pg_current_xact_id()::text, {NOW.removeprefix('SELECT ')}; {REVISION}".encode()
COMMITTED = "SELECT pg_xact_status(%(mark)s::text::xid8) = 'committed'"
# A server that is gone without a word is noticed within a minute; a URL may say otherwise.
PATIENCE = {
    "application_name": "acp-agent",
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
IS_STAMPED = f"SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = '{MIGRATION_TABLE}'"
_PAUSE = 1.0
"""Seconds between two tries to listen to a server that is away."""


class _Text(StrDumperUnknown):
    """PostgreSQL's text holds no NUL. Facts are JSON, which has none; summaries of them lose it."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\x00", "\ufffd"))


class _Number(Loader):
    """A sum of whole numbers is one; SQLite has no other kind that is exact."""

    def load(self, data: Buffer) -> int | float:
        text = bytes(data)
        return int(text) if text.lstrip(b"-").isdigit() else float(text)


class PostgresUpgraded(psycopg.InternalError):
    """The schema was upgraded since the process began."""


class PostgresConnection:
    """A connection to a server, as `store.connection.Connection`."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        dumper: type[Dumper] = _Text
        self._connection.adapters.register_dumper(str, dumper)
        self._connection.adapters.register_loader("numeric", _Number)
        self._cursor = self._connection.cursor()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, failed or not."""
        return self._connection.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)

    @property
    def lost(self) -> bool:
        """Whether the server closed it, or it broke."""
        return bool(self._connection.closed)

    def execute(self, statement: str, values: Values = NO_VALUES) -> None:
        """Run one statement."""
        self._cursor.execute(adapted(statement), values)

    def rows(self, statement: str, values: Values = NO_VALUES) -> list[Row]:
        """Run one statement to its end; no rows where it has none to give."""
        self._cursor.execute(adapted(statement), values)
        return self._cursor.fetchall() if self._cursor.description is not None else []

    def write(self, statements: Sequence[tuple[str, Sequence[Values]]]) -> None:
        """Run each statement with every one of its values; the server answers once, at the end."""
        with self._connection.pipeline():
            for statement, rows in statements:
                for values in rows:
                    self._cursor.execute(adapted(statement), values)

    def stream(self, statement: str, values: Values = NO_VALUES) -> Iterator[Row]:
        """The rows of a cursor on the server; outside a transaction, which it lives in, all at once."""
        if not self.in_transaction:
            yield from self.rows(statement, values)
            return
        with self._connection.cursor(name="acp_stream") as cursor:
            cursor.itersize = 500
            cursor.execute(adapted(statement), values)
            yield from cursor

    def begin_writing(self, *, lasting: bool = True) -> tuple[str, float]:
        """Take the lock of all writers of this schema. Every commit lasts: others may have seen it by then."""
        self._cursor.execute(BEGIN)
        self._cursor.nextset()
        _, mark, now = self._cursor.fetchall()[0]
        self._cursor.nextset()
        found = int(self._cursor.fetchall()[0][0])
        if found != SCHEMA_VERSION:
            self.execute("ROLLBACK")
            raise PostgresUpgraded(f"its schema is {found} now, this process writes {SCHEMA_VERSION}")
        return mark, now

    def begin_reading(self) -> None:
        """Begin a transaction whose first read fixes what it sees."""
        self.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def has_committed(self, mark: str) -> bool:
        """Ask the server what became of a transaction, once it has surely ended."""
        self.begin_writing()
        try:
            return bool(self._cursor.execute(COMMITTED, {"mark": mark}).fetchall()[0][0])
        finally:
            if self.in_transaction:
                self.execute("ROLLBACK")

    def announce(self) -> None:
        """Tell all that listen, with the commit."""
        self.execute(f"NOTIFY {CHANNEL}")

    def close(self) -> None:
        """Close it; one that is lost is closed already."""
        self._connection.close()

    def announced(self, over: socket.socket) -> bool:
        """Wait for what others announce; False where `over` came first."""
        ready, _, _ = select.select([self._connection.fileno(), over.fileno()], [], [])
        for _ in self._connection.notifies(timeout=0):
            # One look covers all that was announced so far.
            continue
        return over.fileno() not in ready


class PostgresDatabase:
    """A database on a server, as `store.database.Database`."""

    error = psycopg.Error
    # Whatever is not of one row: no connection, no disk, no permission, a standby that cannot be written.
    failure = (
        psycopg.OperationalError,
        psycopg.InterfaceError,
        psycopg.InternalError,
        psycopg.ProgrammingError,
        psycopg.NotSupportedError,
    )

    def __init__(self, location: ServerLocation) -> None:
        self.name = location.shown
        digest = hashlib.sha256(location.url.encode()).hexdigest()[:12]
        self.anchors = location.state / f"postgres-{digest}.anchors"
        self._url = _complete(location)

    def open_for_writing(self) -> Connection:
        """A connection to the current schema, created where there is none. Raises UsageError for an older one.

        Hosts of several versions may share a server, so none upgrades it unasked.
        """
        connection = self._connected()
        try:
            with self._told():
                self._created(connection)
                self._require_current(_version(connection, self.name))
        except BaseException:
            connection.close()
            raise
        return connection

    def migrate(self) -> int:
        """Under the lock of all writers."""
        with self._told(), closing(self._connected()) as connection:
            before = self._created(connection)
            if 0 < before < SCHEMA_VERSION:
                from acp_agent.store.migrate import upgrade_server

                before = upgrade_server(self._url, LOCK, self.name)
        return before

    def open_for_reading(self) -> Connection:
        """A second connection, which cannot write."""
        return self._reading(self._connected())

    def open_again(self) -> Connection:
        """One more connection; raises psycopg's errors."""
        return PostgresConnection(self._url)

    def look(self) -> Connection | None:
        """None where there is no table of ours. Raises UsageError for an older schema."""
        connection = self._connected()
        try:
            with self._told():
                version = _version(connection, self.name)
                if version != 0:
                    self._require_current(version)
                    return self._reading(connection)
        except BaseException:
            connection.close()
            raise
        connection.close()
        return None

    def listen(self, heard: Callable[[], None]) -> Callable[[], None] | None:
        """Listen on a connection and a thread of its own; what was missed while it was lost counts as heard."""
        over, ender = socket.socketpair()
        thread = threading.Thread(target=self._listen, args=(heard, over), name="acp-journal-listener", daemon=True)
        thread.start()

        def end() -> None:
            ender.close()
            thread.join()
            over.close()

        return end

    def remedy(self, error: Exception) -> str:
        """Free the server's disk, name a server that can be written, or let its account write."""
        match error:
            case psycopg.errors.DiskFull():
                return "free some space on the disk of the server"
            case psycopg.errors.ReadOnlySqlTransaction():
                return "it is a standby or read-only: set ACP_DATABASE_URL to the primary"
            case psycopg.errors.InsufficientPrivilege():
                return "let its account write to the tables acp_*"
            case PostgresUpgraded():
                return REMEDY
            case _:
                return "look after the server"

    def scrub(self, wait: int) -> bool:
        """Write the tables that hold words anew; False where others kept one busy for `wait` milliseconds."""
        connection = self._connected()
        try:
            connection.execute(f"SET lock_timeout = {wait}")
            connection.execute("VACUUM (FULL) acp_event, acp_run, acp_batch, acp_loop, acp_session")
        except psycopg.errors.LockNotAvailable:
            return False
        finally:
            connection.close()
        return True

    def _listen(self, heard: Callable[[], None], over: socket.socket) -> None:
        while not select.select([over], [], [], 0)[0]:
            try:
                connection = PostgresConnection(self._url)
            except psycopg.Error:
                select.select([over], [], [], _PAUSE)
                continue
            try:
                connection.execute(f"LISTEN {CHANNEL}")
                heard()
                while connection.announced(over):
                    heard()
            except psycopg.Error:
                # Lost: the journal's own connections tell whoever uses them.
                continue
            finally:
                connection.close()

    def _connected(self) -> PostgresConnection:
        try:
            return PostgresConnection(self._url)
        except psycopg.Error as error:
            raise self._unusable(error) from error

    def _reading(self, connection: PostgresConnection) -> PostgresConnection:
        connection.execute("SET default_transaction_read_only = on")
        return connection

    def _created(self, connection: PostgresConnection) -> int:
        """Create the schema unless another process just has; the version there was, 0 for none."""
        _check_server(connection, self.name)
        if version := _version(connection, self.name):
            return version
        connection.execute("BEGIN")
        try:
            connection.execute(LOCK)
            version = _version(connection, self.name)
            if version == 0:
                for statement in POSTGRES_SCHEMA_FILE.read_text(encoding="utf-8").split(";\n"):
                    if statement.strip():
                        connection.execute(statement)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return version

    def _require_current(self, version: int) -> None:
        if version < SCHEMA_VERSION:
            raise UsageError(
                f"{self.name}: its schema is {version}, older than that of this acp, {SCHEMA_VERSION}",
                hint="end the older workers and servers on all hosts, then `acp doctor --migrate` upgrades it",
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise self._unusable(error) from error

    def _unusable(self, error: psycopg.Error) -> UsageError:
        first = " ".join(str(error).split("\n", 1)[0].split())
        return UsageError(
            f"{self.name}: cannot use this database: {first}",
            hint="check ACP_DATABASE_URL, and that the server runs and lets this account in",
        )


@cache
def adapted(statement: str) -> bytes:
    """A statement in psycopg's parameter style."""
    if statement == sql.NOW:
        return NOW.encode()
    # What is asked about a parameter alone says nothing of its type; those that may be NULL are text.
    statement = re.sub(r"(?<!:):(\w+) IS NULL", r":\1::text IS NULL", statement)
    return re.sub(r"(?<!:):(\w+)", r"%(\1)s", statement.replace("%", "%%")).encode()


def _complete(location: ServerLocation) -> str:
    """The URL as libpq wants it, with our patience where it says nothing of its own."""
    try:
        given = {name: str(value) for name, value in conninfo_to_dict(location.url).items() if value is not None}
    except psycopg.ProgrammingError as error:
        # What libpq says of it can hold the password.
        raise UsageError(
            f"ACP_DATABASE_URL: libpq cannot read {location.shown}",
            hint="postgresql://USER:PASSWORD@HOST:5432/DATABASE; write special characters of a password as %XX",
        ) from error
    return make_conninfo(**{**PATIENCE, **given})


def _check_server(connection: PostgresConnection, name: str) -> None:
    version, encoding = connection.rows(
        "SELECT current_setting('server_version_num')::int / 10000, current_setting('server_encoding')"
    )[0]
    if version < OLDEST_SERVER:
        raise UsageError(f"{name}: PostgreSQL {version} is too old", hint=f"use PostgreSQL {OLDEST_SERVER} or newer")
    if encoding != "UTF8":
        raise UsageError(f"{name}: its encoding is {encoding}", hint="CREATE DATABASE ... ENCODING 'UTF8'")


def _version(connection: PostgresConnection, name: str) -> int:
    """The version of the schema, 0 for an empty one. Raises UsageError where it is newer than ours."""
    # Not to_regclass: it may remember that there was none before another process made it.
    if not connection.rows(IS_STAMPED):
        return 0
    found = int(connection.rows(REVISION)[0][0])
    require_known(found, name, "ACP_DATABASE_URL to another database")
    return found
