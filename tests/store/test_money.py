"""Budgets hold: whatever is reserved, settled and refused at the same time, nothing is ever overshot."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acp_agent.domain.budget import Cap, Reservation, Settlement
from acp_agent.domain.errors import Fenced, OverBudget
from acp_agent.domain.events import ModelCalled
from acp_agent.domain.ports import Claim, NewStream, Owner
from acp_agent.store.journal import StoredJournal
from acp_agent.store.owner import owner_of_this_process
from acp_agent.store.reads import BudgetRow, Reads

NewRun = Callable[..., NewStream]
Drive = Callable[..., Awaitable[Claim]]
CALLED = ModelCalled(call_id="m1", model="openai/small")


def budgets_in(database: Path) -> list[BudgetRow]:
    with Reads(database) as reads:
        return reads.budgets()


@pytest.mark.anyio
async def test_money_is_set_aside_and_then_booked(journal: StoredJournal, drive: Drive, database: Path) -> None:
    claim = await drive(caps=[Cap(scope="run:r_one", cap=1.0)])
    day = Reservation(scope="day", amount=0.5)
    await journal.append(claim, [CALLED], reserve=[Reservation(scope="run:r_one", amount=0.5), day])
    assert budgets_in(database) == [BudgetRow("day", None, 0.5, 0.0), BudgetRow("run:r_one", 1.0, 0.5, 0.0)]

    booked = [Settlement(scope=scope, reserved=0.5, spent=0.25) for scope in ("run:r_one", "day", "month")]
    await journal.append(claim, [CALLED], settle=booked)
    assert budgets_in(database) == [
        BudgetRow("day", None, 0.0, 0.25),
        BudgetRow("month", None, 0.0, 0.25),
        BudgetRow("run:r_one", 1.0, 0.0, 0.25),
    ]


@pytest.mark.anyio
async def test_what_is_given_back_in_another_order_leaves_nothing_set_aside(
    journal: StoredJournal, drive: Drive, database: Path
) -> None:
    claim = await drive(caps=[Cap(scope="batch:b", cap=1.0)])
    for amount in (0.1, 0.2, 0.3):
        await journal.append(claim, [CALLED], reserve=[Reservation(scope="batch:b", amount=amount)])
    for amount in (0.1, 0.2, 0.3):
        await journal.append(claim, [CALLED], settle=[Settlement(scope="batch:b", reserved=amount, spent=0.0)])
    # 0.1 + 0.2 + 0.3 - 0.1 - 0.2 - 0.3 is 1.1e-16: others would wait for somebody to give that back.
    assert [budget.reserved for budget in budgets_in(database) if budget.scope == "batch:b"] == [0.0]


@pytest.mark.anyio
async def test_a_refused_reservation_writes_nothing_at_all(
    journal: StoredJournal, drive: Drive, database: Path
) -> None:
    claim = await drive(caps=[Cap(scope="batch:b", cap=1.0), Cap(scope="run:r_one", cap=0.5)])
    with pytest.raises(OverBudget) as caught:
        await journal.append(
            claim,
            [CALLED],
            reserve=[Reservation(scope="batch:b", amount=0.75), Reservation(scope="run:r_one", amount=0.75)],
            settle=[Settlement(scope="day", reserved=0.0, spent=9.0)],
        )
    assert caught.value.scope == "run:r_one"
    assert budgets_in(database) == [BudgetRow("batch:b", 1.0, 0.0, 0.0), BudgetRow("run:r_one", 0.5, 0.0, 0.0)]
    assert [event.seq for event in await journal.append(claim, [CALLED])] == [2]


@pytest.mark.anyio
async def test_the_price_of_the_last_call_stays_free_beside_a_reservation(journal: StoredJournal, drive: Drive) -> None:
    claim = await drive(caps=[Cap(scope="run:r_one", cap=1.0)])
    with pytest.raises(OverBudget):
        await journal.append(claim, [CALLED], reserve=[Reservation(scope="run:r_one", amount=0.8, aside=0.3)])
    # Ten tenths are a whole, whatever binary fractions say.
    for _ in range(7):
        await journal.append(claim, [CALLED], reserve=[Reservation(scope="run:r_one", amount=0.1, aside=0.3)])
    await journal.append(claim, [CALLED], reserve=[Reservation(scope="run:r_one", amount=0.3)])
    with pytest.raises(OverBudget):
        await journal.append(claim, [CALLED], reserve=[Reservation(scope="run:r_one", amount=0.001)])


@pytest.mark.anyio
async def test_a_driver_that_lost_its_run_moves_no_money(journal: StoredJournal, drive: Drive, database: Path) -> None:
    claim = await drive()
    await journal.release(claim)
    with pytest.raises(Fenced):
        await journal.append(claim, [CALLED], reserve=[Reservation(scope="day", amount=0.5)])
    assert budgets_in(database) == []


@pytest.mark.anyio
async def test_opening_a_budget_again_changes_its_cap_and_keeps_what_was_spent(
    journal: StoredJournal, drive: Drive, new_run: NewRun, database: Path
) -> None:
    claim = await drive(caps=[Cap(scope="day", cap=1.0)])
    await journal.append(claim, [CALLED], settle=[Settlement(scope="day", reserved=0.0, spent=0.75)])
    await journal.create([new_run("r_two", caps=[Cap(scope="day", cap=2.0)])], "ann")
    assert budgets_in(database) == [BudgetRow("day", 2.0, 0.0, 0.75)]


# Sixteenths, which are exact in binary, so that the reckoning below is exact too.
amounts = st.lists(st.integers(0, 16), min_size=64, max_size=64)


@given(amounts=amounts, spent_part=st.integers(0, 4), cap=st.integers(0, 400))
@settings(max_examples=6, deadline=None)
def test_64_parallel_calls_never_overshoot(
    tmp_path_factory: pytest.TempPathFactory, new_run: NewRun, amounts: list[int], spent_part: int, cap: int
) -> None:
    database = tmp_path_factory.mktemp("money") / "acp.db"
    granted: list[float] = []
    refused: list[float] = []

    async def call(journal: StoredJournal, owner: Owner, run_id: str, amount: float) -> None:
        claim = await journal.claim(run_id, owner)
        assert claim is not None
        try:
            await journal.append(claim, [CALLED], reserve=[Reservation(scope="batch:b", amount=amount)])
        except OverBudget:
            refused.append(amount)
            return
        spent = amount * spent_part / 4
        granted.append(spent)
        await journal.append(claim, [CALLED], settle=[Settlement(scope="batch:b", reserved=amount, spent=spent)])
        # At every moment, not only at the end.
        seen.extend(budgets_in(database))

    async def main() -> None:
        async with StoredJournal(database) as journal, anyio.create_task_group() as group:
            runs = [new_run(f"r_{number}") for number in range(len(amounts))]
            runs[0] = runs[0]._replace(caps=(Cap(scope="batch:b", cap=cap / 16),))
            await journal.create(runs, "ann")
            owner = owner_of_this_process()
            for number, amount in enumerate(amounts):
                group.start_soon(call, journal, owner, f"r_{number}", amount / 16)

    seen: list[BudgetRow] = []
    anyio.run(main)
    assert max((row.spent + row.reserved for row in seen), default=0.0) <= cap / 16
    assert budgets_in(database) == [BudgetRow("batch:b", cap / 16, 0.0, sum(granted))]
    assert len(granted) + len(refused) == len(amounts)
    if sum(amounts) <= cap:
        assert refused == []
