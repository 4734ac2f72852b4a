"""A run's row says what the fold of its events says, and its last fact in words."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acp_agent.domain.errors import ModelFault, Refused
from acp_agent.domain.events import (
    Accepted,
    AnswerChecked,
    ApprovalAsked,
    ApprovalGiven,
    CancelAsked,
    Committed,
    Fact,
    GateFinished,
    GateStarted,
    LimitReached,
    ModelCalled,
    ModelFailed,
    ModelReplied,
    Parked,
    Rejected,
    Resumed,
    RunEnded,
    ToolFinished,
    ToolRefused,
    ToolStarted,
    WorkspacePrepared,
)
from acp_agent.domain.message import AssistantMessage, Reply, ToolCall, Usage
from acp_agent.domain.ports import NewStream
from acp_agent.domain.run import RunState, fold
from acp_agent.domain.tool import Intent, Risk, ToolResult
from acp_agent.store.journal import StoredJournal
from acp_agent.store.owner import owner_of_this_process
from acp_agent.store.reads import Reads, RunRow
from acp_agent.store.summary import phrase

NewRun = Callable[..., NewStream]

# Eighths are exact in binary: sums are equal whatever their order.
costs = st.none() | st.integers(0, 40).map(lambda eighths: eighths / 8)
usages = st.none() | st.builds(Usage, input_tokens=st.integers(0, 10**6), output_tokens=st.integers(0, 10**6))
names = st.sampled_from(["c1", "c2"])
results = st.sampled_from(
    [ToolResult(status="ok", output="fine"), ToolResult(status="error", output="no", kind="stale")]
)
replies = st.builds(
    Reply,
    message=st.builds(
        AssistantMessage,
        text=st.text(max_size=5),
        calls=st.just((ToolCall(call_id="c1", name="shell", arguments="{}"),)),
    ),
    stop=st.just("tool_calls"),
    model=st.just("openai/small"),
    usage=usages,
)
of_the_driver = st.one_of(
    st.builds(WorkspacePrepared, path=st.text(max_size=9)),
    st.builds(ModelCalled, call_id=names, model=st.sampled_from(["openai/small", "openai/big"])),
    st.builds(ModelReplied, call_id=names, reply=replies, cost=costs),
    st.builds(
        ModelFailed, call_id=names, model=st.just("m"), fault=st.just(ModelFault.LOST), message=st.text(), cost=costs
    ),
    st.builds(ToolStarted, call_id=names, tool=st.just("shell"), risk=st.just(Risk.LOCAL)),
    st.builds(ToolFinished, call_id=names, tool=st.just("shell"), result=results),
    st.builds(ToolRefused, call_id=names, tool=st.just("shell"), result=results),
    st.builds(ApprovalAsked, call_id=names, tool=st.just("shell"), risk=st.just(Risk.DRAFT), title=st.text(max_size=5)),
    st.builds(Committed, commit=st.none() | st.just("abc"), files=st.integers(0, 9), added=st.integers(0, 9)),
    st.builds(
        Parked,
        waiting=st.sampled_from(["approval", "outcome_unknown", "budget"]),
        detail=st.text(max_size=9),
        call_id=names,
    ),
    st.just(Resumed(fence=1)),
    st.just(GateFinished(gate="test", passed=False, exit_status=1, seconds=0.5)),
)
of_somebody = st.one_of(
    st.builds(ApprovalGiven, call_id=names, decision=st.sampled_from(["allow", "deny"])), st.just(CancelAsked())
)
endings = st.lists(
    st.builds(RunEnded, reason=st.sampled_from(["end_turn", "error", "max_cost"]), message=st.text(max_size=9)),
    max_size=1,
)
landings = st.lists(st.sampled_from([Accepted(commit="abc", target="main"), Rejected()]), max_size=1)
writes = st.lists(st.lists(of_the_driver, max_size=4) | of_somebody, max_size=12)


def expected(state: RunState) -> dict[str, object]:
    """The columns that can be read off a fold."""
    waits = state.waiting is not None and not state.cancel_asked
    committed = state.committed or Committed(commit=None)
    return {
        "status": "ended" if state.ended else "waiting" if waits else "goes on",
        "waiting_for": state.waiting_for if waits else None,
        "reason": state.reason,
        "steps": state.spent.steps,
        "tool_calls": state.spent.tool_calls,
        "tokens_in": state.spent.input_tokens,
        "tokens_out": state.spent.output_tokens,
        "cost": state.spent.cost,
        "cost_known": state.spent.cost_known,
        "path": state.path,
        "files": committed.files,
        "added": committed.added,
        "landed": state.landed.type if state.landed else None,
        "ended": state.ended is not None,
    }


def found(row: RunRow) -> dict[str, object]:
    """The same columns of a row."""
    columns = {**row._asdict(), "ended": row.ended_at is not None}
    if row.status in ("queued", "running"):
        columns["status"] = "goes on"
    return {name: columns[name] for name in expected(RunState())}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One database for every example."""
    return tmp_path_factory.mktemp("summary") / "acp.db"


