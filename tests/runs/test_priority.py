"""A person's turn beside a thousand runs that wait."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio

from acp_agent.app import App
from acp_agent.domain.events import Event
from acp_agent.domain.request import RunRequest
from acp_agent.runs.runner import new_run
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.request import Request
from acp_agent.testing.script import Rule, Step

OpenAgent = Callable[..., AbstractAsyncContextManager[App]]
MakeRequest = Callable[..., RunRequest]
QUEUED = 1_000
JOBS = 32
ONE_AT_A_TIME = "[providers.openai]\nmax_concurrent = 1\n"
HELD = 3600.0


async def test_with_a_thousand_runs_queued_a_turn_of_a_person_waits_for_one_call_at_most(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    turn, work = "a person asks", "the batch works"
    # The first call of the batch is ended by the test, and so is whichever comes after the person's.
    rules = [
        Rule(contains=turn, reply=Step(text="At your service.")),
        Rule(contains=work, reply=Step(text="Done.", stall_at=1, stall_for=HELD)),
    ]
    with ModelServer(rules, models=["test-model"]) as server:
        async with open_agent(server, ONE_AT_A_TIME) as app:
            batch = {
                f"{work}, part {number}.": new_run(request_in(f"{work}, part {number}.", read_only=True, batch_id="b"))
                for number in range(QUEUED)
            }
            await app.journal.create(list(batch.values()), "test")
            async with anyio.create_task_group() as group:
                group.start_soon(app.engine.work, None, JOBS)
                [first] = await server.requests_arrived(1)
                run_id = await app.runner.start(request_in(turn, read_only=True, attended=True))
                with app.bus.subscribe(run_id) as subscription:
                    group.start_soon(app.engine.drive, run_id)
                    async for item in subscription:
                        if isinstance(item, Event) and item.data.type == "model_called":
                            break
                # It waits in front of all the others now: the one call under way ends, and then it is its turn.
                await anyio.wait_all_tasks_blocked()
                under_way = next(stream for prompt, stream in batch.items() if prompt in asked(first))
                await app.runner.cancel(app.engine, under_way.stream_id)
                arrived = await server.requests_arrived(2)
                assert turn in asked(arrived[1])
                async for item in app.runner.watch(run_id):
                    if isinstance(item, Event) and item.data.type == "run_ended":
                        break
                assert (await app.runner.state(run_id)).text == "At your service."
                group.cancel_scope.cancel()


def asked(request: Request) -> str:
    """The last message of a request, as JSON says it."""
    return json.dumps(request.body["messages"][-1])
