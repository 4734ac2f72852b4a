"""The decision and the fold, by themselves: any history ends, counts right, stays small and can be read again."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acp_agent.domain.budget import Limits
from acp_agent.domain.errors import ModelFault
from acp_agent.domain.events import Event, Fact, GateFinished
from acp_agent.domain.events_loop import (
    DoneChecked,
    IterationAccepted,
    IterationCaptured,
    IterationPlanned,
    IterationPrepared,
    IterationRan,
    IterationRejected,
    IterationSalvaged,
    IterationStarted,
    LoopAgent,
    LoopEnded,
    LoopParked,
    LoopStarted,
    MetricMeasured,
    Rotated,
    StagnationMet,
)
from acp_agent.domain.loop import KEPT, LoopState, Measured, apply_loop, fold_loop, is_better, is_not_worse
from acp_agent.domain.loop_spec import DoneWhen, LoopSpec, Metric, Rotation
from acp_agent.domain.request import Gate, Workplace
from acp_agent.loops import steps
from acp_agent.loops.decide import DAY, Moment, next_step
from acp_agent.loops.handover import MAX_BYTES, handover, prompt_for
from acp_agent.loops.ratchet import fingerprint, last_number, measured

PLACE = Workplace(kind="worktree", root="/r", worktree="/w", branch="b", base="base")
NOON = Moment(now=1_000_000.0, elapsed=0.0, second=12 * 3600)
AGENT = LoopAgent(models=("a/b",), limits=Limits(), context_window=1000)


def spec(**changes: object) -> LoopSpec:
    return LoopSpec.model_validate({"name": "up", "goal": "More", "max_iter": 8, **changes})


def started(rules: LoopSpec) -> LoopState:
    fact = LoopStarted(name="up", place="/p", project="app", spec=rules, agent=AGENT, work=PLACE, judge=PLACE)
    return add(LoopState(), fact)


def add(state: LoopState, *facts: Fact) -> LoopState:
    return fold_loop(
        (
            Event(stream_id="l_1", seq=state.seq + number, ts=1_000.0 + state.seq + number, data=fact)
            for number, fact in enumerate(facts, 1)
        ),
        state,
    )


class Lot:
    """What chance decides of a simulated loop."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def one_of(self, *choices: object) -> object:
        return self._data.draw(st.sampled_from(choices))


def facts_of(state: LoopState, step: steps.Step, lot: Lot) -> list[Fact]:
    """What a driver would record for a step."""
    match step:
        case steps.Plan(iteration, attempt):
            return [IterationPlanned(iteration=iteration, attempt=attempt)]
        case steps.Prepare():
            return [IterationPrepared(iteration=state.iteration, base=state.base)]
        case steps.Start():
            return [IterationStarted(iteration=state.iteration, attempt=state.attempt, run_id=f"r_{state.attempts}")]
        case steps.Work():
            return [_ran(state, lot)]
        case steps.Salvage(why, pause):
            until = None if pause is None else 0.0
            return [IterationSalvaged(iteration=state.iteration, attempt=state.attempt, why=why, until=until)]
        case steps.Capture():
            tree = lot.one_of(None, f"t{state.iteration}", "t0")
            commit = f"c{state.iteration}" if tree else None
            why = lot.one_of(None, None, None, "scope") if tree else None
            return [IterationCaptured(iteration=state.iteration, commit=commit, tree=tree, why=why)]
        case steps.Verify(gate):
            return [
                GateFinished(
                    gate=gate.name, passed=bool(lot.one_of(True, True, False)), exit_status=1, seconds=0.1, output="x"
                )
            ]
        case steps.Measure(metric, iteration):
            return [MetricMeasured(iteration=iteration, metric=metric.name, value=lot.one_of(None, 1.0, 2.0, 3.0))]
        case _:
            return _ruled(state, step, lot)


def _ran(state: LoopState, lot: Lot) -> IterationRan:
    reason, fault = lot.one_of(
        ("end_turn", None),
        ("end_turn", None),
        ("max_steps", None),
        ("interrupted", None),
        ("error", None),
        ("error", ModelFault.RATE_LIMIT),
        ("error", ModelFault.CONTEXT_LENGTH),
    )
    return IterationRan(
        iteration=state.iteration, run_id=state.run_id or "", reason=reason, fault=fault, cost=0.5, tokens_in=100
    )


