"""What yields nothing for too long ends its run as `stalled`; a heartbeat is no progress, and output is."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from acp_agent.app import App
from acp_agent.domain.budget import Limits
from acp_agent.domain.events import ToolFinished, ToolRefused
from acp_agent.domain.request import RunRequest
from acp_agent.domain.run import RunState
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.script import Rule, Step

OpenAgent = Callable[..., AbstractAsyncContextManager[App]]
MakeRequest = Callable[..., RunRequest]


async def driven(app: App, request: RunRequest) -> RunState:
    run_id = await app.runner.start(request)
    await app.engine.work(None, 1)
    return await app.runner.state(run_id)


async def test_a_model_that_only_keeps_the_connection_alive_stalls(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    step = Step(text="some words and then no more", stall_at=2, stall_for=600.0, heartbeat=0.1)
    with ModelServer([Rule(reply=step)], strict=False) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in(limits=Limits(idle=0.5)))
    assert (state.reason, len(server.requests)) == ("stalled", 1)
    assert state.ended is not None
    assert state.ended.message == "openai/test-model yielded nothing for 0.5 s."


async def test_a_model_whose_words_and_arguments_keep_coming_does_not_stall(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    long = Step(tools=[("write_file", {"path": "new.txt", "content": "word " * 200})], gap=0.06, chunk=32)
    with ModelServer([Rule(turns=[long, Step(text="Done.", chunk=1, gap=0.02)])]) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in(limits=Limits(idle=1.5)))
    assert state.reason == "end_turn"


@pytest.mark.bwrap
async def test_a_command_that_prints_nothing_stalls_and_its_result_says_so(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    silent = Step(tools=[("shell", {"command": "echo one; sleep 600"}), ("read_file", {"path": "a.txt"})])
    with ModelServer([Rule(turns=[silent])], strict=False) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in(limits=Limits(idle=0.8)))
            results = [event.data for event in await app.journal.events(state.run_id)]
    assert state.reason == "stalled"
    told = [
        (fact.tool, fact.result.status, fact.result.kind)
        for fact in results
        if isinstance(fact, ToolFinished | ToolRefused)
    ]
    assert told == [("shell", "cancelled", "stalled"), ("read_file", "refused", "limit")]
