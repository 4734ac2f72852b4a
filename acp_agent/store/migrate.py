"""Upgrades an older database with alembic, in one transaction. Imported only when there is something to upgrade."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from acp_agent.store import dialect
from acp_agent.store.connection import SCHEMA_VERSION
from acp_agent.store.schema import BUSY_SECONDS, MIGRATION_TABLE, require_known

SCRIPTS = Path(__file__).with_name("migrations")


def upgrade(path: Path) -> int:
    """Bring the database at `path` to the newest schema; the version before, the newest where another process just has.

    All of it or nothing. Raises UsageError where it is newer than ours.
    """
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": BUSY_SECONDS})

    # The driver's own transactions begin too late to keep a second process out, and end before every DDL statement.
    @event.listens_for(engine, "connect")
    def manual(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def immediate(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    try:
        with _plain_errors(), engine.begin() as connection:
            before = _to_head(connection, str(path))
            connection.execute(text(f"PRAGMA user_version = {SCHEMA_VERSION}"))
    finally:
        engine.dispose()
    return before


def upgrade_server(url: str, lock: str, name: str) -> int:
    """Bring the schema of a PostgreSQL database (as libpq's connection string) to the newest; as `upgrade`.

    The statement `lock` keeps others out, `name` is what a person calls the database.
    """
    import psycopg

    dialect.use()
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool)
    with _plain_errors(), engine.begin() as connection:
        connection.exec_driver_sql(lock)
        return _to_head(connection, name)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Raise the driver's own errors, which whoever opens a database knows how to tell."""
    try:
        yield
    except DBAPIError as error:
        raise (error.orig or error) from error


def _to_head(connection: Connection, name: str) -> int:
    context = MigrationContext.configure(connection, opts={"version_table": MIGRATION_TABLE})
    before = int(context.get_current_revision() or 0)
    require_known(before, name, "another database")
    configuration = configured()
    configuration.attributes["connection"] = connection
    command.upgrade(configuration, "head")
    return before


def configured() -> Config:
    """Alembic's configuration of our migrations; there is no ini file."""
    configuration = Config()
    configuration.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    return configuration
