"""The journal as its callers see it: facts in order, all or nothing, and nobody's failure but their own."""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import anyio
import psycopg
import pytest

from acp_agent.domain.errors import AcpAgentError, ExitCode, Fenced, ModelFault, NotRecorded, Refused
from acp_agent.domain.events import (
    Accepted,
    ApprovalAsked,
    ApprovalGiven,
    CancelAsked,
    Event,
    LateResult,
    ModelCalled,
    ModelFailed,
    ModelReplied,
    Parked,
    Rejected,
    RunEnded,
    ToolStarted,
)
from acp_agent.domain.events_batch import BatchEnded, BatchStarted
from acp_agent.domain.message import AssistantMessage, Reply, Usage
from acp_agent.domain.ports import Claim, NewStream, Owner
from acp_agent.domain.run import fold
from acp_agent.domain.tool import Risk
from acp_agent.store.database import database_at
from acp_agent.store.journal import StoredJournal
from acp_agent.store.reads import Reads

pytestmark = pytest.mark.anyio
NewRun = Callable[..., NewStream]
Drive = Callable[..., Awaitable[Claim]]

CALLED = ModelCalled(call_id="m1", model="openai/small", reserved=0.5)
ASKED = ApprovalAsked(call_id="c1", tool="shell", risk=Risk.EXTERNAL, title="push")
PARKED = Parked(waiting="approval", detail="push", call_id="c1")
ENDED = RunEnded(reason="end_turn", message="done")


def replied(tokens: int = 7, text: str = "hello") -> ModelReplied:
    usage = Usage(input_tokens=tokens, output_tokens=2)
    reply = Reply(message=AssistantMessage(text=text), stop="end_turn", model="openai/small", usage=usage)
    return ModelReplied(call_id="m1", reply=reply, cost=0.25)


async def test_facts_come_back_as_they_went_in_with_numbers_that_have_no_gaps(
    journal: StoredJournal, new_run: NewRun, drive: Drive
) -> None:
    claim = await drive()
    first = await journal.append(claim, [CALLED])
    rest = await journal.append(claim, [replied(text="naïve \u2028 \x00 𝄞"), ENDED])
    noted = await journal.note("r_one", [Accepted(commit="abc", target="main")], "ann")

    kept = await journal.events("r_one")
    assert kept[1:] == [*first, *rest, *noted]
    assert [(event.seq, event.actor, event.data.type) for event in kept] == [
        (1, "ann", "run_started"),
        (2, "worker", "model_called"),
        (3, "worker", "model_replied"),
        (4, "worker", "run_ended"),
        (5, "ann", "accepted"),
    ]
    assert kept[0].data == new_run().facts[0]
    assert await journal.events("r_one", after=3) == kept[3:]
    assert await journal.events("r_other") == []


async def test_streams_are_created_all_or_none(journal: StoredJournal, new_run: NewRun) -> None:
    await journal.create([new_run("r_1")], "ann")
    with pytest.raises(Refused, match="r_1 exists already"):
        await journal.create([new_run("r_2"), new_run("r_1"), new_run("r_3")], "ann")
    with pytest.raises(ValueError, match="a batch does not begin with run_started"):
        await journal.create([new_run("r_4"), new_run("b_1")._replace(kind="batch")], "ann")
    assert await journal.claimable(None, 10) == ["r_1"]
    assert [await journal.events(run_id) for run_id in ("r_2", "r_3", "r_4", "b_1")] == [[], [], [], []]


async def test_a_driver_that_lost_its_run_is_refused_and_its_facts_are_kept_aside(
    journal: StoredJournal, drive: Drive, me: Owner, database: Path
) -> None:
    old = await drive()
    await journal.release(old)
    new = await journal.claim("r_one", me)
    assert new is not None and (old.fence, new.fence) == (1, 2)
    with Reads(database) as reads:
        before = reads.run("r_one")

    with pytest.raises(Fenced):
        await journal.append(old, [replied(), ENDED])

    late = [LateResult(fence=1, fact=fact.model_dump(mode="json")) for fact in (replied(), ENDED)]
    events = await journal.events("r_one", after=1)
    assert [event.data for event in events] == late
    with Reads(database) as reads:
        after = reads.run("r_one")
        assert before is not None and after == before._replace(updated_at=events[-1].ts)
    assert [event.seq for event in await journal.append(new, [CALLED])] == [4]


