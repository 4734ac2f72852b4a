"""What happens next to a loop. Pure: the state, the time and nothing else.

Order matters and is read top down: what people said, what must be known of the base, the goal, the limits, stagnation,
pauses, a new session, and only then another iteration.
"""

from dataclasses import dataclass
from typing import assert_never

from acp_agent.domain.errors import ModelFault
from acp_agent.domain.events_loop import IterationRan
from acp_agent.domain.loop import LoopState
from acp_agent.domain.loop_spec import LoopSpec
from acp_agent.loops import steps
from acp_agent.loops.ratchet import verdict
from acp_agent.loops.steps import Step

MAX_ERRORS = 3
"""Runs in a row that end by an error of the agent's surroundings, until the loop does."""
MAX_CONTEXT_ATTEMPTS = 3
FIRST_PAUSE = 30.0
LONGEST_PAUSE = 900.0
DAY = 86_400
_PASSING = frozenset(
    {
        ModelFault.RATE_LIMIT,
        ModelFault.QUOTA,
        ModelFault.OVERLOADED,
        ModelFault.NETWORK,
        ModelFault.TIMEOUT,
        ModelFault.SERVER,
    }
)
_HOPELESS = frozenset({ModelFault.AUTH, ModelFault.NOT_FOUND, ModelFault.BAD_REQUEST})


@dataclass(frozen=True, slots=True)
class Moment:
    """When a decision is made, and by whom.

    `now` and `until` are Unix time, `elapsed` the seconds that drivers spent on the loop, `second` the local time of
    day in seconds. `mine` says that this driver began the run under way; `turns` how many iterations this invocation
    may still decide (None: no limit).
    """

    now: float
    elapsed: float
    second: int
    mine: bool = True
    until: float | None = None
    turns: int | None = None


def next_step(state: LoopState, moment: Moment) -> Step:
    """What to do next."""
    if state.spec is None or state.ended:
        return steps.Leave("ended")
    match state.phase:
        case "idle":
            return _idle(state, state.spec, moment)
        case "planned":
            return steps.Prepare()
        case "prepared":
            return steps.Start()
        case "started":
            return steps.Leave("parked") if state.parked and moment.mine else steps.Work()
        case "ran":
            return _after_the_run(state, state.ran)
        case "captured":
            return _judge(state, state.spec)
        case _:
            assert_never(state.phase)


def _idle(state: LoopState, spec: LoopSpec, moment: Moment) -> Step:
    return (
        _told(state, moment)
        or _unknown(state, spec)
        or _limit(state, spec, moment)
        or _stagnation(state, spec)
        or _pause(state, spec, moment)
        or _rotation(state, spec)
        or steps.Plan(state.iterations + 1, state.attempt + 1 if state.salvage else 1)
    )


def _told(state: LoopState, moment: Moment) -> Step | None:
    """What people said."""
    if state.stop_asked:
        return steps.End("cancelled", state.stop_asked.note)
    if state.paused:
        return steps.Leave("paused")
    if state.parked:
        return steps.Leave("parked")
    return None


def _unknown(state: LoopState, spec: LoopSpec) -> Step | None:
    """What is not known yet of the base: its metrics, and whether it is the goal already."""
    for metric in spec.metrics:
        if metric.name not in state.current:
            return steps.Measure(metric, 0)
    if spec.done_when is None:
        return None
    if state.done is None or state.done.commit != state.base:
        return steps.CheckDone()
    return steps.End("done", state.done.detail) if state.done.met else None


def _limit(state: LoopState, spec: LoopSpec, moment: Moment) -> Step | None:
    if state.iterations >= spec.max_iter:
        return steps.End("max_iter", f"{state.iterations} of {spec.max_iter} iterations")
    if spec.max_cost is not None and (state.cost >= spec.max_cost or _out_of_money(state)):
        return steps.End("max_cost", f"${state.cost:.4f} of ${spec.max_cost:.2f}")
    if spec.max_tokens is not None and state.tokens >= spec.max_tokens:
        return steps.End("max_tokens", f"{state.tokens} of {spec.max_tokens} tokens")
    if spec.max_time is not None and moment.elapsed >= spec.max_time:
        return steps.End("max_time", f"{moment.elapsed:.0f} of {spec.max_time:.0f} seconds")
    if state.errors >= MAX_ERRORS:
        return steps.End("error", f"{state.errors} runs in a row failed: {state.ran.message if state.ran else ''}")
    if moment.until is not None and moment.now >= moment.until:
        return steps.Leave("deadline")
    return steps.Leave("once") if moment.turns is not None and moment.turns <= 0 else None


def _out_of_money(state: LoopState) -> bool:
    """Whether the last run found no room for a call in the loop's own budget."""
    own = state.agent.limits.max_cost if state.agent else None
    ran = state.ran
    return ran is not None and ran.reason == "max_cost" and (own is None or ran.cost < own / 2)


