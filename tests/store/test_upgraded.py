"""A process whose database a newer version upgrades while it has it open."""

import contextlib
import sqlite3
from collections.abc import Callable

import pytest

from acp_agent.domain.errors import NotRecorded
from acp_agent.domain.location import Location, ServerLocation
from acp_agent.domain.ports import NewStream
from acp_agent.store import schema
from acp_agent.store.journal import StoredJournal

pytestmark = pytest.mark.anyio
LATER = schema.SCHEMA_VERSION + 1


def stamp_later(location: Location) -> None:
    """Do to the stamp what a newer version's upgrade does."""
    if isinstance(location, ServerLocation):
        import psycopg

        with psycopg.connect(location.url) as connection:
            connection.execute(f"UPDATE acp_migration SET version_num = '{LATER:04d}'")
        return
    with contextlib.closing(sqlite3.connect(location)) as file:
        file.execute(f"PRAGMA user_version = {LATER}")


async def test_it_writes_nothing_more_and_says_what_to_do(
    database: Location, new_run: Callable[..., NewStream]
) -> None:
    async with StoredJournal(database) as journal:
        await journal.create([new_run()], "ann")
        stamp_later(database)
        for _ in range(2):
            with pytest.raises(NotRecorded, match=f"its schema is {LATER} now, this process writes") as told:
                await journal.create([new_run("r_two")], "ann")
            assert "start it as new as that one" in (told.value.hint or "")
        assert await journal.events("r_two") == []
        assert len(await journal.events("r_one")) == 1
