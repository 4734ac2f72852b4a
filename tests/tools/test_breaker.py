"""The circuit breaker as a state machine: whatever happens in whatever order, it opens, rests, and comes back."""

from hypothesis import given, settings
from hypothesis import strategies as st

from acp_agent.tools.breaker import LONGEST_REST, REST, THRESHOLD, Circuit

STEPS = st.lists(st.tuples(st.sampled_from(["ok", "fail", "cancel"]), st.floats(0, 2 * LONGEST_REST)), max_size=60)


@settings(deadline=None)
@given(STEPS)
def test_calls_one_by_one_keep_its_promises(steps: list[tuple[str, float]]) -> None:
    circuit, now, in_a_row, opened_at, rest = Circuit(), 0.0, 0, None, 0.0
    for outcome, pause in steps:
        now += pause
        if opened_at is not None:
            # It rests for exactly as long as it said, and then lets one call in.
            assert circuit.admits(now) == (now >= opened_at + rest)
        else:
            assert circuit.admits(now)
            assert in_a_row < THRESHOLD
        if not circuit.admits(now):
            continue
        trying = circuit.begun(now)
        if opened_at is not None:
            assert not trying.admits(now), "only one call tries a half-open circuit"
        if outcome == "ok":
            circuit, in_a_row, opened_at = trying.succeeded(), 0, None
        elif outcome == "cancel":
            circuit = trying.released()
        else:
            circuit, in_a_row = trying.failed(now), in_a_row + 1
            if opened_at is not None or in_a_row >= THRESHOLD:
                # The first rest is short, each further one twice as long, and none is endless.
                rest = min(REST if opened_at is None else 2 * rest, LONGEST_REST)
                opened_at = now
                assert circuit.phase(now) == "open"


KINDS = st.sampled_from(["begin", "ok", "fail", "cancel"])
EVENTS = st.lists(st.tuples(KINDS, st.floats(0, LONGEST_REST)), max_size=80)


@settings(deadline=None)
@given(EVENTS)
def test_calls_that_overlap_never_leave_it_shut_for_good(events: list[tuple[str, float]]) -> None:
    circuit, now, under_way = Circuit(), 0.0, 0
    for event, pause in events:
        now += pause
        if event == "begin" and circuit.admits(now):
            circuit, under_way = circuit.begun(now), under_way + 1
        elif event != "begin" and under_way:
            under_way -= 1
            after = {"ok": circuit.succeeded(), "fail": circuit.failed(now), "cancel": circuit.released()}
            circuit = after[event]
        assert circuit.until is None or circuit.until <= now + LONGEST_REST
    while under_way:
        circuit, under_way = circuit.released(), under_way - 1
    assert circuit.admits(now + LONGEST_REST)