@given(writes=writes, ending=endings, landing=landings)
@settings(max_examples=40, deadline=None)
def test_the_row_of_a_run_is_the_fold_of_its_events(
    shared: Path, new_run: NewRun, writes: list[list[Fact] | Fact], ending: list[Fact], landing: list[Fact]
) -> None:
    async def main() -> RunState:
        async with StoredJournal(shared) as journal:
            await journal.create([new_run(run_id)], "ann")
            claim = await journal.claim(run_id, owner_of_this_process())
            assert claim is not None
            for facts in [*writes, ending]:
                if isinstance(facts, list):
                    await journal.append(claim, facts)
                else:
                    # An answer to a run that does not wait is refused, and changes nothing.
                    with contextlib.suppress(Refused):
                        await journal.note(run_id, [facts], "ann")
            await journal.note(run_id, landing, "ann")
            return fold(await journal.events(run_id))

    with Reads(shared) as reads:
        run_id = f"r_{len(reads.runs(limit=10_000))}"
    state = anyio.run(main)
    with Reads(shared) as reads:
        row = reads.run(run_id)
        assert row is not None
        assert found(row) == expected(state)
        kinds = [event.type for event in reads.events(run_id)]
        assert (row.last_type, len(kinds)) == (kinds[-1], state.seq)


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        (
            ToolStarted(
                call_id="c", tool="edit_file", risk=Risk.LOCAL, intent=Intent(title="Edit", after={"a/b.py": "1"})
            ),
            "edit_file a/b.py",
        ),
        (
            ToolStarted(call_id="c", tool="shell", risk=Risk.LOCAL, intent=Intent(title="pytest -q\n  | tail")),
            "shell pytest -q | tail",
        ),
        (ToolFinished(call_id="c", tool="shell", result=ToolResult(status="ok", output="fine")), None),
        (
            ToolFinished(call_id="c", tool="edit_file", result=ToolResult(status="error", output="no", kind="stale")),
            "edit_file error: stale",
        ),
        (ToolRefused(call_id="c", tool="rm", result=ToolResult(status="refused", output="no")), "rm refused: no"),
        (ModelCalled(call_id="m", model="openai/x"), "model_called openai/x"),
        (
            ModelFailed(call_id="m", model="openai/x", fault=ModelFault.RATE_LIMIT, message="slow down"),
            "model_failed openai/x: rate_limit: slow down",
        ),
        (GateStarted(gate="test", command="pytest"), "gate test"),
        (GateFinished(gate="test", passed=True, exit_status=0, seconds=1), "gate test passed"),
        (Committed(commit="0123456789abcdef"), "committed 0123456789"),
        (Committed(commit=None), "nothing to commit"),
        (Parked(waiting="approval", detail="push"), "waiting for approval: push"),
        (LimitReached(limit="max_steps"), "limit_reached max_steps"),
        (AnswerChecked(problem="no number"), "answer refused: no number"),
        (Resumed(fence=2), None),
        (CancelAsked(), "cancel_asked"),
        (RunEnded(reason="end_turn"), "ended end_turn"),
        (Accepted(commit="abc", target="main"), "accepted into main"),
    ],
)
def test_a_fact_has_a_phrase(fact: Fact, words: str | None) -> None:
    assert phrase(fact) == words


def test_a_phrase_is_one_short_line() -> None:
    text = phrase(Parked(waiting="budget", detail="a\tlong\r\nstory " * 1_000))
    assert text is not None and len(text) <= 160 and text.startswith("waiting for budget: a long story a long")