def _stagnation(state: LoopState, spec: LoopSpec) -> Step | None:
    if state.dry >= spec.patience:
        why = f"{state.dry} iterations without an accepted change"
    elif state.same >= spec.same_failure:
        why = f"{state.same} times the same failure: {_line(state.refused[-1].detail) if state.refused else ''}"
    elif spec.flat is not None and state.flat >= spec.flat:
        why = f"{state.flat} iterations in which no metric got better"
    else:
        return None
    step = spec.stagnate[state.rung] if state.rung < len(spec.stagnate) else "stop"
    if step == "stop":
        return steps.End("stagnation", why)
    return steps.Stagnate(step, why)


def _pause(state: LoopState, spec: LoopSpec, moment: Moment) -> Step | None:
    """A provider's reset, then quiet hours."""
    salvage = state.salvage
    if salvage is not None and salvage.until is not None and salvage.until > moment.now:
        since = state.limited_since or moment.now
        if salvage.until - since > spec.rate_limit_wait:
            return steps.Park("timer", f"{salvage.why}; waited as long as the loop may")
        return steps.Wait(salvage.until, salvage.why)
    if spec.quiet is None:
        return None
    begin, end = (minute * 60 for minute in spec.quiet)
    if (moment.second - begin) % DAY < (end - begin) % DAY:
        return steps.Wait(moment.now + (end - moment.second) % DAY, "quiet hours")
    return None


def _rotation(state: LoopState, spec: LoopSpec) -> Step | None:
    if not state.session_id:
        return steps.Rotate("")
    iterations, tokens = state.since_rotation
    rotate = spec.rotate
    if state.salvage and state.salvage.why == CONTEXT_FULL and iterations + tokens > 0:
        return steps.Rotate("the context was full")
    if rotate.iterations is not None and iterations >= rotate.iterations:
        return steps.Rotate(f"{iterations} iterations")
    if rotate.tokens is not None and tokens >= rotate.tokens:
        return steps.Rotate(f"{tokens} tokens")
    window = state.agent.context_window if state.agent else None
    if rotate.share is not None and window and state.context_tokens >= rotate.share * window:
        return steps.Rotate(f"{state.context_tokens / window:.0%} of the context")
    return None


CONTEXT_FULL = "the context was full"
INTERRUPTED = "interrupted"
"""Why a run is over that its process left half-way: what it did does not count."""


def _after_the_run(state: LoopState, ran: IterationRan | None) -> Step:
    """Whether the attempt counts at all: what its surroundings did to it says nothing about its change."""
    if ran is None or ran.reason == INTERRUPTED:
        return steps.Salvage(INTERRUPTED)
    if ran.reason != "error" or ran.fault is None:
        return steps.Capture()
    if ran.fault is ModelFault.CONTEXT_LENGTH and state.attempt < MAX_CONTEXT_ATTEMPTS:
        return steps.Salvage(CONTEXT_FULL)
    if ran.fault in _PASSING:
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * float(2 ** min(state.limited, 10)))
        return steps.Salvage(f"{ran.fault.value}: {_line(ran.message)}", max(pause, ran.retry_after or 0.0))
    return steps.End("error", ran.message) if ran.fault in _HOPELESS else steps.Capture()


def _judge(state: LoopState, spec: LoopSpec) -> Step:
    """The change against everything of ours that decides, the cheap questions first."""
    if (refusal := _disqualified(state)) is not None:
        return refusal
    done = {gate.gate: gate for gate in state.gates}
    for gate in spec.gates:
        if gate.name not in done:
            return steps.Verify(gate)
    for metric in spec.metrics:
        if metric.name not in state.measured and all(gate.passed for gate in done.values()):
            return steps.Measure(metric, state.iteration)
    return verdict(state, spec)


def _disqualified(state: LoopState) -> steps.Reject | None:
    """Why a change need not be judged at all."""
    captured, ran = state.captured, state.ran
    assert captured is not None
    if ran is not None and ran.reason == "cancelled":
        return steps.Reject("cancelled", ran.message or "the run was cancelled")
    if ran is not None and ran.refused:
        detail = f"tried to change what governs it: {', '.join(ran.refused[:5])}"
        return steps.Reject("protected", detail, fingerprint="protected")
    if captured.commit is None:
        if ran is not None and ran.reason == "error":
            return steps.Reject("run_failed", ran.message)
        return steps.Reject("nothing_changed", "the iteration changed nothing", fingerprint="nothing_changed")
    if captured.why is not None:
        return steps.Reject(captured.why, "; ".join(captured.violations), fingerprint=captured.why)
    earlier = next((refused for refused in state.refused if refused.tree == captured.tree and refused.tree), None)
    if earlier is None:
        return None
    detail = f"the same change as in iteration {earlier.iteration}, which was rejected: {earlier.detail}"
    return steps.Reject("repeated", detail, fingerprint="repeated")


def _line(text: str) -> str:
    return text.strip().partition("\n")[0][:200]
