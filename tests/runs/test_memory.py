"""What a process keeps of runs that are over: nothing that only the garbage collector would find."""

import gc
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from acp_agent.app import App
from acp_agent.domain.request import RunRequest
from acp_agent.runs.driver import Driver
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.script import Rule, Step

OpenAgent = Callable[..., AbstractAsyncContextManager[App]]
MakeRequest = Callable[..., RunRequest]
READ = Step(tools=[("read_file", {"path": "a.txt"})])


def drivers() -> int:
    return sum(isinstance(one, Driver) for one in gc.get_objects())


async def test_a_run_that_is_over_is_forgotten_at_once(open_agent: OpenAgent, request_in: MakeRequest) -> None:
    with ModelServer([Rule(turns=[READ, Step(text="Done.")])]) as server:
        async with open_agent(server) as app:
            gc.collect()
            gc.disable()
            try:
                run_id = await app.runner.start(request_in())
                await app.engine.work(None, 1)
                left = drivers()
            finally:
                gc.enable()
            state = await app.runner.state(run_id)
    assert (state.reason, left) == ("end_turn", 0)