def _ruled(state: LoopState, step: steps.Step, lot: Lot) -> list[Fact]:
    match step:
        case steps.CheckDone():
            return [DoneChecked(commit=state.base, met=lot.one_of(False, False, False, True))]
        case steps.Accept():
            return [IterationAccepted(iteration=state.iteration, commit=f"k{state.iteration}", subject="s" * 200)]
        case steps.Reject(why, detail, mark):
            return [IterationRejected(iteration=state.iteration, why=why, detail=detail or "d" * 500, fingerprint=mark)]
        case steps.Rotate(why):
            text = handover(state, state.spec, 0.0)
            return [Rotated(rotation=state.rotation + 1, session_id=f"s_{state.rotation}", handover=text, why=why)]
        case steps.Stagnate(word, why):
            return [StagnationMet(step=word, why=why)]
        case steps.Park(waiting, detail):
            return [LoopParked(waiting=waiting, detail=detail)]
        case steps.End(reason, message):
            return [LoopEnded(reason=reason, message=message)]
        case _:
            raise AssertionError(step)


def history(rules: LoopSpec, lot: Lot, most: int = 4_000) -> Iterator[tuple[LoopState, Event]]:
    state = started(rules)
    for number in range(most):
        moment = Moment(now=NOON.now, elapsed=0.0, second=NOON.second, mine=True)
        step = next_step(state, moment)
        if isinstance(step, steps.Leave):
            return
        for fact in facts_of(state, step, lot):
            event = Event(stream_id="l_1", seq=state.seq + 1, ts=2_000.0 + number, data=fact)
            state = apply_loop(state, event)
            yield state, event
    raise AssertionError("it does not end")


