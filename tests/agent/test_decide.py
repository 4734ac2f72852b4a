"""What happens next to a run, told as short stories of facts."""

import pytest

from acp_agent.agent.actions import (
    Act,
    Answer,
    Ask,
    Check,
    Commit,
    Finish,
    Forget,
    Limit,
    Prepare,
    Recover,
    Stop,
    Think,
    Verify,
)
from acp_agent.agent.calls import Scene
from acp_agent.agent.decide import next_action
from acp_agent.domain.budget import Limits
from acp_agent.domain.errors import ModelFault
from acp_agent.domain.events import (
    AnswerChecked,
    ApprovalAsked,
    ApprovalGiven,
    CancelAsked,
    Committed,
    Event,
    Fact,
    GateFinished,
    LimitReached,
    ModelCalled,
    ModelFailed,
    ModelReplied,
    Parked,
    RunEnded,
    RunStarted,
    ToolFinished,
    ToolStarted,
    WorkspacePrepared,
)
from acp_agent.domain.message import AssistantMessage, Reply, ToolCall
from acp_agent.domain.policy import InForce, Mode
from acp_agent.domain.request import Gate, RunRequest, Workplace
from acp_agent.domain.run import RunState, fold
from acp_agent.domain.tool import Risk, ToolResult, ToolSpec
from acp_agent.domain.weight import Weight, Weights

READ = ToolSpec(name="read_file", description="", parameters={}, risk=Risk.READ, repeatable=True)
EDIT = ToolSpec(name="edit_file", description="", parameters={}, risk=Risk.LOCAL)
PUSH = ToolSpec(name="push", description="", parameters={}, risk=Risk.EXTERNAL)
SPECS = {spec.name: spec for spec in (READ, EDIT, PUSH)}
INPLACE = Workplace(kind="inplace", root="/p")
WORKTREE = Workplace(kind="worktree", root="/p", worktree="/w", branch="b", base="0" * 40, target="main")


def request_of(**changes: object) -> RunRequest:
    base = RunRequest(prompt="do it", workplace=INPLACE, models=("openai/a", "openai/b"))
    return base.model_copy(update=changes)


def story(*facts: Fact, request: RunRequest | None = None) -> RunState:
    told = (RunStarted(request=request or request_of()), *facts)
    return fold(Event(stream_id="r_1", seq=seq, ts=float(seq), data=fact) for seq, fact in enumerate(told, start=1))


def ready() -> WorkspacePrepared:
    return WorkspacePrepared(path="/p")


def replied(text: str = "", *calls: str, stop: str = "end_turn") -> tuple[Fact, Fact]:
    message = AssistantMessage(
        text=text, calls=tuple(ToolCall(call_id=f"c{n}", name=name, arguments="{}") for n, name in enumerate(calls))
    )
    reply = Reply.model_validate(
        {"message": message, "stop": "tool_calls" if calls else stop, "model": "openai/a", "usage": None}
    )
    return ModelCalled(call_id="m", model="openai/a"), ModelReplied(call_id="m", reply=reply)


def failed(model: str, fault: ModelFault, retry_after: float | None = None) -> tuple[Fact, Fact]:
    return (
        ModelCalled(call_id="m", model=model),
        ModelFailed(call_id="m", model=model, fault=fault, message="no", retry_after=retry_after),
    )


def decide(state: RunState, elapsed: float = 0.0) -> object:
    return next_action(state, Scene(SPECS, weights_of(state), InForce()), elapsed)


def decide_by(state: RunState, weights: Weights, policy: InForce | None = None) -> object:
    return next_action(state, Scene(SPECS, weights, policy or InForce()), 0.0)


def weights_of(state: RunState) -> Weights:
    return {
        open_call.call.call_id: Weight(risk=SPECS[open_call.call.name].risk)
        for open_call in state.calls
        if open_call.call.name in SPECS
    }


def call_ids(action: object) -> tuple[str, ...]:
    assert isinstance(action, Act)
    return tuple(open_call.call.call_id for open_call in action.calls)


def test_a_run_prepares_thinks_and_ends() -> None:
    assert decide(RunState()) == Stop()
    assert decide(story()) == Prepare()
    assert decide(story(ready())) == Think("openai/a")
    assert decide(story(ready(), *replied("done"))) == Finish("end_turn")
    assert decide(story(ready(), *replied("done"), RunEnded(reason="end_turn"))) == Stop()


def test_a_worktree_gets_gates_then_a_commit_then_the_end() -> None:
    request = request_of(workplace=WORKTREE, gates=(Gate(name="test", run="true"),))
    passed = GateFinished(gate="test", passed=True, exit_status=0, seconds=0.1)
    assert decide(story(ready(), *replied("done"), request=request)) == Verify(request.gates[0])
    assert decide(story(ready(), *replied("done"), passed, request=request)) == Commit()
    committed = Committed(commit="1" * 40)
    assert decide(story(ready(), *replied("done"), passed, committed, request=request)) == Finish("end_turn")


