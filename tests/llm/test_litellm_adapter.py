"""The litellm adapter, forced onto the scripted server: the same replies and the same faults as on the lean path."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import pytest
from pydantic import SecretStr

from acp_agent.domain.errors import ModelError, ModelFault
from acp_agent.domain.message import AssistantMessage, Reply, ToolCall, Usage, UserMessage, Word
from acp_agent.domain.ports import ModelRequest
from acp_agent.domain.tool import Risk, ToolSpec
from acp_agent.llm.gateway import Gateway
from acp_agent.llm.prices import PriceTable
from acp_agent.llm.provider import Provider
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.script import Step

# Its own libraries warn about each other while they are imported.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

KEY = "sk-test-1234567890"
READ = ToolSpec(name="read_file", description="Read.", parameters={"type": "object", "properties": {}}, risk=Risk.READ)

RequestOf = Callable[..., ModelRequest]
GatewayOf = Callable[..., Gateway]


@pytest.fixture(scope="module", autouse=True)
def called_once(clean_environment: None) -> None:
    """The first call imports for longer than some tests let it be silent; the event loop stands still meanwhile."""

    async def call(url: str) -> None:
        provider = Provider(name="openai", base_url=url, kind="litellm", keys=(SecretStr(KEY),))
        gateway = Gateway({"openai": provider}, PriceTable())
        await gateway.reply(ModelRequest(model="openai/m", messages=(UserMessage(text="hi"),)), lambda word: None)
        await gateway.aclose()

    with ModelServer([Step(text="x")]) as server:
        anyio.run(call, server.url)


async def reply_of(gateway: Gateway, request: ModelRequest) -> tuple[Reply, list[Word]]:
    words: list[Word] = []
    return await gateway.reply(request, words.append), words


async def error_of(gateway: Gateway, request: ModelRequest) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await gateway.reply(request, lambda word: None)
    assert KEY not in str(caught.value)
    return caught.value


async def test_a_reply_streams_with_reasoning_tools_and_usage(
    request_of: RequestOf, gateway_of: GatewayOf, capfd: pytest.CaptureFixture[str]
) -> None:
    step = Step(
        text="Reading both.",
        reasoning="Which ones?",
        tools=[("read_file", {"path": "größe.py"}), ("read_file", "{broken")],
        usage={"prompt_tokens": 12, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 2}},
        cached_tokens=4,
        chunk=5,
        interleave=True,
    )
    with ModelServer([step]) as server:
        gateway = gateway_of(server.url, kind="litellm")
        reply, words = await reply_of(gateway, request_of(tools=(READ,), max_output=77))
        (request,) = server.requests
    assert reply == Reply(
        message=AssistantMessage(
            text=step.text,
            reasoning=step.reasoning,
            calls=(
                ToolCall(call_id="call_0_0", name="read_file", arguments='{"path":"größe.py"}'),
                ToolCall(call_id="call_0_1", name="read_file", arguments="{broken"),
            ),
        ),
        stop="tool_calls",
        model="openai/test-model",
        usage=Usage(input_tokens=12, output_tokens=9, cached_tokens=4, reasoning_tokens=2),
    )
    assert "".join(word.text for word in words if word.kind == "text") == step.text
    assert (request.api_key, request.body["max_tokens"], request.body["model"]) == (KEY, 77, "test-model")
    assert request.body["tools"][0]["function"]["name"] == "read_file"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Step(text="x" * 48, cut_after=2), (ModelFault.CUT, None)),
        (Step(text="x" * 48, garbage_at=2), (ModelFault.MALFORMED, None)),
        (Step(text="x" * 48, stall_at=2), (ModelFault.TIMEOUT, None)),
        (Step(delay=3600.0), (ModelFault.TIMEOUT, None)),
        (Step(hang_up=True), (ModelFault.NETWORK, None)),
        (Step(text=""), (ModelFault.EMPTY, None)),
        (Step(text="x" * 48, error_at=2, error={"message": "Overloaded", "type": "x"}), (ModelFault.OVERLOADED, None)),
        (
            Step(status=429, error={"code": "rate_limit_exceeded"}, headers={"Retry-After": "7"}),
            (ModelFault.RATE_LIMIT, 7),
        ),
        (Step(status=429, error={"code": "insufficient_quota"}), (ModelFault.QUOTA, None)),
        (Step(status=400, error={"code": "context_length_exceeded"}), (ModelFault.CONTEXT_LENGTH, None)),
        (Step(status=400, error={"message": "prompt is too long: 9 > 8"}), (ModelFault.CONTEXT_LENGTH, None)),
        (Step(status=400, error={"message": "no"}), (ModelFault.BAD_REQUEST, None)),
        (Step(status=401, error={"message": f"bad {KEY}"}), (ModelFault.AUTH, None)),
        (Step(status=402, error={}), (ModelFault.QUOTA, None)),
        (Step(status=404, error={}), (ModelFault.NOT_FOUND, None)),
        (Step(status=500, error={}), (ModelFault.SERVER, None)),
        (Step(status=503, error={}), (ModelFault.OVERLOADED, None)),
        (Step(status=529, error={}), (ModelFault.OVERLOADED, None)),
    ],
    ids=lambda value: value[0].value if isinstance(value, tuple) else "",
)
async def test_a_failure_has_the_class_it_has_on_the_lean_path(
    request_of: RequestOf,
    gateway_of: GatewayOf,
    capfd: pytest.CaptureFixture[str],
    step: Step,
    expected: tuple[ModelFault, float | None],
) -> None:
    with ModelServer([step, step]) as server:
        request = request_of(timeout=0.4 if expected[0] is ModelFault.TIMEOUT else 20.0)
        slow = await error_of(gateway_of(server.url, kind="litellm"), request)
        assert len(server.requests) == 1, "litellm must not retry"
        lean = await error_of(gateway_of(server.url), request)
    assert (slow.fault, slow.retry_after) == expected
    assert (lean.fault, lean.retry_after) == expected
    assert "litellm" not in slow.message
    assert capfd.readouterr() == ("", "")


async def test_a_stream_that_ends_without_saying_so_is_cut(
    request_of: RequestOf, gateway_of: GatewayOf, raw_server: Callable[..., str]
) -> None:
    url = raw_server(
        b'data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
    )
    assert (await error_of(gateway_of(url, kind="litellm"), request_of())).fault is ModelFault.CUT


async def test_a_slow_stream_is_not_silent(request_of: RequestOf, gateway_of: GatewayOf) -> None:
    # As a whole it takes longer than it may be silent; each gap is far shorter.
    with ModelServer([Step(text="x" * 160, chunk=8, gap=0.1)]) as server:
        reply, _ = await reply_of(gateway_of(server.url, kind="litellm"), request_of(timeout=1.5))
    assert len(reply.message.text) == 160


async def test_many_equal_chunks_are_a_legal_reply(request_of: RequestOf, gateway_of: GatewayOf) -> None:
    with ModelServer([Step(text="=" * 800, chunk=4)]) as server:
        reply, _ = await reply_of(gateway_of(server.url, kind="litellm"), request_of())
    assert reply.message.text == "=" * 800


async def test_a_caller_that_leaves_hangs_up(request_of: RequestOf, gateway_of: GatewayOf) -> None:
    with ModelServer([Step(text="x" * 48, stall_at=2)]) as server:
        gateway = gateway_of(server.url, kind="litellm")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(gateway.reply, request_of(), lambda word: tasks.cancel_scope.cancel())
        await anyio.to_thread.run_sync(server.wait_for_hang_ups, 1)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("model", "faults"),
    [("no_such_provider/x", {ModelFault.NOT_FOUND}), ("anthropic/claude-sonnet-4-5", {ModelFault.AUTH})],
)
async def test_what_litellm_itself_refuses_is_a_fault_too(
    request_of: RequestOf, gateway_of: GatewayOf, capfd: pytest.CaptureFixture[str], model: str, faults: set[ModelFault]
) -> None:
    error = await error_of(gateway_of("http://127.0.0.1:9/v1"), request_of(model))
    assert error.fault in faults
    assert capfd.readouterr() == ("", "")


async def test_its_loggers_have_nobody_to_print_through(request_of: RequestOf, gateway_of: GatewayOf) -> None:
    gateway = gateway_of("http://127.0.0.1:9/v1", kind="litellm")
    await gateway.warm("openai/x")
    loggers = [name for name in logging.root.manager.loggerDict if name.lower().startswith("litellm")]
    assert loggers
    for name in loggers:
        handlers = [type(handler) for handler in logging.getLogger(name).handlers]
        assert (handlers, logging.getLogger(name).propagate) == ([logging.NullHandler], False)


IN_A_PROCESS_OF_ITS_OWN = """
import asyncio, socket, sys, threading
import anyio
from acp_agent.domain.message import UserMessage
from acp_agent.domain.ports import ModelRequest
from acp_agent.llm import litellm_adapter
from acp_agent.llm.gateway import Gateway
from acp_agent.llm.prices import PriceTable
from acp_agent.llm.provider import Provider