async def test_a_stream_that_was_given_back_takes_no_more_facts_of_its_driver(
    journal: StoredJournal, drive: Drive
) -> None:
    claim = await drive()
    await journal.release(claim)
    with pytest.raises(Fenced):
        await journal.append(claim, [CALLED])


async def test_a_bad_row_fails_alone_and_not_its_group(journal: StoredJournal, new_run: NewRun, me: Owner) -> None:
    names = [f"r_{number}" for number in range(60)]
    await journal.create([new_run(name) for name in names], "ann")
    claims = [await journal.claim(name, me) for name in names]
    failed: list[str] = []

    async def record(claim: Claim, tokens: int) -> None:
        try:
            await journal.append(claim, [CALLED, replied(tokens)])
        except (OverflowError, psycopg.DataError):
            failed.append(claim.stream_id)

    async with anyio.create_task_group() as group:
        for number, claim in enumerate(claims):
            assert claim is not None
            # No database has an integer for this.
            group.start_soon(record, claim, 2**70 if number % 20 == 7 else number)

    assert sorted(failed) == ["r_27", "r_47", "r_7"]
    lengths = {name: len(await journal.events(name)) for name in names}
    assert lengths == {name: 1 if name in failed else 3 for name in names}


async def test_a_callers_cancellation_waits_for_what_it_has_begun(journal: StoredJournal, drive: Drive) -> None:
    claim = await drive()
    known: list[Event] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        known += await journal.append(claim, [CALLED])
        await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert await journal.events("r_one", after=1) == known


async def test_an_answer_queues_a_waiting_run_again(journal: StoredJournal, drive: Drive, me: Owner) -> None:
    claim = await drive()
    await journal.append(claim, [ASKED, PARKED])
    await journal.release(claim)
    assert (await journal.claim("r_one", me), await journal.claimable(None, 5)) == (None, [])

    await journal.note("r_one", [ApprovalGiven(call_id="c1", decision="allow")], "ann")

    assert await journal.claimable(None, 5) == ["r_one"]
    assert await journal.claim("r_one", me) == Claim(stream_id="r_one", fence=2)


async def test_a_cancellation_reaches_a_waiting_run_and_one_that_is_about_to_wait(
    journal: StoredJournal, drive: Drive
) -> None:
    waiting, parking = await drive("r_1"), await drive("r_2")
    await journal.append(waiting, [ASKED, PARKED])
    await journal.note("r_1", [CancelAsked()], "ann")
    await journal.note("r_2", [CancelAsked()], "ann")
    await journal.append(parking, [ASKED, PARKED])
    await journal.release(waiting)
    await journal.release(parking)
    assert await journal.claimable(None, 5) == ["r_1", "r_2"]


async def test_an_answer_to_a_run_that_does_not_wait_is_refused(
    journal: StoredJournal, drive: Drive, database: Path
) -> None:
    claim = await drive()
    await journal.append(claim, [ASKED])
    with pytest.raises(Refused, match="does not wait for an answer"):
        await journal.note("r_one", [ApprovalGiven(call_id="c1", decision="deny")], "ann")
    with Reads(database) as reads:
        assert [row.status for row in reads.runs()] == ["running"]


async def test_an_ended_run_can_land_but_not_be_answered_or_cancelled(journal: StoredJournal, drive: Drive) -> None:
    claim = await drive()
    await journal.append(claim, [ENDED])
    for fact in (CancelAsked(), ApprovalGiven(call_id="c1", decision="allow")):
        with pytest.raises(Refused, match="r_one has already ended"):
            await journal.note("r_one", [fact], "ann")
    await journal.note("r_one", [Rejected(ref="refs/acp/rejected/1")], "ann")
    assert [event.data.type for event in await journal.events("r_one")] == ["run_started", "run_ended", "rejected"]


