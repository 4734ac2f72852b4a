"""Limits over all processes, as two gateways of one database keep them."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from acp_agent.domain.errors import ModelError
from acp_agent.domain.ports import ModelRequest
from acp_agent.llm.gateway import Gateway
from acp_agent.llm.prices import PriceTable
from acp_agent.llm.provider import Provider
from acp_agent.llm.shared import LONGEST_REST, SharedLimits
from acp_agent.store.journal import StoredJournal
from acp_agent.store.owner import owner_of_this_process
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.script import Rule, Step

LIMITS = {"vllm": 4, "vllm/busy": 2}


async def test_a_rate_limit_of_one_process_holds_back_the_calls_of_another_one_to_that_model_alone(
    tmp_path: Path, request_of: Callable[..., ModelRequest]
) -> None:
    time = [1000.0]
    rules = [
        Rule(contains="too many", reply=Step(status=429, headers={"retry-after": "600"})),
        Rule(reply=Step(text="Done.")),
    ]
    async with AsyncExitStack() as stack:
        server = stack.enter_context(ModelServer(rules))
        offices, gateways = [], []
        for _ in range(2):
            journal = StoredJournal(tmp_path / "acp.db", lease=3600.0, clock=lambda: time[0])
            offices.append((await stack.enter_async_context(journal)).permits(owner_of_this_process()))
            providers = {"vllm": Provider(name="vllm", base_url=server.url)}
            gateway = Gateway(providers, PriceTable(), shared=SharedLimits(offices[-1], LIMITS))
            stack.push_async_callback(gateway.aclose)
            gateways.append(gateway)
        with pytest.raises(ModelError) as refused:
            await gateways[0].reply(request_of("vllm/busy", "too many"), lambda word: None)
        assert refused.value.retry_after == 600.0
        async with anyio.create_task_group() as group:
            group.start_soon(gateways[1].reply, request_of("vllm/busy", "later", urgency="person"), lambda word: None)
            while len(await offices[0].rows()) < 3:
                await anyio.sleep(0.01)
            said = await gateways[1].reply(request_of("vllm/idle", "now", urgency="loop"), lambda word: None)
            assert said.message.text == "Done."
            assert len(server.requests) == 2
            time[0] += LONGEST_REST + 1.0
        assert len(server.requests) == 3
        assert await offices[0].rows() == []


async def test_a_call_counts_under_its_project_too(tmp_path: Path, request_of: Callable[..., ModelRequest]) -> None:
    rules = [Rule(contains="held", reply=Step(text="x", stall_at=1, stall_for=3600.0)), Rule(reply=Step(text="Done."))]
    with ModelServer(rules) as server:
        async with StoredJournal(tmp_path / "acp.db") as journal, anyio.create_task_group() as group:
            office = journal.permits(owner_of_this_process())
            shared = SharedLimits(office, {"project:api": 1})
            gateway = Gateway({"vllm": Provider(name="vllm", base_url=server.url)}, PriceTable(), shared=shared)
            for prompt in ("held", "waits"):
                group.start_soon(gateway.reply, request_of("vllm/m", prompt, project="api"), lambda word: None)
                await server.requests_arrived(1)
            await gateway.reply(request_of("vllm/m", "of another", project="web"), lambda word: None)
            while len(await office.rows()) < 2:
                await anyio.sleep(0.01)
            counted = sorted((each.limiter, each.held) for each in await office.rows())
            assert counted == [("project:api", 0), ("project:api", 1)]
            assert len(server.requests) == 2
            group.cancel_scope.cancel()
        await gateway.aclose()


async def test_a_provider_without_a_limit_costs_no_row(tmp_path: Path, request_of: Callable[..., ModelRequest]) -> None:
    with ModelServer([Rule(reply=Step(text="Done."))]) as server:
        async with StoredJournal(tmp_path / "acp.db") as journal:
            await journal.aclose()
            # Nothing could be written any more.
            shared = SharedLimits(journal.permits(owner_of_this_process()), {"other": 1})
            gateway = Gateway({"vllm": Provider(name="vllm", base_url=server.url)}, PriceTable(), shared=shared)
            await gateway.reply(request_of("vllm/m", "hi"), lambda word: None)
            await gateway.aclose()
        assert len(server.requests) == 1