def test_gates_run_in_place_too_and_nothing_is_committed_there() -> None:
    request = request_of(gates=(Gate(name="test", run="true"),))
    failed_gate = GateFinished(gate="test", passed=False, exit_status=1, seconds=0.1, output="boom")
    assert decide(story(ready(), *replied("done"), request=request)) == Verify(request.gates[0])
    ended = Finish("end_turn", "gate test failed:\nboom")
    assert decide(story(ready(), *replied("done"), failed_gate, request=request)) == ended


def test_a_crash_loop_takes_no_time_of_the_run() -> None:
    def active(waiting: str) -> float:
        told: tuple[Fact, ...] = (
            RunStarted(request=request_of()),
            ready(),
            Parked.model_validate({"waiting": waiting, "detail": "?"}),
        )
        times = (1.0, 2.0, 28_802.0)
        return fold(
            Event(stream_id="r_1", seq=seq, ts=ts, data=fact)
            for seq, (ts, fact) in enumerate(zip(times, told, strict=True), start=1)
        ).active

    assert (active("crash_loop"), active("approval")) == (0.0, 28_800.0)


def test_reads_of_one_reply_run_together_and_writes_one_by_one() -> None:
    state = story(ready(), *replied("", "read_file", "read_file", "edit_file", "read_file"))
    assert call_ids(decide(state)) == ("c0", "c1")
    result = ToolResult(status="ok", output="x")
    for call_id in ("c0", "c1"):
        started = ToolStarted(call_id=call_id, tool="read_file", risk=Risk.READ)
        finished = ToolFinished(call_id=call_id, tool="read_file", result=result)
        state = fold(
            [
                Event(stream_id="r_1", seq=state.seq + 1, ts=9.0, data=started),
                Event(stream_id="r_1", seq=state.seq + 2, ts=9.0, data=finished),
            ],
            state,
        )
    assert call_ids(decide(state)) == ("c2",)


def test_a_call_in_flight_is_recovered_before_anything_else() -> None:
    started = ToolStarted(call_id="c0", tool="edit_file", risk=Risk.LOCAL)
    action = decide(story(ready(), *replied("", "edit_file"), started))
    assert isinstance(action, Recover)
    assert decide(story(ready(), ModelCalled(call_id="m", model="openai/a"))) == Forget()


def test_an_outcome_unknown_waits_for_a_person_who_settles_it() -> None:
    told = (
        ready(),
        *replied("", "push"),
        ToolStarted(call_id="c0", tool="push", risk=Risk.EXTERNAL),
        Parked(waiting="outcome_unknown", detail="?", call_id="c0"),
    )
    assert decide(story(*told)) == Stop()
    done = decide(story(*told, ApprovalGiven(call_id="c0", decision="done")))
    assert isinstance(done, Answer)
    assert done.result.status == "ok"
    assert call_ids(decide(story(*told, ApprovalGiven(call_id="c0", decision="retry")))) == ("c0",)


def test_what_the_policy_does_not_grant_is_asked_and_the_answer_binds() -> None:
    told = (ready(), *replied("", "push"))
    assert isinstance(decide(story(*told)), Ask)
    asked = (
        ApprovalAsked(call_id="c0", tool="push", risk=Risk.EXTERNAL, title="push"),
        Parked(waiting="approval", detail="push", call_id="c0"),
    )
    assert decide(story(*told, *asked)) == Stop()
    assert call_ids(decide(story(*told, *asked, ApprovalGiven(call_id="c0", decision="allow")))) == ("c0",)
    denied = decide(story(*told, *asked, ApprovalGiven(call_id="c0", decision="deny")))
    assert isinstance(denied, Answer)
    assert denied.result.kind == "denied"


def test_plan_mode_denies_writes() -> None:
    action = decide(story(ready(), *replied("", "edit_file"), request=request_of(mode=Mode.PLAN)))
    assert isinstance(action, Answer)
    assert action.result.status == "refused"


def test_a_step_limit_lets_the_calls_of_the_last_step_run_then_asks_for_a_summary() -> None:
    request = request_of(limits=Limits(max_steps=1))
    told: tuple[Fact, ...] = (ready(), *replied("", "edit_file"))
    assert call_ids(decide(story(*told, request=request))) == ("c0",)
    result = ToolFinished(call_id="c0", tool="edit_file", result=ToolResult(status="ok", output="x"))
    told = (*told, ToolStarted(call_id="c0", tool="edit_file", risk=Risk.LOCAL), result)
    assert decide(story(*told, request=request)) == Limit("max_steps")
    reached = LimitReached(limit="max_steps", detail="why")
    assert decide(story(*told, reached, request=request)) == Think("openai/a", final=True)
    called = ModelCalled(call_id="m", model="openai/a", final=True)
    last = (called, replied("half done", "edit_file")[1])
    assert decide(story(*told, reached, *last, request=request)) == Finish("max_steps", "why")


def test_a_limit_without_room_for_a_last_call_ends_at_once() -> None:
    reached = LimitReached(limit="max_cost", detail="broke", last_call=False)
    assert decide(story(ready(), reached)) == Finish("max_cost", "broke")