async def test_an_unknown_stream_is_named(journal: StoredJournal, me: Owner) -> None:
    with pytest.raises(Refused, match="there is no run, batch or loop r_x"):
        await journal.note("r_x", [CancelAsked()], "ann")
    with pytest.raises(Refused, match="there is no run, batch or loop r_x"):
        await journal.claim("r_x", me)
    with pytest.raises(Refused, match="there is no run, batch or loop r_x"):
        await journal.append(Claim(stream_id="r_x", fence=1), [ENDED])


async def test_two_event_loops_share_one_journal(journal: StoredJournal, new_run: NewRun, me: Owner) -> None:
    names = [f"r_{number}" for number in range(8)]
    await journal.create([new_run(name) for name in names], "ann")

    async def drive_all(mine: list[str]) -> None:
        async with anyio.create_task_group() as group:
            for name in mine:
                group.start_soon(drive_one, name)

    async def drive_one(name: str) -> None:
        claim = await journal.claim(name, me)
        assert claim is not None
        for _ in range(5):
            await journal.append(claim, [CALLED])

    other = threading.Thread(target=asyncio.run, args=(drive_all(names[4:]),))
    other.start()
    await drive_all(names[:4])
    await anyio.to_thread.run_sync(other.join)
    assert [len(await journal.events(name)) for name in names] == [6] * 8


async def test_what_was_submitted_before_the_close_is_committed_and_later_calls_are_told(
    database: Path, new_run: NewRun
) -> None:
    journal = StoredJournal(database)
    async with anyio.create_task_group() as group:
        for number in range(300):
            group.start_soon(journal.create, [new_run(f"r_{number}")], "ann")
        await anyio.lowlevel.checkpoint()
        await journal.aclose()
    await journal.aclose()
    with Reads(database) as reads:
        assert len(reads.runs(limit=1_000)) == 300
    with pytest.raises(AcpAgentError, match="is closed"):
        await journal.create([new_run("r_late")], "ann")
    with pytest.raises(AcpAgentError, match="is closed"):
        await journal.events("r_1")


@pytest.mark.parametrize(("point", "kept"), [("journal.before_commit", 0), ("journal.after_commit", 1)])
async def test_a_writer_that_dies_tells_every_caller(database: Path, new_run: NewRun, point: str, kept: int) -> None:
    def crash(passed: str) -> None:
        if passed == point:
            raise RuntimeError("boom")

    told: list[str] = []

    async def create(number: int) -> None:
        try:
            await journal.create([new_run(f"r_{number}")], "ann")
        except AcpAgentError as error:
            told.append(error.what)

    async with StoredJournal(database, crash=crash) as journal:
        async with anyio.create_task_group() as group:
            for number in range(400):
                group.start_soon(create, number)
        await create(400)
    assert told == [f"the journal {database_at(database).name} has failed: boom"] * 401
    with Reads(database) as reads:
        assert bool(reads.runs()) == bool(kept)


FAULTS = (
    # A writer's limit on the size of the file stands for a full disk, its promise to write nothing for a read-only one.
    ("PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1000000", "database or disk is full", "free some space"),
    ("PRAGMA query_only = ON", "PRAGMA query_only = OFF", "attempt to write a readonly database", "be written again"),
)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_database_that_cannot_be_written_is_named_and_the_journal_lives_on(
    journal: StoredJournal, drive: Drive, database: Path
) -> None:
    claim = await drive()
    for fault, mended, said, hint in FAULTS:
        journal._writer._connection.execute(fault)
        with pytest.raises(NotRecorded, match=f"cannot write: {said}") as caught:
            await journal.append(claim, [replied(text="x" * 3_000_000)])
        assert str(database) in caught.value.what
        assert (hint in str(caught.value.hint), caught.value.exit_code) == (True, ExitCode.WAITS)
        journal._writer._connection.execute(mended)
    assert [event.seq for event in await journal.append(claim, [CALLED])] == [2]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_database_that_another_program_has_locked_is_named_and_the_journal_lives_on(
    journal: StoredJournal, drive: Drive, database: Path
) -> None:
    claim = await drive()
    journal._writer._connection.execute("PRAGMA busy_timeout = 20")
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(NotRecorded, match="cannot write: database is locked") as caught:
            await journal.append(claim, [CALLED])
        assert "another program" in str(caught.value.hint)
        other.execute("ROLLBACK")
    assert [event.seq for event in await journal.append(claim, [CALLED])] == [2]


