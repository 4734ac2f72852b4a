"""Prices: what is known, what is not, and the bounds and sums made of them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_agent.domain.budget import Quote
from acp_agent.domain.message import AssistantMessage, ToolCall, ToolMessage, Usage, UserMessage
from acp_agent.domain.ports import ModelRequest
from acp_agent.domain.tool import Risk, ToolSpec
from acp_agent.llm.prices import PriceTable, _TableText, litellm_table
from acp_agent.llm.provider import ModelPrice, Provider
from acp_agent.llm.sources import KEY_SOURCES
from acp_agent.llm.tokens import DEFAULT_MAX_OUTPUT, cost_of, input_bound, quote_of

TABLE = PriceTable()


def price(name: str, **fields: Any) -> ModelPrice | None:
    provider, _, model = name.partition("/")
    return TABLE.price(Provider(name=provider, **fields), model)


def test_the_table_is_found_and_read_without_importing_litellm() -> None:
    found = price("openai/gpt-5-mini")
    assert found == ModelPrice(
        input=2.5e-07, output=2e-06, cached=2.5e-08, max_output=128000, context_window=272000, vision=True
    )
    if "litellm" in sys.modules:  # another test of this process may have used it
        return
    assert not [name for name in sys.modules if name.startswith("litellm")]


def test_every_entry_is_found_by_searching_the_text_as_by_parsing_it() -> None:
    path = litellm_table()
    assert path is not None
    text = path.read_text("utf-8")
    table = _TableText(text)
    assert table._indented
    parsed = json.loads(text)
    for name in [*list(parsed)[::7], "no-such-model", 'with "quotes"', ""]:
        assert table.entry(name) == parsed.get(name), name


def test_a_table_written_otherwise_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text('{"acme/a": {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}, "acme/b": 7}')
    assert PriceTable(path).listed("acme", "a") == ModelPrice(input=1e-6, output=2e-6, tools=False)
    assert PriceTable(path).listed("acme", "b") is None


@pytest.mark.parametrize(
    "name",
    [
        "openai/test-model",
        "litellm_proxy/gpt-5-mini",
        "nobody/gpt-5-mini",
        "anthropic/gpt-5-mini",
        "openai/sample_spec",
    ],
)
def test_an_unknown_price_is_none(name: str) -> None:
    assert price(name) is None


def test_a_price_of_zero_in_the_table_is_unknown_but_a_server_at_home_is_free() -> None:
    assert price("codestral/codestral-latest") is None
    for name in ("ollama/anything", "ollama/llama3"):
        found = price(name)
        assert found is not None
        assert (found.input, found.output) == (0.0, 0.0)


def test_the_users_own_price_goes_first_and_keeps_the_tables_sizes() -> None:
    mine, rest = ModelPrice(input=1.0, output=2.0), ModelPrice(input=3.0, output=4.0)
    found = price("openai/gpt-5-mini", prices={"gpt-5-mini": mine, "*": rest})
    assert found == mine.model_copy(update={"max_output": 128000, "context_window": 272000})
    assert price("litellm_proxy/any", prices={"*": rest}) == rest
    sized = price("openai/gpt-5-mini", max_output=5, context_window=6)
    assert sized is not None
    assert (sized.max_output, sized.context_window) == (5, 6)


PRICED_SOURCES = [source for source in KEY_SOURCES if source.provider != "openrouter"]  # sets its prices by the day


@pytest.mark.parametrize("source", PRICED_SOURCES, ids=lambda source: source.provider)
def test_the_model_a_key_stands_for_has_a_price_and_can_use_tools(source: Any) -> None:
    found = price(f"{source.provider}/{source.model}")
    assert found is not None
    assert found.tools


def test_long_prompts_are_billed_by_their_tier() -> None:
    found = price("gemini/gemini-2.5-pro")
    assert found is not None
    assert [size for size, _ in found.above] == [200_000]
    short, long = Usage(input_tokens=200_000), Usage(input_tokens=200_001)
    assert cost_of(long, found) / cost_of(short, found) == pytest.approx(2.0, rel=1e-3)


def test_cached_and_reasoning_tokens_have_their_own_price() -> None:
    own = ModelPrice(input=10.0, output=100.0, cached=1.0, reasoning=50.0)
    usage = Usage(input_tokens=10, output_tokens=10, cached_tokens=4, reasoning_tokens=2)
    assert cost_of(usage, own) == 6 * 10 + 4 * 1 + 8 * 100 + 2 * 50
    assert cost_of(usage, ModelPrice(input=1.0, output=1.0)) == 20


READ = ToolSpec(name="read", description="Read.", parameters={"type": "object"}, risk=Risk.READ)


def asked(*messages: Any, **fields: Any) -> ModelRequest:
    return ModelRequest(model="openai/m", messages=messages, **fields)


@given(st.lists(st.text(), max_size=5), st.text())
def test_the_bound_is_at_least_a_token_for_every_byte(texts: list[str], arguments: str) -> None:
    call = ToolCall(call_id="a", name="read", arguments=arguments)
    answer = ToolMessage(call_id="a", name="read", text="".join(texts))
    messages = (*(UserMessage(text=text) for text in texts), AssistantMessage(calls=(call,)), answer)
    size = sum(len(text.encode()) for text in [*texts, *texts, arguments])
    assert input_bound(asked(*messages)) >= size
    assert input_bound(asked(*messages, tools=(READ,))) > input_bound(asked(*messages))


def test_what_the_provider_counted_replaces_the_bound_of_those_messages() -> None:
    messages = (UserMessage(text="x" * 4000), UserMessage(text="y"))
    assert input_bound(asked(*messages, known_tokens=1000, known_messages=1)) == 1000 + input_bound(asked(messages[1]))
    assert input_bound(asked(*messages, known_tokens=0, known_messages=1)) == input_bound(asked(*messages))


def test_a_quote_is_the_dearest_the_call_can_be() -> None:
    own = ModelPrice(input=1.0, output=10.0, cached=0.1, max_output=50)
    request = asked(UserMessage(text="hi"))
    size = input_bound(request)
    assert quote_of(request, own, None) == Quote(worst=size + 500, max_output=50)
    assert quote_of(request, own, 20) == Quote(worst=size + 200, max_output=20)
    limited = request.model_copy(update={"max_output": 5})
    assert quote_of(limited, own, 20) == Quote(worst=size + 50, max_output=5)
    assert quote_of(request, None, None) == Quote(worst=None, max_output=DEFAULT_MAX_OUTPUT)
    tiered = own.model_copy(update={"above": ((size - 1, ModelPrice(input=2.0, output=20.0)),)})
    assert quote_of(request, tiered, None).worst == 2 * (size + 500)