url = sys.argv[1]
imports, real, threads, hosts = [], litellm_adapter._import, set(), set()
def counted():
    imports.append(threading.current_thread() is threading.main_thread())
    return real()
litellm_adapter._import = counted
look_up = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: (hosts.add(str(host)), look_up(host, *rest, **more))[1]
sys.addaudithook(lambda event, what: hosts.add(str(what[1][0])) if event == "socket.connect" else None)

async def main():
    gateway = Gateway({"openai": Provider(name="openai", base_url=url, kind="litellm", keys=("k",))}, PriceTable())
    request = ModelRequest(model="openai/m", messages=(UserMessage(text="hi"),))
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(gateway.reply, request, lambda word: None)
    await gateway.aclose()
    print(imports, sorted(hosts), "litellm.proxy.proxy_server" in sys.modules)

asyncio.run(main())
"""


async def test_concurrent_first_calls_import_once_in_a_thread_and_ask_nobody_else() -> None:
    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "default::ResourceWarning", "-c", IN_A_PROCESS_OF_ITS_OWN]
        return subprocess.run([*command, server.url], capture_output=True, text=True, check=False)

    with ModelServer([Step(text="x")] * 3) as server:
        done = await anyio.to_thread.run_sync(run)
    assert (done.stdout, done.stderr) == ("[False] ['127.0.0.1'] False\n", "")


def test_nothing_in_a_mapping_of_errors_is_left_out() -> None:
    from acp_agent.llm.litellm_adapter import translated

    class Odd(Exception):
        status_code = 418
        body: Mapping[str, Any] = {"message": "I am a teapot", "type": "x"}

    error = translated(Odd("litellm.Odd: teapot"), begun=False, silence=1.0, hide=str)
    assert (error.fault, error.message, error.status) == (ModelFault.BAD_REQUEST, "HTTP 418: I am a teapot", 418)
    plain = translated(KeyError("choices"), begun=True, silence=1.0, hide=str)
    assert (plain.fault, plain.message) == (ModelFault.SERVER, "'choices'")


async def test_a_server_without_usage_gives_none(request_of: RequestOf, gateway_of: GatewayOf) -> None:
    with ModelServer([Step(text="x", usage=None)]) as server:
        reply, _ = await reply_of(gateway_of(server.url, kind="litellm"), request_of())
    assert reply.usage is None


ANTHROPIC_REPLY = [
    {
        "type": "message_start",
        "message": {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": "c",
            "usage": {"input_tokens": 25, "output_tokens": 1, "cache_read_input_tokens": 5},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "content_block_start",
        "index": 1,
        "content_block": {"type": "tool_use", "id": "toolu_1", "name": "read_file", "input": {}},
    },
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"path":'}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '"a"}'}},
    {"type": "content_block_stop", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 15}},
    {"type": "message_stop"},
]


def at(url: str) -> Gateway:
    provider = Provider(name="anthropic", base_url=url.removesuffix("/v1"), keys=(SecretStr(KEY),))
    return Gateway({"anthropic": provider}, PriceTable())


async def test_a_wire_that_is_not_openais_gives_the_same_reply(
    request_of: RequestOf, raw_server: Callable[..., str], capfd: pytest.CaptureFixture[str]
) -> None:
    events = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in ANTHROPIC_REPLY)
    gateway = at(raw_server(events.encode()))
    reply, words = await reply_of(gateway, request_of("anthropic/claude-sonnet-4-5", tools=(READ,)))
    usage = Usage(input_tokens=30, output_tokens=15, cached_tokens=5)
    call = ToolCall(call_id="toolu_1", name="read_file", arguments='{"path":"a"}')
    assert reply == Reply(
        message=AssistantMessage(text="Hi", calls=(call,)),
        stop="tool_calls",
        model="anthropic/claude-sonnet-4-5",
        usage=usage,
    )
    assert words == [Word(kind="text", text="Hi")]
    assert gateway.cost(reply.model, usage) == pytest.approx(25 * 3e-6 + 5 * 3e-7 + 15 * 1.5e-5)
    await gateway.aclose()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("status", "kind", "words", "fault"),
    [
        (529, "overloaded_error", "Busy", ModelFault.OVERLOADED),
        (400, "invalid_request_error", "prompt is too long: 9 > 8", ModelFault.CONTEXT_LENGTH),
        (400, "invalid_request_error", "Your credit balance is too low", ModelFault.QUOTA),
    ],
)
async def test_an_error_of_a_wire_that_is_not_openais_is_classified(
    request_of: RequestOf, raw_server: Callable[..., str], status: int, kind: str, words: str, fault: ModelFault
) -> None:
    body = json.dumps({"type": "error", "error": {"type": kind, "message": words}}).encode()
    head = f"HTTP/1.1 {status} No\r\ncontent-type: application/json\r\nretry-after: 3\r\ncontent-length: {len(body)}"
    gateway = at(raw_server(body, head=head))
    error = await error_of(gateway, request_of("anthropic/claude-sonnet-4-5"))
    assert (error.fault, error.retry_after, error.message.partition(": ")[2]) == (fault, 3.0, words)
    await gateway.aclose()