async def test_a_batch_has_a_stream_of_its_own(
    journal: StoredJournal, new_run: NewRun, me: Owner, database: Path
) -> None:
    started = BatchStarted(prompt="mend", projects=("b", "a"), options={"jobs": 4})
    batch = NewStream(stream_id="b_1", kind="batch", facts=(started,))
    runs = [new_run(f"r_{name}", batch_id="b_1", project=name) for name in ("b", "a")]
    await journal.create([batch, *runs, new_run("r_other")], "ann")
    claim = await journal.claim("b_1", me)
    assert claim is not None
    assert await journal.claim("b_1", me) is None
    assert await journal.claimable("b_1", 10) == ["r_b", "r_a"]

    await journal.append(claim, [BatchEnded(exit_code=4, reason="waiting")])
    await journal.release(claim)
    with Reads(database) as reads:
        row = reads.batch("b_1")
    assert row is not None and (row.status, row.exit_code, row.reason) == ("ended", 4, "waiting")
    assert row.ended_at is not None and (row.projects, row.options) == (("b", "a"), {"jobs": 4})

    # Its runs have not ended, so it may go on.
    again = await journal.claim("b_1", me)
    assert again is not None
    for name in ("r_a", "r_b"):
        await journal.note(name, [RunEnded(reason="cancelled")], "ann")
    await journal.append(again, [BatchEnded(exit_code=1, reason="failed")])
    await journal.release(again)
    assert await journal.claim("b_1", me) is None


async def test_an_event_of_a_newer_version_is_named(journal: StoredJournal, drive: Drive, database: Path) -> None:
    await drive()
    await journal.note("r_one", [CancelAsked()], "ann")
    journal._writer._connection.execute('UPDATE acp_event SET data = \'{"type": "teleported"}\' WHERE seq = 2')
    with pytest.raises(AcpAgentError, match="event 2 of r_one cannot be read"):
        await journal.events("r_one")


async def test_of_streams_that_are_read_together_each_is_told_its_own(journal: StoredJournal, new_run: NewRun) -> None:
    names = [f"r_{number}" for number in range(150)]
    await journal.create([new_run(name, prompt=name) for name in names], "ann")
    journal._writer._connection.execute("UPDATE acp_event SET data = '{}' WHERE stream_id = 'r_7'")
    told: dict[str, list[Event] | AcpAgentError] = {}

    async def ask(name: str) -> None:
        try:
            told[name] = await journal.events(name)
        except AcpAgentError as error:
            told[name] = error

    async with anyio.create_task_group() as group:
        for name in [*names, "r_none"]:
            group.start_soon(ask, name)
    assert isinstance(failed := told.pop("r_7"), AcpAgentError) and "event 1 of r_7" in failed.what
    assert told.pop("r_none") == []
    prompts = {name: [e.data.request.prompt for e in those] for name, those in told.items()}  # type: ignore[union-attr]
    assert prompts == {name: [name] for name in names if name != "r_7"}


async def test_a_lost_call_without_a_price_makes_the_cost_a_lower_bound(
    journal: StoredJournal, drive: Drive, database: Path
) -> None:
    claim = await drive()
    failed = ModelFailed(call_id="m1", model="openai/small", fault=ModelFault.LOST, message="gone", cost=None)
    await journal.append(claim, [CALLED, failed, ToolStarted(call_id="c1", tool="shell", risk=Risk.LOCAL), replied()])
    state = fold(await journal.events("r_one"))
    with Reads(database) as reads:
        row = reads.run("r_one")
    assert row is not None
    assert (row.cost, row.cost_known, row.tool_calls) == (0.25, False, 1)
    assert (state.spent.cost, state.spent.cost_known, state.spent.tool_calls) == (0.25, False, 1)
