"""Real database files, and short ways to what goes into them."""

import os
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from acp_agent.domain.budget import Cap
from acp_agent.domain.events import Fact, RunStarted
from acp_agent.domain.location import Location, ServerLocation
from acp_agent.domain.ports import Claim, NewStream, Owner
from acp_agent.domain.request import RunRequest, Workplace
from acp_agent.store.journal import StoredJournal
from acp_agent.store.owner import owner_of_this_process

NewRun = Callable[..., NewStream]
Drive = Callable[..., Any]


def _new_run(run_id: str = "r_one", facts: Sequence[Fact] = (), caps: Sequence[Cap] = (), **request: Any) -> NewStream:
    place = Workplace(kind="inplace", root="/project")
    asked = RunRequest(**{"prompt": "mend it", "workplace": place, "models": ("openai/small",), **request})
    return NewStream(stream_id=run_id, kind="run", facts=(RunStarted(request=asked), *facts), caps=tuple(caps))


@pytest.fixture(scope="session")
def new_run() -> NewRun:
    """A run to open."""
    return _new_run


@pytest.fixture
def me() -> Owner:
    """This process."""
    return owner_of_this_process()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    """Where a database may be made; the directory of a file does not exist yet."""
    if request.param == "postgres":
        server: ServerLocation = request.getfixturevalue("postgres")
        return server
    return tmp_path / "state" / "acp 100%.db"


@pytest.fixture
async def journal(database: Location) -> AsyncGenerator[StoredJournal]:
    """An open journal."""
    async with StoredJournal(database) as opened:
        yield opened


@pytest.fixture
def drive(journal: StoredJournal, me: Owner) -> Drive:
    """Opens a run and claims it."""

    async def started(run_id: str = "r_one", **request: Any) -> Claim:
        await journal.create([_new_run(run_id, **request)], "ann")
        claim = await journal.claim(run_id, me)
        assert claim is not None
        return claim

    return started


@pytest.fixture
def clean_environ() -> dict[str, str]:
    """The environment of a process of ours that finds this checkout."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
