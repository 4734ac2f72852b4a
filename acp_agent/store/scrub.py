"""Writes a SQLite file anew, so that nothing of what was erased is left in its free pages or in its log."""

import contextlib
import sqlite3
from pathlib import Path

from acp_agent.store.schema import open_for_writing

WAIT = 5_000
"""Milliseconds to wait for other processes."""


def scrub(path: Path) -> bool:
    """Whether the file is free of old contents now; False where another process kept it busy, which may be tried again.

    Needs as much room on the disk again as the file takes.
    """
    with contextlib.closing(open_for_writing(path)) as connection:
        connection.execute(f"PRAGMA busy_timeout = {WAIT}")
        try:
            connection.execute("VACUUM")
            busy: int = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.OperationalError:
            return False
    return not busy
