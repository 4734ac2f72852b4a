"""What the fast commands see: rows of what is there, and nothing where nothing is."""

from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from acp_agent.domain.budget import Cap
from acp_agent.domain.events import ModelCalled, ModelReplied, RunEnded
from acp_agent.domain.events_batch import BatchStarted
from acp_agent.domain.message import AssistantMessage, Reply, Usage
from acp_agent.domain.ports import NewStream, Owner
from acp_agent.domain.request import Workplace
from acp_agent.store.journal import StoredJournal
from acp_agent.store.reads import BatchRow, BudgetRow, EventRow, Found, Reads, RunRow

pytestmark = pytest.mark.anyio
NewRun = Callable[..., NewStream]
NOW = 1_000.0


@pytest.fixture
async def journal(database: Path) -> AsyncGenerator[StoredJournal]:
    """An open journal in which time stands still."""
    async with StoredJournal(database, clock=lambda: NOW) as opened:
        yield opened


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_missing_database_has_nothing_in_it_and_is_not_made(database: Path) -> None:
    with Reads(database) as reads:
        assert (reads.runs(), reads.run("r_1"), reads.batches(), reads.batch("b_1")) == ([], None, [], None)
        assert (reads.find("r_"), reads.find("x"), reads.events("r_1"), reads.budgets()) == ([], [], [], [])
    assert not database.parent.exists()


def test_a_file_that_is_just_being_made_has_nothing_in_it(tmp_path: Path) -> None:
    (tmp_path / "acp.db").touch()
    with Reads(tmp_path / "acp.db") as reads:
        assert reads.runs() == []


async def test_a_run_is_read_as_it_stands(journal: StoredJournal, new_run: NewRun, me: Owner, database: Path) -> None:
    place = Workplace(kind="worktree", root="/repo", worktree="/tree", branch="acp/b/api", base="0", target="main")
    asked = {"project": "api", "batch_id": "b_1", "session_id": "s_1", "title": "Mend", "workplace": place}
    await journal.create([new_run("r_1", prompt="x" * 3_000, **asked)], "ann")
    claim = await journal.claim("r_1", me)
    assert claim is not None
    usage = Usage(input_tokens=5, output_tokens=7)
    reply = Reply(message=AssistantMessage(text="Hi"), stop="end_turn", model="openai/big", usage=usage)
    replied = ModelReplied(call_id="m1", reply=reply, cost=0.5)
    await journal.append(claim, [ModelCalled(call_id="m1", model="openai/big"), replied])
    with Reads(database) as reads:
        assert reads.events("r_1", after=2) == [
            EventRow("r_1", 3, NOW, 1, "model_replied", "worker", replied.model_dump(mode="json"), 5, 7, 0.5)
        ]
        found = reads.run("r_1")
        assert (reads.runs(), reads.runs(batch_id="b_1", status="running")) == ([found], [found])
        assert reads.runs(batch_id="b_1", status="ended") == reads.runs(status="queued") == reads.runs(limit=0) == []
    assert found == RunRow(
        id="r_1",
        session_id="s_1",
        batch_id="b_1",
        position=0,
        project="api",
        role="coder",
        title="Mend",
        prompt="x" * 2_000,
        status="running",
        waiting_for=None,
        reason=None,
        message="",
        model="openai/big",
        steps=1,
        tool_calls=0,
        tokens_in=5,
        tokens_out=7,
        cost=0.5,
        cost_known=True,
        branch="acp/b/api",
        worktree="/tree",
        root="/repo",
        path=None,
        commit_sha=None,
        files=0,
        added=0,
        removed=0,
        landed=None,
        last_type="model_replied",
        last_text="model_replied Hi",
        created_at=NOW,
        updated_at=NOW,
        ended_at=None,
        # The journal's clock stands long ago, so the lease has run out by the database's time.
        driven=False,
    )


async def test_a_run_is_driven_while_its_driver_lives(database: Path, new_run: NewRun, me: Owner) -> None:
    async with StoredJournal(database) as journal:
        await journal.create([new_run("r_1"), new_run("r_2"), new_run("r_3")], "ann")
        await journal.claim("r_1", me)
        await journal.claim("r_2", me.model_copy(update={"started": "1"}))
    with Reads(database) as reads:
        assert {row.id: (row.status, row.driven) for row in reads.runs()} == {
            "r_1": ("running", True),
            "r_2": ("running", False),
            "r_3": ("queued", False),
        }


async def test_batches_and_budgets_are_read(journal: StoredJournal, database: Path) -> None:
    started = BatchStarted(prompt="mend", projects=("b", "a"), options={"jobs": 4})
    cap = Cap(scope="batch:b_1", cap=2.0)
    await journal.create([NewStream(stream_id="b_1", kind="batch", facts=(started,), caps=(cap,))], "ann")
    with Reads(database) as reads:
        row = BatchRow("b_1", "mend", ("b", "a"), {"jobs": 4}, "running", None, None, NOW, None)
        assert (reads.batches(), reads.batch("b_1"), reads.batch("b_2")) == ([row], row, None)
        assert reads.budgets() == [BudgetRow("batch:b_1", 2.0, 0.0, 0.0)]


async def test_ids_are_found_by_their_beginning(journal: StoredJournal, new_run: NewRun, database: Path) -> None:
    batch = NewStream(stream_id="b_ab", kind="batch", facts=(BatchStarted(prompt="mend", projects=()),))
    await journal.create([batch, *map(new_run, ("r_abc", "r_abcd", "r_xyz"))], "ann")
    with Reads(database) as reads:
        found = {
            prefix: reads.find(prefix) for prefix in ("ab", "abc", "abcd", "r_a", "b_", "r_", "x", "q", "", "%", "_")
        }
    assert found == {
        "ab": [Found("batch", "b_ab")],
        "abc": [Found("run", "r_abc")],
        "abcd": [Found("run", "r_abcd")],
        "r_a": [Found("run", "r_abc"), Found("run", "r_abcd")],
        "b_": [],
        "r_": [],
        "x": [Found("run", "r_xyz")],
        "q": [],
        "": [],
        "%": [],
        "_": [],
    }


async def test_tenants_do_not_see_each_other(database: Path, new_run: NewRun, me: Owner) -> None:
    async with StoredJournal(database, tenant="one") as one, StoredJournal(database, tenant="two") as two:
        await one.create([new_run("r_1", caps=[Cap(scope="day", cap=1.0)])], "ann")
        assert (await two.claimable(None, 5), await two.events("r_1")) == ([], [])
    for tenant, seen in (("one", ["r_1"]), ("two", []), ("local", [])):
        with Reads(database, tenant=tenant) as reads:
            assert [row.id for row in reads.runs()] == [found.id for found in reads.find("r_1")] == seen
            assert [budget.scope for budget in reads.budgets()] == ["day" for _ in seen]


async def test_an_ended_run_says_when_and_why(
    journal: StoredJournal, new_run: NewRun, me: Owner, database: Path
) -> None:
    await journal.create([new_run("r_1")], "ann")
    await journal.note("r_1", [RunEnded(reason="cancelled", message="by ann")], "ann")
    with Reads(database) as reads:
        row = reads.run("r_1")
    assert row is not None
    assert (row.status, row.reason, row.message, row.ended_at) == ("ended", "cancelled", "by ann", NOW)
