"""Upgrades an older database with alembic, in one transaction. Imported only when there is something to upgrade."""

import sqlite3
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from acp_agent.store import dialect
from acp_agent.store.schema import BUSY_SECONDS, SCHEMA_VERSION

SCRIPTS = Path(__file__).with_name("migrations")


def upgrade(path: Path) -> None:
    """Bring the database at `path` to the newest schema; does nothing where another process just has."""
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": BUSY_SECONDS})

    # The driver's own transactions begin too late to keep a second process out, and end before every DDL statement.
    @event.listens_for(engine, "connect")
    def manual(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def immediate(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    try:
        with engine.begin() as connection:
            _to_head(connection)
            connection.execute(text(f"PRAGMA user_version = {SCHEMA_VERSION}"))
    finally:
        engine.dispose()


def upgrade_server(url: str, lock: str) -> None:
    """Bring the schema of a PostgreSQL database (as libpq's connection string) to the newest; `lock` keeps others out.

    Does nothing where another process just has.
    """
    import psycopg

    dialect.use()
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(lock)
        _to_head(connection)


def _to_head(connection: Connection) -> None:
    configuration = configured()
    configuration.attributes["connection"] = connection
    command.upgrade(configuration, "head")


def configured() -> Config:
    """Alembic's configuration of our migrations; there is no ini file."""
    configuration = Config()
    configuration.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    return configuration
