"""What many callers write at once is what they would have written one after the other."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import anyio
import pytest

from acp_agent.domain.budget import Cap, Reservation, Settlement
from acp_agent.domain.errors import Fenced, OverBudget, Refused
from acp_agent.domain.events import (
    Fact,
    LateResult,
    ModelCalled,
    ModelReplied,
    Parked,
    Resumed,
    RunEnded,
    ToolFinished,
    ToolStarted,
)
from acp_agent.domain.location import Location
from acp_agent.domain.message import AssistantMessage, Reply, Usage
from acp_agent.domain.ports import Claim, NewStream, Owner
from acp_agent.domain.tool import Intent, Risk, ToolResult
from acp_agent.store.audit import verify_database
from acp_agent.store.journal import StoredJournal
from acp_agent.store.reads import Reads

pytestmark = pytest.mark.anyio
NewRun = Callable[..., NewStream]

REPLY = Reply(
    message=AssistantMessage(text="so"), stop="end_turn", model="m", usage=Usage(input_tokens=7, output_tokens=2)
)
STORY: tuple[Sequence[Fact], ...] = (
    [ModelCalled(call_id="m1", model="openai/big")],
    [ModelReplied(call_id="m1", reply=REPLY, cost=0.25)],
    [ToolStarted(call_id="c1", tool="shell", risk=Risk.READ, intent=Intent(title="ls"))],
    [ToolFinished(call_id="c1", tool="shell", result=ToolResult(status="ok", output="a"))],
)
ENDS: tuple[Sequence[Fact], ...] = (
    [Parked(waiting="budget", detail="no money")],
    [RunEnded(reason="end_turn", message="done")],
    [Resumed(fence=1)],
)


class Gate:
    """Keeps a commit waiting until it is opened, so that what is written meanwhile becomes one group."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self.commits = 0

    def __call__(self, point: str) -> None:
        if point == "journal.before_commit":
            self.commits += 1
            self._open.wait()

    async def together(self, journal: StoredJournal, *calls: Callable[[], Any]) -> list[Any]:
        """What came of `calls`, which begin in this order and are written in one group."""
        outcomes: list[Any] = [None] * len(calls)

        async def call(number: int) -> None:
            try:
                outcomes[number] = await calls[number]()
            except (Fenced, OverBudget, Refused) as error:
                outcomes[number] = type(error)

        self._open.clear()
        before = self.commits
        async with anyio.create_task_group() as group:
            group.start_soon(journal.renew, [])
            while self.commits == before:
                await anyio.sleep(0)
            for number in range(len(calls)):
                group.start_soon(call, number)
            await anyio.wait_all_tasks_blocked()
            self._open.set()
        assert self.commits == before + 2
        return outcomes


async def test_a_group_leaves_the_record_that_its_writes_would_leave_one_by_one(
    database: Location, new_run: NewRun, me: Owner
) -> None:
    gate, ids = Gate(), [f"r_{number:02}" for number in range(12)]
    alone = {run_id: f"x{run_id[1:]}" for run_id in ids}
    async with StoredJournal(database, crash=gate, clock=lambda: 1_000.0) as journal:
        claims: dict[str, Claim] = {}
        for run_id in [*ids, *alone.values()]:
            await journal.create([new_run(run_id)], "ann")
            claim = await journal.claim(run_id, me)
            assert claim is not None
            claims[run_id] = claim
        for step, facts in enumerate([*STORY, *STORY]):
            writes = [partial(journal.append, claims[run_id], facts) for run_id in ids[step:]]
            # Two of one run, and one that ends it or lets it wait.
            end = partial(journal.append, claims[ids[step]], ENDS[step % 3])
            told = await gate.together(journal, *writes, end)
            assert [event.data for events in told for event in events] == [*facts * len(writes), *ENDS[step % 3]]
            for run_id in ids[step:]:
                await journal.append(claims[alone[run_id]], facts)
            await journal.append(claims[alone[ids[step]]], ENDS[step % 3])
        for one, other in alone.items():
            told, expected = await journal.events(one), await journal.events(other)
            assert [(event.seq, event.data) for event in told] == [(event.seq, event.data) for event in expected]
    with Reads(database) as reads:
        for one, other in alone.items():
            run = reads.run(one)
            assert run is not None
            assert run._replace(id=other) == reads.run(other)
    assert verify_database(database).broken is None


async def test_those_who_lost_their_runs_or_have_no_money_left_fail_alone_in_a_group(
    database: Location, new_run: NewRun, me: Owner
) -> None:
    gate = Gate()
    async with StoredJournal(database, crash=gate) as journal:
        ids = [f"r_{number}" for number in range(6)]
        caps = [Cap(scope="day", cap=1.0)]
        await journal.create([new_run(run_id, caps=caps) for run_id in ids], "ann")
        claims = [claim for run_id in ids if (claim := await journal.claim(run_id, me))]
        lost = claims[0]
        await journal.release(lost)
        assert await journal.claim("r_0", me) is not None
        over = claims[1]
        called, replied, started, finished = STORY
        money = [Reservation(scope="day", amount=0.6)]
        writes = [
            partial(journal.append, lost, started),
            partial(journal.append, over, ENDS[1]),
            partial(journal.append, over, started),
            partial(journal.append, claims[2], called, reserve=money),
            partial(journal.append, claims[3], called, reserve=money),
            partial(journal.append, claims[4], replied, settle=[Settlement(scope="day", reserved=0.0, spent=0.25)]),
            partial(journal.append, claims[5], finished),
        ]
        outcomes = await gate.together(journal, *writes)
        assert [outcome for outcome in outcomes if isinstance(outcome, type)] == [Fenced, Fenced, OverBudget]
        kinds = [[event.data.type for event in await journal.events(run_id)][1:] for run_id in ids]
        assert kinds == [
            ["late_result"],
            ["run_ended", "late_result"],
            ["model_called"],
            [],
            ["model_replied"],
            ["tool_finished"],
        ]
        late = (await journal.events("r_1"))[-1].data
        assert isinstance(late, LateResult) and late.fact["type"] == "tool_started"
    with Reads(database) as reads:
        assert [(budget.scope, budget.reserved, budget.spent) for budget in reads.budgets()] == [("day", 0.6, 0.25)]
    assert verify_database(database).broken is None


async def test_streams_are_opened_in_bulk_with_those_before_them_in_their_group(
    database: Location, new_run: NewRun, me: Owner
) -> None:
    gate = Gate()
    async with StoredJournal(database, crash=gate) as journal:
        many = [new_run(f"r_{number:04}", caps=[Cap(scope=f"run:{number}", cap=2.0)]) for number in range(1_100)]
        await gate.together(
            journal, partial(journal.create, many, "ann"), partial(journal.create, [new_run("r_other")], "ann")
        )
        assert len(await journal.claimable(None, 2_000)) == 1_101
    with Reads(database) as reads:
        run = reads.run("r_1099")
        assert run is not None and (run.status, run.last_text) == ("queued", "queued")
        assert len(reads.budgets()) == 1_100


async def test_those_who_queue_at_once_cannot_pass_the_cap_together(database: Location, new_run: NewRun) -> None:
    gate = Gate()
    async with StoredJournal(database, crash=gate) as journal:
        queued = [
            partial(journal.create, [new_run(f"r_{number}_{each}") for each in range(3)], "ann", 10)
            for number in range(5)
        ]
        assert await gate.together(journal, *queued) == [None, None, None, Refused, Refused]
        assert len(await journal.claimable(None, 20)) == 9
