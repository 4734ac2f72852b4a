"""A hold in the record: intents are refused, results are kept, nothing is claimed."""

from typing import Any

import pytest

from acp_agent.domain.errors import Held, NothingSelected
from acp_agent.domain.events import ModelCalled, ModelReplied
from acp_agent.domain.message import AssistantMessage, Reply
from acp_agent.domain.ports import Owner
from acp_agent.runs.holding import lift_hold, set_hold
from acp_agent.store.journal import StoredJournal
from tests.store.conftest import NewRun

CALLED = ModelCalled(call_id="m_1", model="openai/small")
REPLIED = ModelReplied(
    call_id="m_1", reply=Reply(message=AssistantMessage(text="yes"), stop="end_turn", model="openai/small")
)


async def test_results_are_recorded_under_a_hold_and_intents_are_not(journal: StoredJournal, drive: Any) -> None:
    claim = await drive()
    await journal.append(claim, [CALLED])
    held = await set_hold(journal, "ann", now=False, note="")
    assert await journal.hold() == held
    with pytest.raises(Held):
        await journal.append(claim, [CALLED])
    await journal.append(claim, [REPLIED])
    await lift_hold(journal, "ann")
    await journal.append(claim, [CALLED])
    kinds = [event.data.type for event in await journal.events("r_one")]
    assert kinds == ["run_started", "model_called", "model_replied", "model_called"]


async def test_nothing_is_opened_or_claimed_under_a_hold(journal: StoredJournal, new_run: NewRun, me: Owner) -> None:
    await journal.create([new_run("r_before")], "ann")
    await set_hold(journal, "ann", now=False, note="")
    assert await journal.claim("r_before", me) is None
    assert await journal.claimable(None, 10) == []
    with pytest.raises(Held):
        await journal.create([new_run("r_after")], "ann")
    await lift_hold(journal, "bob")
    assert await journal.claimable(None, 10) == ["r_before"]


async def test_the_first_hold_names_who_and_since_and_now_adds_up(journal: StoredJournal) -> None:
    first = await set_hold(journal, "ann", now=False, note="why")
    second = await set_hold(journal, "bob", now=True, note="")
    assert second == first._replace(now=True)
    await lift_hold(journal, "bob")
    with pytest.raises(NothingSelected):
        await lift_hold(journal, "bob")
