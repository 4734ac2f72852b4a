"""A run that must look something up: what is decided where nothing was."""

from typing import Any

from acp_agent.agent.actions import Check, Finish, Prepare, Tell, Think
from acp_agent.agent.calls import Scene
from acp_agent.agent.decide import next_action
from acp_agent.domain.egress import NO_NETWORK, NOT_LOOKED_UP
from acp_agent.domain.events import (
    AnswerChecked,
    Event,
    Fact,
    ModelCalled,
    ModelReplied,
    RunStarted,
    ToolFinished,
    ToolStarted,
    WorkspacePrepared,
)
from acp_agent.domain.message import AssistantMessage, Reply, ToolCall
from acp_agent.domain.policy import InForce
from acp_agent.domain.request import RunRequest, Workplace
from acp_agent.domain.run import RunState, fold
from acp_agent.domain.tool import Intent, NetworkUse, Risk, ToolResult

SCENE = Scene({}, {}, InForce())
REACHED = NetworkUse(reached=("pypi.org:443",))
FAILED = NetworkUse(failed=("pypi.org:443",))


def asked(**changes: Any) -> RunRequest:
    """A run that must look something up at PyPI."""
    place = Workplace(kind="inplace", root="/w")
    given = {"lookup": "needed", "egress": ("pypi.org",), "read_only": True, **changes}
    return RunRequest(prompt="outdated?", workplace=place, models=("openai/m",), **given)


def state_of(request: RunRequest, *facts: Fact) -> RunState:
    """The run after `facts`."""
    whole = (RunStarted(request=request), *facts)
    return fold(
        [Event(stream_id="r", seq=seq, ts=float(seq), actor="t", data=fact) for seq, fact in enumerate(whole, 1)]
    )


def replied(text: str = "", *calls: ToolCall) -> tuple[Fact, ...]:
    """The model is asked and says this."""
    reply = Reply(model="openai/m", message=AssistantMessage(text=text, calls=calls), stop="end_turn")
    called = ModelCalled(call_id="m", model="openai/m", final=False, reserved=None, messages=1)
    return (called, ModelReplied(call_id="m", reply=reply, cost=0.0, seconds=0.1))


def fetched(use: NetworkUse | None) -> tuple[Fact, ...]:
    """The model looks something up, with this outcome."""
    call = ToolCall(call_id="c", name="fetch", arguments="{}")
    result = ToolResult(status="ok", output="x", network=use)
    started = ToolStarted(call_id="c", tool="fetch", risk=Risk.READ, intent=Intent())
    return (*replied("", call), started, ToolFinished(call_id="c", tool="fetch", result=result))


def decided(request: RunRequest, *facts: Fact) -> object:
    """What is next."""
    return next_action(state_of(request, *facts), SCENE, 0.0)


PREPARED = WorkspacePrepared(path="/w", base=None)


def test_with_a_closed_network_nothing_is_asked_of_a_model() -> None:
    """The answer is on record before anything else is done, then the run ends."""
    closed = asked(egress=())
    assert decided(closed) == Tell(NO_NETWORK)
    assert decided(closed, AnswerChecked(value=NO_NETWORK)) == Finish("end_turn")
    # One that may do without a network goes on.
    assert decided(asked(egress=(), lookup="wanted")) == Prepare()


def test_an_answer_counts_once_something_was_looked_up() -> None:
    """Then it is held against the schema as any other."""
    request = asked(answer_schema={"type": "object"})
    assert decided(request) == Prepare()
    assert decided(request, PREPARED) == Think("openai/m")
    assert decided(request, PREPARED, *fetched(REACHED)) == Think("openai/m")
    assert decided(request, PREPARED, *fetched(REACHED), *replied("{}")) == Check()
    done = (*fetched(REACHED), *replied("{}"), AnswerChecked(value={}))
    assert decided(request, PREPARED, *done) == Finish("end_turn")
    # One host that answered is enough, whatever others did.
    assert decided(request, PREPARED, *fetched(FAILED), *done) == Finish("end_turn")


def test_an_answer_after_look_ups_that_failed_is_unknown() -> None:
    """With and without a schema."""
    for schema in (None, {"type": "object"}):
        request = asked(answer_schema=schema)
        assert decided(request, PREPARED, *fetched(FAILED)) == Think("openai/m")
        assert decided(request, PREPARED, *fetched(FAILED), *replied("{}")) == Tell(NO_NETWORK)
        told = (*fetched(FAILED), *replied("{}"), AnswerChecked(value=NO_NETWORK))
        assert decided(request, PREPARED, *told) == Finish("end_turn")


def test_an_answer_without_a_look_up_is_sent_back_once() -> None:
    """The model reads why; the second time the run fails."""
    request = asked()
    refused = AnswerChecked(problem=NOT_LOOKED_UP)
    assert decided(request, PREPARED, *replied("none")) == Check()
    first = state_of(request, PREPARED, *replied("none"), refused)
    assert first.messages[-1].text == f"That answer does not count: {NOT_LOOKED_UP}. Look it up, then reply."
    assert next_action(first, SCENE, 0.0) == Think("openai/m")
    ended = decided(request, PREPARED, *replied("none"), refused, *replied("none"), refused)
    assert ended == Finish("error", f"The answer does not fit the schema: {NOT_LOOKED_UP}")