def test_tool_and_time_limits_refuse_the_open_calls() -> None:
    request = request_of(limits=Limits(max_tool_calls=0, max_time=10.0))
    told = (ready(), *replied("", "read_file"))
    assert decide(story(*told, request=request)) == Limit("max_tool_calls")
    action = decide(story(*told, LimitReached(limit="max_tool_calls"), request=request))
    assert isinstance(action, Answer)
    assert action.result.kind == "limit"
    assert decide(story(ready(), request=request_of(limits=Limits(max_time=10.0))), elapsed=10.0) == Limit("max_time")


def test_a_chain_goes_on_to_the_next_model_and_comes_back_with_a_pause() -> None:
    quota = failed("openai/a", ModelFault.QUOTA)
    assert decide(story(ready(), *quota)) == Think("openai/b")
    busy = (*failed("openai/a", ModelFault.OVERLOADED), *failed("openai/b", ModelFault.OVERLOADED, 3.0))
    assert decide(story(ready(), *busy)) == Think("openai/a", delay=0.5)
    assert decide(story(ready(), *busy, *failed("openai/a", ModelFault.AUTH))) == Think("openai/b", delay=3.0)
    hopeless = (*quota, *failed("openai/b", ModelFault.NOT_FOUND))
    assert decide(story(ready(), *hopeless)) == Finish("error", "openai/b: no")


def test_a_call_lost_in_a_crash_is_made_again() -> None:
    lost = failed("openai/a", ModelFault.LOST)
    assert decide(story(ready(), *lost, *lost, *lost)) == Think("openai/a")


def test_a_cancelled_run_keeps_its_partial_result() -> None:
    request = request_of(workplace=WORKTREE)
    told = (ready(), *replied("", "edit_file"), CancelAsked())
    assert decide(story(*told, request=request)) == Commit()
    assert decide(story(*told, Committed(commit=None), request=request)) == Finish("cancelled")
    waiting = (ready(), Parked(waiting="approval", detail="?"), CancelAsked())
    assert decide(story(*waiting)) == Finish("cancelled")


def test_an_answer_is_held_against_its_schema_with_one_more_try() -> None:
    request = request_of(answer_schema={"type": "object"})
    wrong = AnswerChecked(problem="not JSON")
    told = (ready(), *replied("words"))
    assert decide(story(*told, request=request)) == Check()
    assert decide(story(*told, wrong, request=request)) == Think("openai/a")
    again = (*told, wrong, *replied("more words"))
    assert decide(story(*again, request=request)) == Check()
    ended = Finish("error", "The answer does not fit the schema: not JSON")
    assert decide(story(*again, wrong, request=request)) == ended
    assert decide(story(*again, AnswerChecked(value={}), request=request)) == Finish("end_turn")


@pytest.mark.parametrize(("stop", "reason"), [("refusal", "refusal"), ("max_tokens", "max_tokens")])
def test_a_reply_that_is_no_answer_ends_with_its_reason(stop: str, reason: str) -> None:
    action = decide(story(ready(), *replied("x", stop=stop)))
    assert isinstance(action, Finish)
    assert action.reason == reason


def test_an_unknown_tool_reaches_the_guard_which_names_the_nearest() -> None:
    assert call_ids(decide(story(ready(), *replied("", "read_fil")))) == ("c0",)


def test_an_answer_holds_for_the_very_call_that_was_asked_about() -> None:
    asked = ApprovalAsked(call_id="c0", tool="push", risk=Risk.EXTERNAL, title="push", binding="one")
    state = story(ready(), *replied("", "push"), asked, ApprovalGiven(call_id="c0", decision="allow"))
    same, other = (Weight(risk=Risk.EXTERNAL, binding=binding) for binding in ("one", "two"))
    assert call_ids(decide_by(state, {"c0": same})) == ("c0",)
    assert decide_by(state, {"c0": other}) == Ask(state.calls[0], other, always=True)


def test_doing_again_what_nobody_knows_of_is_asked_about_where_it_is_another_call_now() -> None:
    started = ToolStarted(call_id="c0", tool="edit_file", risk=Risk.LOCAL, binding="one")
    unknown = Parked(waiting="outcome_unknown", call_id="c0", detail="?")
    state = story(ready(), *replied("", "edit_file"), started, unknown, ApprovalGiven(call_id="c0", decision="retry"))
    same, other = (Weight(risk=Risk.LOCAL, binding=binding) for binding in ("one", "two"))
    assert call_ids(decide_by(state, {"c0": same})) == ("c0",)
    assert decide_by(state, {"c0": other}) == Ask(state.calls[0], other)


def test_the_weight_of_the_call_decides_and_not_the_usual_risk_of_its_tool() -> None:
    state = story(ready(), *replied("", "edit_file"))
    governing = Weight(risk=Risk.IRREVERSIBLE)
    why = "edit_file cannot be taken back"
    assert decide_by(state, {"c0": governing}) == Ask(state.calls[0], governing, why, needed=2)