RULES = st.builds(
    spec,
    max_iter=st.integers(1, 30),
    patience=st.integers(1, 6),
    same_failure=st.integers(2, 5),
    flat=st.none() | st.integers(1, 6),
    max_cost=st.none() | st.floats(0.1, 10.0),
    rotate=st.builds(Rotation, iterations=st.integers(1, 5)) | st.builds(Rotation, tokens=st.integers(50, 500)),
    gates=st.just(()) | st.just((Gate(name="g", run="true"),)),
    metrics=st.just(()) | st.just((Metric(name="m", run="x"),)),
    done_when=st.none() | st.just(DoneWhen(run="true")),
    stagnate=st.sampled_from([("stop",), ("rotate", "stop"), ("rotate", "rotate"), ("escalate:x",)]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(rules=RULES, data=st.data())
def test_every_history_ends_and_its_counters_are_what_its_facts_add_up_to(rules: LoopSpec, data: st.DataObject) -> None:
    steps_seen = list(history(rules, Lot(data)))
    facts = [event.data for _, event in steps_seen]
    last = steps_seen[-1][0]
    decided = [fact.iteration for fact in facts if isinstance(fact, IterationAccepted | IterationRejected)]
    assert decided == list(range(1, len(decided) + 1)), "an iteration was counted twice or not at all"
    assert last.iterations == last.accepted + last.rejected == len(decided) <= rules.max_iter
    assert last.cost == pytest.approx(sum(fact.cost for fact in facts if isinstance(fact, IterationRan)))
    assert last.attempts == sum(isinstance(fact, IterationPlanned) for fact in facts)
    assert last.salvaged == last.attempts - len(decided) - (last.phase != "idle" and not last.ended)
    heads = [fact.commit for fact in facts if isinstance(fact, IterationAccepted)]
    assert last.base == (heads[-1] if heads else "base")
    assert len(last.kept) <= KEPT and len(last.refused) <= KEPT
    assert all(len(fact.handover.encode()) <= MAX_BYTES for fact in facts if isinstance(fact, Rotated))


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(rules=RULES, data=st.data())
def test_a_state_is_read_again_from_its_facts_also_when_they_come_twice(rules: LoopSpec, data: st.DataObject) -> None:
    steps_seen = list(history(rules, Lot(data)))
    events = [event for _, event in steps_seen]
    again = fold_loop([*events[: len(events) // 2], *events], started(rules))
    assert again == steps_seen[-1][0]


def test_a_kill_between_any_two_facts_goes_on_with_the_same_iteration() -> None:
    rules = spec(gates=(Gate(name="g", run="true"),))
    state = add(started(rules), Rotated(rotation=1, session_id="s"), IterationPlanned(iteration=1))
    theirs = Moment(now=1.0, elapsed=0.0, second=0, mine=False)
    assert next_step(state, theirs) == steps.Prepare()
    state = add(state, IterationPrepared(iteration=1, base="base"))
    assert next_step(state, theirs) == steps.Start()
    state = add(state, IterationStarted(iteration=1, attempt=1, run_id="r_1"))
    assert next_step(state, theirs) == steps.Work()
    lost = add(state, IterationRan(iteration=1, run_id="r_1", reason="interrupted", cost=0.25))
    assert next_step(lost, theirs) == steps.Salvage("interrupted")
    again = add(lost, IterationSalvaged(iteration=1, attempt=1, why="interrupted", ref="refs/acp/salvage/l_1/1"))
    assert next_step(again, theirs) == steps.Plan(1, 2)
    assert (again.iterations, again.cost, again.salvaged) == (0, 0.25, 1)
    assert "cut off" in prompt_for(add(again, IterationPlanned(iteration=1, attempt=2)), rules)


@pytest.mark.parametrize(
    ("rules", "step"),
    [
        ({"max_iter": 1}, steps.End),
        ({"max_cost": 0.5}, steps.End),
        ({"max_tokens": 100}, steps.End),
        ({"max_time": 60.0}, steps.End),
        ({"patience": 1}, steps.End),
        ({"patience": 1, "stagnate": ("rotate",)}, steps.Stagnate),
        ({"quiet": (11 * 60, 13 * 60)}, steps.Wait),
        ({"quiet": (22 * 60, 6 * 60)}, steps.Plan),
        ({"rotate": {"share": 0.1}}, steps.Rotate),
        ({}, steps.Plan),
    ],
)
def test_each_rule_stops_or_turns_a_loop(rules: dict[str, object], step: type) -> None:
    state = add(
        started(spec(**rules)),
        Rotated(rotation=1, session_id="s"),
        IterationPlanned(iteration=1),
        IterationRan(iteration=1, run_id="r", reason="end_turn", cost=0.5, tokens_in=100, context_tokens=100),
        IterationRejected(iteration=1, why="gate", detail="no"),
    )
    moment = Moment(now=NOON.now, elapsed=60.0, second=NOON.second)
    assert isinstance(next_step(state, moment), step)


def test_deadlines_and_single_turns_leave_the_loop_open() -> None:
    state = add(started(spec()), Rotated(rotation=1, session_id="s"))
    assert next_step(state, Moment(now=5.0, elapsed=0.0, second=0, until=4.0)) == steps.Leave("deadline")
    assert next_step(state, Moment(now=5.0, elapsed=0.0, second=0, turns=0)) == steps.Leave("once")


def test_quiet_hours_over_midnight_end_in_the_morning() -> None:
    state = add(started(spec(quiet=(22 * 60, 6 * 60))), Rotated(rotation=1, session_id="s"))
    late = next_step(state, Moment(now=0.0, elapsed=0.0, second=23 * 3600))
    early = next_step(state, Moment(now=0.0, elapsed=0.0, second=5 * 3600))
    assert (late, early) == (steps.Wait(7 * 3600.0, "quiet hours"), steps.Wait(3600.0, "quiet hours"))
    assert DAY == 24 * 3600


def test_better_is_more_than_the_effect_and_the_noise() -> None:
    up, down = Metric(name="m", run="x", min_effect=0.5), Metric(name="m", run="x", direction="down")
    base = Measured(value=10.0, noise=0.4)
    assert is_better(up, Measured(value=10.5), base)
    assert not is_better(up, Measured(value=10.49), base)
    assert not is_better(up, Measured(value=10.5, noise=0.6), base)
    assert is_better(down, Measured(value=9.5), base)
    assert not is_better(down, Measured(value=9.7), base)
    assert is_not_worse(up, Measured(value=9.6), base)
    assert not is_not_worse(up, Measured(value=9.4), base)


def test_numbers_and_failures_are_read_from_what_commands_print() -> None:
    assert last_number("score: 3\nthen 12.5e-1 of 2 ms\n\ndone") == 2.0
    assert last_number("none") is None
    assert last_number("1e999") is None
    assert measured((1.0, 9.0, 2.0)) == Measured(value=2.0, noise=1.0)

    def failed(output: str) -> str:
        return fingerprint(GateFinished(gate="g", passed=False, exit_status=1, seconds=1.0, output=output))

    assert failed("test_x failed in 0.31s at 0x7f3a") == failed("test_x failed in 1.22s at 0x99")
    assert failed("test_x failed") != failed("test_y failed")
