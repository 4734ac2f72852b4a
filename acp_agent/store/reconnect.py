"""How long the journal waits for a database whose connection it lost."""

import time

from acp_agent.store.connection import Connection
from acp_agent.store.database import Database

PATIENCE = 60.0
"""Seconds: a restart, or a fail-over to a standby behind the same name."""
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0


def opened_again(database: Database) -> Connection:
    """A new connection, waited for on the calling thread. Raises the last error of the driver after `PATIENCE`."""
    until = time.monotonic() + PATIENCE
    pause = FIRST_PAUSE
    while True:
        try:
            return database.open_again()
        except database.error:
            if time.monotonic() > until:
                raise
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
