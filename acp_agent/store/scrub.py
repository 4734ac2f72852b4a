"""Writes a database anew, so that nothing of what was erased is left in its free pages."""

import contextlib
import sqlite3
from pathlib import Path

from acp_agent.domain.location import Location, ServerLocation
from acp_agent.store.schema import open_for_writing

WAIT = 5_000
"""Milliseconds to wait for other processes."""


def scrub(location: Location) -> bool:
    """Whether the database is free of old contents; False where another process kept it busy, which may be tried again.

    Needs as much room on the disk again as the database takes. A server's own log of writes and its standbys are its
    administrator's.
    """
    if isinstance(location, ServerLocation):
        from acp_agent.store.postgres import PostgresDatabase

        return PostgresDatabase(location).scrub(WAIT)
    return _scrub_file(location)


def _scrub_file(path: Path) -> bool:
    with contextlib.closing(open_for_writing(path)) as connection:
        connection.execute(f"PRAGMA busy_timeout = {WAIT}")
        try:
            connection.execute("VACUUM")
            busy: int = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.OperationalError:
            return False
    return not busy
