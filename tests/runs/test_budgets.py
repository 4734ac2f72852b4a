"""Budgets as a tree: a call is booked in all that it belongs to, and waits where a shared one has no room."""

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from acp_agent.app import App
from acp_agent.config.paths import database_path
from acp_agent.domain.budget import Limits
from acp_agent.domain.events import ModelCalled
from acp_agent.domain.events_budget import BUDGETS, BudgetSet
from acp_agent.domain.request import RunRequest
from acp_agent.domain.run import RunState
from acp_agent.runs.standing import tell
from acp_agent.store.reads import Reads
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.script import Rule, Step

OpenAgent = Callable[..., AbstractAsyncContextManager[App]]
MakeRequest = Callable[..., RunRequest]
USAGE = {"prompt_tokens": 1000, "completion_tokens": 500}
COST = 0.002
"""What `USAGE` costs at the prices of the tests."""
CAPPED = Limits(max_output=1000)


async def driven(app: App, request: RunRequest) -> RunState:
    run_id = await app.runner.start(request)
    await app.engine.work(None, 4)
    return await app.runner.state(run_id)


def budgets(app: App) -> dict[str, tuple[float, float]]:
    """What is set aside and spent, by budget."""
    with Reads(database_path(app.environ)) as reads:
        return {row.scope: (row.reserved, pytest.approx(row.spent)) for row in reads.budgets()}


async def test_a_call_is_booked_in_every_budget_it_belongs_to(open_agent: OpenAgent, request_in: MakeRequest) -> None:
    with ModelServer([Rule(reply=Step(text="Done.", usage=USAGE))]) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in(limits=CAPPED))
            day = time.strftime("%Y-%m-%d", time.localtime(state.started_at))
            booked = {"day:" + day, "month:" + day[:7], "tenant", "project:project", "provider:openai"}
            assert budgets(app) == dict.fromkeys(
                {*booked, "model:openai/test-model", f"run:{state.run_id}"}, (0.0, COST)
            )


@pytest.mark.parametrize("scope", ["day", "month", "tenant", "project:project", "model:openai/test-model", "call"])
async def test_a_run_waits_for_a_budget_that_others_share(
    open_agent: OpenAgent, request_in: MakeRequest, scope: str
) -> None:
    with ModelServer([Rule(reply=Step(text="Done.", usage=USAGE))]) as server:
        async with open_agent(server) as app:
            await tell(app.journal, BUDGETS, BudgetSet(scope=scope, cap=0.0001), "ann")
            state = await driven(app, request_in(limits=CAPPED))
            assert (state.waiting_for, len(server.requests)) == ("budget", 0)
            assert state.waiting is not None
            assert f"acp budget set {scope} AMOUNT" in state.waiting.detail
            await tell(app.journal, BUDGETS, BudgetSet(scope=scope, cap=None), "ann")
            await app.runner.answer(app.engine, state.run_id, "retry", actor="ann")
            await app.engine.work(None, 1)
            assert (await app.runner.state(state.run_id)).reason == "end_turn"


async def test_a_cap_that_is_configured_holds_for_the_day(open_agent: OpenAgent, request_in: MakeRequest) -> None:
    with ModelServer([Rule(reply=Step(text="Done.", usage=USAGE))]) as server:
        async with open_agent(server) as app:
            first = await driven(app, request_in(limits=CAPPED, caps={"day": 0.02}))
            second = await driven(app, request_in(limits=CAPPED, caps={"day": 0.002}))
    assert (first.reason, second.waiting_for) == ("end_turn", "budget")


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 0, "completion_tokens": 1},
        {"prompt_tokens": 10**9, "completion_tokens": 10**9},
        {"prompt_tokens": -5, "completion_tokens": -5},
    ],
)
async def test_usage_that_cannot_be_true_is_booked_at_what_was_set_aside(
    open_agent: OpenAgent, request_in: MakeRequest, usage: dict[str, int]
) -> None:
    with ModelServer([Rule(reply=Step(text="word " * 200, usage=usage))]) as server:
        async with open_agent(server) as app:
            state = await driven(app, request_in(limits=Limits(max_output=1000, max_cost=1.0)))
            events = await app.journal.events(state.run_id)
            reserved = [event.data.reserved for event in events if isinstance(event.data, ModelCalled)]
            assert reserved == [state.spent.cost]
