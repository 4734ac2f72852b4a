"""`acp models test`: what a check says of a model."""

from collections.abc import Callable

import pytest

from acp_agent.domain.ports import ModelRequest
from acp_agent.llm.check import ModelCheck, check_model
from acp_agent.llm.gateway import Gateway
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.script import Step

OK = Step(text="ok", usage={"prompt_tokens": 10, "completion_tokens": 1})
TOOL = Step(tools=[("report", {"result": "ok"})], usage={"prompt_tokens": 20, "completion_tokens": 2})

GatewayOf = Callable[..., Gateway]


async def check(gateway: Gateway, name: str = "openai/test-model") -> ModelCheck:
    times = iter([10.0, 12.5])
    return await check_model(gateway, name, clock=lambda: next(times))


async def test_a_model_that_answers_and_uses_its_tool_is_ok(gateway_of: GatewayOf) -> None:
    with ModelServer([OK, TOOL]) as server:
        assert await check(gateway_of(server.url)) == ModelCheck(
            model="openai/test-model", ok=True, seconds=2.5, tokens=33, cost=None, tools=True
        )
        assert [bool(request.body.get("tools")) for request in server.requests] == [False, True]


async def test_the_cost_is_told_where_the_price_is_known(gateway_of: GatewayOf) -> None:
    with ModelServer([OK, TOOL]) as server:
        row = await check(gateway_of(server.url), "openai/gpt-5-mini")
    assert row.cost == pytest.approx(30 * 2.5e-7 + 3 * 2e-6)


async def test_a_model_that_only_talks_is_not_ok(gateway_of: GatewayOf) -> None:
    with ModelServer([OK, OK]) as server:
        row = await check(gateway_of(server.url))
    assert (row.ok, row.tools, row.error) == (False, False, None)
    assert row.hint == "It answers but did not use the tool it was given: it can talk, but not work on files."


async def test_usage_of_only_one_call_is_no_sum(gateway_of: GatewayOf) -> None:
    with ModelServer([OK, Step(tools=TOOL.tools, usage=None)]) as server:
        row = await check(gateway_of(server.url), "openai/gpt-5-mini")
    assert (row.ok, row.tokens, row.cost) == (True, None, None)


async def test_a_failure_is_a_row_with_a_hint(gateway_of: GatewayOf) -> None:
    with ModelServer([Step(status=401, error={"message": "no such key"})]) as server:
        row = await check(gateway_of(server.url))
    assert row == ModelCheck(
        model="openai/test-model",
        ok=False,
        seconds=2.5,
        error="HTTP 401: no such key",
        hint="Check the provider's key: it is missing, wrong, or not allowed to use this model.",
    )


async def test_a_name_without_a_provider_is_a_row_too(
    gateway_of: GatewayOf, request_of: Callable[..., ModelRequest]
) -> None:
    row = await check(gateway_of("http://127.0.0.1:9/v1"), "gpt-5-mini")
    assert (row.ok, row.error is not None and "names no provider" in row.error) == (False, True)
