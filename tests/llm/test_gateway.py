"""The gateway: names, adapters, capacity and money."""

import subprocess
import sys

import anyio
import pytest
from pydantic import SecretStr

from acp_agent.domain.budget import Quote
from acp_agent.domain.errors import ModelError, ModelFault, UsageError
from acp_agent.domain.message import Usage, UserMessage
from acp_agent.domain.ports import Model, ModelRequest
from acp_agent.domain.redact import Redactor
from acp_agent.llm.gateway import Gateway
from acp_agent.llm.prices import PriceTable
from acp_agent.llm.provider import ModelPrice, Provider, split_model
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.script import Rule, Step

HI = (UserMessage(text="hi"),)


def test_a_gateway_is_a_model() -> None:
    model: Model = Gateway({}, PriceTable())
    assert model.cost("openai/nobody-knows", Usage(input_tokens=5)) is None


@pytest.mark.parametrize("name", ["gpt-5-mini", "openai/", "/gpt", ""])
async def test_a_model_without_a_provider_is_refused_with_a_hint(name: str) -> None:
    with pytest.raises(UsageError, match="names no provider") as caught:
        split_model(name)
    assert caught.value.hint
    with pytest.raises(ModelError) as failed:
        await Gateway({}, PriceTable()).reply(ModelRequest(model=name, messages=HI), lambda word: None)
    assert failed.value.fault is ModelFault.NOT_FOUND


@pytest.mark.parametrize(
    ("provider", "lean", "url"),
    [
        (Provider(name="openai"), True, "https://api.openai.com/v1"),
        (Provider(name="openai", base_url="http://h/v1/"), True, "http://h/v1"),
        (Provider(name="openai", base_url="http://h/v1", kind="litellm"), False, "http://h/v1"),
        (Provider(name="litellm_proxy"), True, "http://127.0.0.1:4000/v1"),
        (Provider(name="ollama"), True, "http://127.0.0.1:11434/v1"),
        (Provider(name="vllm", base_url="http://h/v1"), True, "http://h/v1"),
        (Provider(name="anthropic"), False, None),
        (Provider(name="anthropic", base_url="http://h"), False, "http://h"),
        (Provider(name="anthropic", base_url="http://h", kind="lean"), True, "http://h"),
        (Provider(name="groq"), False, None),
    ],
)
def test_the_way_to_a_provider_follows_from_name_address_and_kind(
    provider: Provider, lean: bool, url: str | None
) -> None:
    assert (provider.is_lean, provider.url) == (lean, url)


def test_a_provider_does_not_show_its_keys() -> None:
    provider = Provider(name="openai", keys=(SecretStr("sk-very-secret"), SecretStr("x1")))
    assert "very-secret" not in repr(provider) + provider.model_dump_json()
    assert provider.hide("sk-very-secret and x1") == "[redacted] and [redacted]"
    assert Provider(name="openai", keys=(SecretStr(" "), SecretStr("b\n"))).key == "b"


@pytest.mark.parametrize("before", [0, 490], ids=["over two lines", "where the message is cut"])
async def test_a_secret_in_a_complaint_is_masked_before_the_complaint_is_made_one_line(before: int) -> None:
    secret = "9tPq+Zk3L_v8WmXe7RbT"
    said = "x" * before + f" no {secret[:9]}\n{secret[9:]} here"
    error = {"message": said, "type": "invalid_request_error"}
    with ModelServer([Rule(reply=Step(status=400, error=error))]) as server:
        redact = Redactor([secret])
        gateway = Gateway({"vllm": Provider(name="vllm", base_url=server.url)}, PriceTable(), redact)
        with pytest.raises(ModelError) as caught:
            await gateway.reply(ModelRequest(model="vllm/m", messages=HI), lambda word: None)
        await gateway.aclose()
    assert secret[:5] not in caught.value.message
    assert secret[-5:] not in caught.value.message
    assert "\n" not in caught.value.message


async def test_no_more_calls_run_at_once_than_the_provider_allows() -> None:
    with ModelServer([Rule(reply=Step(text="x", delay=0.05))]) as server:
        gateway = Gateway({"vllm": Provider(name="vllm", base_url=server.url, max_concurrent=2)}, PriceTable())
        async with anyio.create_task_group() as tasks:
            for index in range(6):
                request = ModelRequest(model="vllm/m", messages=(UserMessage(text=str(index)),))
                tasks.start_soon(gateway.reply, request, lambda word: None)
        arrivals = [request.at for request in server.requests]
        await gateway.aclose()
    assert len(arrivals) == 6
    assert all(arrivals[index + 2] - arrivals[index] >= 0.04 for index in range(4))


async def test_a_quote_and_a_cost_follow_the_price_and_none_is_none() -> None:
    own = ModelPrice(input=1.0, output=10.0, max_output=100)
    gateway = Gateway({"vllm": Provider(name="vllm", base_url="http://h/v1", prices={"m": own})}, PriceTable())
    request = ModelRequest(model="vllm/m", messages=HI, max_output=3)
    quote = gateway.quote(request)
    assert quote.max_output == 3
    assert quote.worst is not None and quote.worst > 30
    assert gateway.cost("vllm/m", Usage(input_tokens=2, output_tokens=1)) == 12.0
    unknown = request.model_copy(update={"model": "vllm/other"})
    assert gateway.quote(unknown) == Quote(worst=None, max_output=3)
    assert gateway.cost("vllm/other", Usage(input_tokens=2)) is None
    assert gateway.cost("ollama/qwen3", Usage(input_tokens=2)) == 0.0


def test_the_gateway_imports_no_litellm() -> None:
    code = """
import sys
from acp_agent.llm.gateway import Gateway
from acp_agent.llm.prices import PriceTable
from acp_agent.domain.message import Usage
assert Gateway({}, PriceTable()).cost("openai/gpt-5-mini", Usage(input_tokens=1000)) > 0
print(sorted(name for name in ("litellm", "openai", "aiohttp", "acp", "mcp", "sqlalchemy") if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
