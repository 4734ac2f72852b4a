"""Every way in which a call of a model can fail has a defined end: the run goes on after it, or says why not."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from acp_agent.app import App
from acp_agent.config.paths import database_path
from acp_agent.domain.budget import Limits
from acp_agent.domain.request import RunRequest
from acp_agent.store.reads import Reads
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.script import Rule, Step

OpenAgent = Callable[..., AbstractAsyncContextManager[App]]
MakeRequest = Callable[..., RunRequest]
READ = Step(text="I look.", tools=[("read_file", {"path": "a.txt"})], chunk=8)
CHUNKS = 12
"""More than the reply has: the last cuts come after its end."""
PASSING: dict[str, Step] = {
    "busy": Step(status=429),
    "busy for a moment": Step(status=429, headers={"Retry-After": "0.2"}),
    "server error": Step(status=500),
    "bad gateway": Step(status=502),
    "overloaded": Step(status=503, headers={"Retry-After": "0"}),
    "hangs up": Step(hang_up=True),
    "garbage": replace(READ, garbage_at=3),
    "error in the stream": replace(READ, error_at=3, error={"message": "overloaded", "type": "server_error"}),
    "empty": Step(text=""),
    **{f"cut after chunk {number}": replace(READ, cut_after=number) for number in range(CHUNKS)},
}
LASTING: dict[str, tuple[Step, int]] = {
    "no such key": (Step(status=401), 1),
    "not for an hour": (Step(status=429, headers={"Retry-After": "3600"}), 1),
    "always down": (Step(status=500), 3),
}


def of(name: str) -> str:
    return f"fault: {name}."


async def test_a_run_goes_on_after_each_fault_that_passes(open_agent: OpenAgent, request_in: MakeRequest) -> None:
    rules = [Rule(contains=of(name), reply=step, times_each=1) for name, step in PASSING.items()]
    with ModelServer([*rules, Rule(turns=[READ, Step(text="Done.")])], strict=False) as server:
        async with open_agent(server) as app:
            limits = Limits(max_cost=1.0, max_output=500)
            names = {await app.runner.start(request_in(of(name), limits=limits)): name for name in PASSING}
            await app.engine.work(None, len(names))
            states = {name: await app.runner.state(run_id) for run_id, name in names.items()}
            with Reads(database_path(app.environ)) as reads:
                reserved = [row.reserved for row in reads.budgets()]
    ends = {name: (state.reason, state.text, state.spent.tool_calls) for name, state in states.items()}
    assert ends == dict.fromkeys(PASSING, ("end_turn", "Done.", 1))
    assert set(reserved) == {0.0}


async def test_a_fault_that_lasts_ends_the_run_after_bounded_tries(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    rules = [Rule(contains=of(name), reply=step) for name, (step, _) in LASTING.items()]
    with ModelServer(rules, strict=False) as server:
        async with open_agent(server) as app:
            names = {await app.runner.start(request_in(of(name))): name for name in LASTING}
            await app.engine.work(None, len(names))
            ends = {name: (await app.runner.state(run_id)).reason for run_id, name in names.items()}
    asked = {name: sum(of(name) in request.prompt for request in server.requests) for name in LASTING}
    assert ends == dict.fromkeys(LASTING, "error")
    assert asked == {name: tries for name, (_, tries) in LASTING.items()}
