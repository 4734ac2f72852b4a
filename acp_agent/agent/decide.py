"""The one decision: what happens next to a run. Pure, on one screen.

New behaviour is a new action, never a flag here.
"""

from acp_agent.agent.actions import (
    Action,
    Check,
    Commit,
    Finish,
    Forget,
    Limit,
    Park,
    Prepare,
    Stop,
    Think,
    Verify,
)
from acp_agent.agent.calls import Scene, next_call
from acp_agent.agent.lookup import is_guess, without_network
from acp_agent.agent.route import next_candidate
from acp_agent.domain.blast import Excess, beyond
from acp_agent.domain.budget import reached
from acp_agent.domain.request import RunRequest
from acp_agent.domain.run import RunState

ANSWER_TRIES = 2
GATE_WORDS = 600


def next_action(state: RunState, scene: Scene, elapsed: float) -> Action:
    """What to do next. `scene` decides the open calls; `elapsed` are the seconds that drivers spent on the run."""
    request = state.request
    if request is None or state.ended:
        return Stop()
    if state.model_call is not None:
        return Forget()
    if state.cancel_asked:
        return wind_up(state, request, Finish("cancelled"))
    if state.waiting or state.taken:
        return Stop()
    if not state.calls and (unknown := without_network(state, request, _has_spoken(state))) is not None:
        return wind_up(state, request, unknown) if isinstance(unknown, Finish) else unknown
    if state.path is None:
        return Prepare()
    if excess := _beyond(state, request, elapsed):
        return Park(excess)
    if state.calls:
        return next_call(state, request, scene, elapsed)
    if _unchecked(state, request):
        return Check()
    ending = _ending(state, request)
    return wind_up(state, request, ending) if ending else _think(state, request, elapsed)


def _beyond(state: RunState, request: RunRequest, elapsed: float) -> tuple[Excess, ...]:
    """The blast limits that are overstepped; of what is under way the outcome is found out first."""
    if state.started_calls:
        return ()
    return beyond(state.blast, request.blast, elapsed, state.last_ts - state.started_at)


def _think(state: RunState, request: RunRequest, elapsed: float) -> Action:
    limit = None if state.limit else reached(state.spent, request.limits, elapsed)
    if limit is not None:
        return Limit(limit)
    candidate = next_candidate(request.models, state.failures)
    if candidate is None:
        return wind_up(state, request, _out_of_models(state))
    return Think(candidate.model, final=state.limit is not None, delay=candidate.delay)


def wind_up(state: RunState, request: RunRequest, ending: Finish) -> Action:
    """Gates, then the commit, then the end: a run that is over has its result on record."""
    works = not request.read_only and state.path is not None
    if works and ending.reason == "end_turn":
        done = {gate.gate for gate in state.gates}
        due = next((gate for gate in request.gates if gate.name not in done), None)
        if due is not None:
            return Verify(due)
    if works and request.workplace.kind == "worktree" and request.commit and state.committed is None:
        return Commit()
    return Finish(ending.reason, ending.message or _failed_gates(state))


def _failed_gates(state: RunState) -> str:
    """What the gates that failed said at last."""
    failed = (gate for gate in state.gates if not gate.passed)
    return "\n".join(f"gate {gate.gate} failed:\n{gate.output.strip()[-GATE_WORDS:]}" for gate in failed)


def _unchecked(state: RunState, request: RunRequest) -> bool:
    held = request.answer_schema is not None or is_guess(state, request)
    spoken = held and _has_spoken(state) and state.last_stop != "refusal"
    return spoken and (state.answer is None or state.answer.problem is not None)


def _has_spoken(state: RunState) -> bool:
    """Whether the last message is the model's, with nothing left to do."""
    return bool(state.messages) and state.messages[-1].role == "assistant"


def _ending(state: RunState, request: RunRequest) -> Finish | None:
    if state.limit and state.final_done:
        return Finish(state.limit, state.limit_detail)
    if state.answer is not None and state.answer.problem is not None and state.answer_tries >= ANSWER_TRIES:
        return Finish("error", f"The answer does not fit the schema: {state.answer.problem}")
    if not _has_spoken(state):
        return None
    if state.last_stop == "refusal":
        return Finish("refusal", "The model refused.")
    if state.last_stop == "max_tokens":
        return Finish("max_tokens", "The reply was cut at the model's output limit.")
    return Finish("end_turn")


def _out_of_models(state: RunState) -> Finish:
    if state.limit:
        return Finish(state.limit, state.limit_detail)
    last = state.failures[-1] if state.failures else None
    return Finish("error", f"{last.model}: {last.message}" if last else "No model to ask.")
