"""The clock jumps by two days either way: a run has one owner before and after."""

from pathlib import Path

import pytest

from acp_agent.domain.errors import Fenced
from acp_agent.domain.events import ModelCalled
from acp_agent.domain.ports import Owner
from acp_agent.store.journal import StoredJournal
from tests.store.conftest import NewRun
from tests.store.test_leases import ELSEWHERE, Clock

DAYS = 2 * 86_400
CALLED = ModelCalled(call_id="m_1", model="openai/small")


@pytest.mark.parametrize("jump", [DAYS, -DAYS])
async def test_a_jump_of_the_clock_makes_no_second_owner(
    tmp_path: Path, new_run: NewRun, me: Owner, jump: float
) -> None:
    clock = Clock()
    clock.now += 10 * DAYS
    async with StoredJournal(tmp_path / "acp.db", clock=clock) as journal:
        await journal.create([new_run()], "ann")
        first = await journal.claim("r_one", ELSEWHERE)
        assert first is not None
        clock.now += jump
        second = await journal.claim("r_one", me)
        # Forward its lease has run out, and whoever was late is refused; back it holds, and nobody else gets in.
        assert (second is not None) == (jump > 0)
        for claim in (first, second):
            if claim is None:
                continue
            if claim is first and second is not None:
                with pytest.raises(Fenced):
                    await journal.append(claim, [CALLED])
            else:
                await journal.append(claim, [CALLED])
        (pulse,) = await journal.renew([second or first])
        assert not pulse.lost
        # The first write after the jump has put the lease right: it runs out when the owner is silent.
        clock.now += 11
        assert await journal.claim("r_one", me) is not None
