"""When a schedule that workers serve has a slot to run."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from acp_agent.domain.errors import UsageError
from acp_agent.domain.events import Event, Fact
from acp_agent.domain.events_loop import ScheduleGiven, ScheduleStarted, ScheduleWithdrawn, SlotEnded, SlotTaken
from acp_agent.domain.schedule import ScheduleState, fold_schedule
from acp_agent.loops.schedules import due, following, own_zone, zone_of

BERLIN = ZoneInfo("Europe/Berlin")
DAY = 86_400.0


def at(text: str) -> float:
    """Unix time of a moment in Berlin."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


NIGHTLY = ScheduleGiven(when="daily 02:00", queue="any", zone="Europe/Berlin")
SINCE = at("2026-11-27 12:00")
SLOT = at("2026-11-28 02:00")


def schedule(*facts: Fact, given: ScheduleGiven = NIGHTLY) -> ScheduleState:
    """A schedule that was given on the 27th at noon, and what happened to it since."""
    told = [ScheduleStarted(name="up", place="/p"), given, *facts]
    return fold_schedule(
        Event(stream_id="t_1", seq=seq, ts=SINCE, data=fact, actor="ann") for seq, fact in enumerate(told, 1)
    )


def test_it_is_the_last_one_that_has_come_since_it_was_given_and_that_nobody_took() -> None:
    state = schedule()
    assert due(state, at("2026-11-27 13:00")) is None
    assert due(state, SLOT - 1) is None
    assert due(state, SLOT) == SLOT
    # One run makes up for all that were missed.
    assert due(state, SLOT + 9 * DAY + 60) == SLOT + 9 * DAY
    assert due(schedule(SlotTaken(slot=SLOT, when="")), SLOT + 60) is None


def test_a_clock_that_jumps_two_days_makes_one_run_and_none_on_its_way_back() -> None:
    ahead = due(schedule(), SLOT + 2 * DAY)
    assert ahead == SLOT + 2 * DAY
    over = schedule(SlotTaken(slot=ahead, worker=True), SlotEnded(slot=ahead))
    assert [due(over, SLOT + days * DAY + 60) for days in (2, 1, 0, -1)] == [None] * 4
    assert due(over, SLOT + 3 * DAY) == SLOT + 3 * DAY


def test_one_that_a_worker_left_open_comes_first_and_that_of_a_timer_is_never_gone_on_with() -> None:
    taken = SlotTaken(slot=SLOT, worker=True)
    assert due(schedule(taken), SLOT + 5 * DAY) == SLOT
    assert due(schedule(taken, SlotEnded(slot=SLOT, why="ended")), SLOT + 60) is None
    assert due(schedule(SlotTaken(slot=SLOT)), SLOT + 60) is None
    assert due(schedule(taken, ScheduleWithdrawn()), SLOT + 60) == SLOT


def test_one_that_was_withdrawn_or_given_anew_has_no_slots_of_before() -> None:
    assert due(schedule(ScheduleWithdrawn()), SLOT) is None
    later = schedule(ScheduleWithdrawn(), NIGHTLY)
    assert (due(later, SLOT - 1), due(later, SLOT)) == (None, SLOT)


def test_the_zone_is_that_of_the_schedule_wherever_the_worker_runs() -> None:
    tokyo = schedule(given=NIGHTLY.model_copy(update={"zone": "Asia/Tokyo"}))
    assert due(tokyo, SLOT) == at("2026-11-27 18:00")
    found = following(NIGHTLY, at("2026-03-28 12:00"))
    assert found is not None and found.isoformat() == "2026-03-29T03:00:00+02:00"


def test_a_zone_that_is_not_known_is_named_with_a_hint() -> None:
    for name in ("Mars/Base", "../etc/passwd", ""):
        with pytest.raises(UsageError, match="there is no time zone"):
            zone_of(name)
    with pytest.raises(UsageError, match="no time zone 'CET-1CEST"):
        own_zone({"TZ": "CET-1CEST,M3.5.0"})
    assert own_zone({"TZ": ":Asia/Tokyo"}) == "Asia/Tokyo"
    assert own_zone({})
