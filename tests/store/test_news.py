"""What one process records wakes the others at once on PostgreSQL; on SQLite they look once a second."""

from collections.abc import Callable
from pathlib import Path

import anyio
import psycopg
import pytest

from acp_agent.domain.events import CancelAsked
from acp_agent.domain.location import ServerLocation
from acp_agent.domain.ports import NewStream
from acp_agent.store.journal import StoredJournal

NewRun = Callable[..., NewStream]
HOUR = 3600.0


@pytest.mark.postgres
async def test_what_others_should_look_at_is_announced_also_after_the_listener_was_cut_off(
    postgres: ServerLocation, new_run: NewRun
) -> None:
    async with StoredJournal(postgres) as here, StoredJournal(postgres) as elsewhere:
        # That it listens from now on counts as news: it may have missed some.
        seen = await here.news(HOUR, 0)
        for act in (
            lambda: elsewhere.create([new_run()], "ann"),
            lambda: elsewhere.note("r_one", [CancelAsked()], "ann"),
            lambda: anyio.to_thread.run_sync(cut_off_listeners, postgres),
            lambda: elsewhere.note("r_one", [CancelAsked()], "ann"),
        ):
            await act()
            seen, before = await here.news(HOUR, seen), seen
            assert seen > before


def cut_off_listeners(location: ServerLocation) -> None:
    with psycopg.connect(location.url) as connection:
        cut = connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE query = 'LISTEN acp_news'"
        ).fetchall()
    assert cut == [(True,)]


async def test_a_file_announces_nothing_and_its_users_wait_their_time(tmp_path: Path, new_run: NewRun) -> None:
    async with StoredJournal(tmp_path / "acp.db") as journal:
        await journal.create([new_run()], "ann")
        assert await journal.news(0.001, 0) == 0
