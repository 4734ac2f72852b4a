"""The scripted model server, asked over real HTTP."""

import asyncio
import doctest
import json
import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from acp_agent.testing import model_server
from acp_agent.testing.killer import Victim
from acp_agent.testing.model_server import ModelServer, ScriptNotFollowed
from acp_agent.testing.request import Request, read_log
from acp_agent.testing.script import Rule, Script, Step
from acp_agent.testing.script_file import save_script

USER = {"role": "user", "content": "Please fix the bug."}
SPOKEN = {"role": "assistant", "content": "hm"}
RESULT = {"role": "tool", "tool_call_id": "call_0_0", "content": "it is 42"}


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60.0, trust_env=False) as client:
        yield client


def ask(client: httpx.Client, server: ModelServer, *messages: dict[str, Any], **fields: Any) -> httpx.Response:
    body = {"model": "test-model", "messages": messages or (USER,), **fields}
    return client.post(f"{server.url}/chat/completions", json=body)


def said(reply: httpx.Response) -> str:
    content = reply.json()["choices"][0]["message"]["content"]
    assert isinstance(content, str)
    return content


def chunks(reply: httpx.Response) -> list[dict[str, Any]]:
    lines = [line for line in reply.text.splitlines() if line]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def deltas(reply: httpx.Response) -> list[dict[str, Any]]:
    return [chunk["choices"][0]["delta"] for chunk in chunks(reply) if chunk["choices"]]


def test_the_example_of_the_docstring_is_true() -> None:
    assert doctest.testmod(model_server) == (0, 8)


def test_a_rule_answers_by_the_turn_of_the_conversation_also_after_a_restart(client: httpx.Client) -> None:
    rule = Rule(contains="fix the bug", turns=[Step(tools=[("read", {"path": "a.py"})]), Step(text="done")])
    with ModelServer([rule]) as server:
        assert ask(client, server).json() == {
            "id": f"chatcmpl-{server.requests[0].conversation}-0",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "test-model",
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [
                            {
                                "id": "call_0_0",
                                "type": "function",
                                "function": {"name": "read", "arguments": '{"path":"a.py"}'},
                            }
                        ],
                    },
                    "finish_reason": "tool_calls",
                }
            ],
            "usage": {"prompt_tokens": 4, "completion_tokens": 4, "total_tokens": 8},
        }
    with ModelServer([rule], port=server.port) as restarted:
        assert said(ask(client, restarted, USER, SPOKEN, RESULT)) == "done"
        assert said(ask(client, restarted, USER, SPOKEN, RESULT)) == "done"


def test_a_stream_carries_reasoning_text_parallel_tools_and_usage(client: httpx.Client) -> None:
    step = Step(
        text="grüße 🙂!",
        reasoning="think",
        tools=[("read", {"a": 1}), ("write", '{"b": ')],
        chunk=4,
        cached_tokens=3,
    )
    with ModelServer([step]) as server:
        reply = ask(client, server, stream=True, stream_options={"include_usage": True})
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"

    def call(index: int, **fields: Any) -> dict[str, Any]:
        return {"tool_calls": [{"index": index, **fields}]}

    assert deltas(reply) == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "thin"},
        {"reasoning_content": "k"},
        {"content": "grüß"},
        {"content": "e 🙂!"},
        call(0, id="call_0_0", type="function", function={"name": "read", "arguments": ""}),
        call(0, function={"arguments": '{"a"'}),
        call(0, function={"arguments": ":1}"}),
        call(1, id="call_0_1", type="function", function={"name": "write", "arguments": ""}),
        call(1, function={"arguments": '{"b"'}),
        call(1, function={"arguments": ": "}),
        {},
    ]
    *_, last, usage = chunks(reply)
    assert last["choices"][0]["finish_reason"] == "tool_calls"
    assert usage["choices"] == []
    assert usage["usage"] == {
        "prompt_tokens": 4,
        "completion_tokens": 8,
        "total_tokens": 12,
        "completion_tokens_details": {"reasoning_tokens": 1},
        "prompt_tokens_details": {"cached_tokens": 3},
    }


def test_parallel_tool_calls_can_be_interleaved(client: httpx.Client) -> None:
    step = Step(tools=[("a", "12"), ("b", "3456")], chunk=2, interleave=True)
    with ModelServer([step]) as server:
        reply = ask(client, server, stream=True)
    calls = [delta["tool_calls"][0] for delta in deltas(reply) if "tool_calls" in delta]
    assert [(call["index"], call["function"]["arguments"]) for call in calls] == [
        (0, ""),
        (1, ""),
        (0, "12"),
        (1, "34"),
        (1, "56"),
    ]


def test_call_ids_stay_unique_when_history_was_compacted(client: httpx.Client) -> None:
    earlier = {"role": "assistant", "tool_calls": [{"id": "call_1_0", "function": {"name": "a", "arguments": "{}"}}]}
    with ModelServer([Step(tools=[("a", {}), ("a", {})])]) as server:
        message = ask(client, server, USER, earlier, RESULT).json()["choices"][0]["message"]
    assert [call["id"] for call in message["tool_calls"]] == ["call_2_0", "call_2_1"]


@pytest.mark.parametrize(
    ("usage", "seen"),
    [
        (None, None),
        ({"prompt_tokens": 7, "completion_tokens": 2}, {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}),
    ],
)
def test_usage_can_be_left_out_or_given(client: httpx.Client, usage: dict[str, int] | None, seen: object) -> None:
    with ModelServer([Step(text="x", usage=usage), Step(text="x", usage=usage)]) as server:
        assert ask(client, server).json().get("usage") == seen
        reply = ask(client, server, stream=True, stream_options={"include_usage": True})
    assert [chunk["usage"] for chunk in chunks(reply) if "usage" in chunk] == ([seen] if seen else [])


def test_a_rule_may_answer_only_so_often(client: httpx.Client) -> None:
    rules = [
        Rule(times=1, reply=Step(status=503)),
        Rule(times_each=1, reply=Step(status=429, headers={"Retry-After": "7"}, error={"code": "rate_limit_exceeded"})),
        Rule(reply=Step(text="ok")),
    ]
    with ModelServer(rules) as server:
        replies = [ask(client, server, user=user) for user in ("a", "a", "a", "b", "b")]
        assert [request.conversation for request in server.requests] == ["a", "a", "a", "b", "b"]
    assert [reply.status_code for reply in replies] == [503, 429, 200, 429, 200]
    assert replies[1].headers["retry-after"] == "7"
    assert replies[1].json() == {
        "error": {"message": "injected", "type": "server_error", "param": None, "code": "rate_limit_exceeded"}
    }


def test_steps_are_used_in_order_after_rules_and_callable(client: httpx.Client) -> None:
    def answer(request: Request) -> Step | None:
        return Step(text=request.prompt.upper()) if request.prompt == "shout" else None

    script = Script(
        rules=[Rule(contains="bug", turns=[Step(text="rule")])],
        answer=answer,
        steps=[Step(text="one"), Step(text="two")],
        repeat_last_step=True,
    )
    prompts = ["bug", "x", "shout", "x", "x"]
    with ModelServer(script) as server:
        answers = [said(ask(client, server, {"role": "user", "content": prompt})) for prompt in prompts]
    assert answers == ["rule", "one", "SHOUT", "two", "two"]


def test_an_unexpected_call_gets_a_500_and_fails_the_test(client: httpx.Client) -> None:
    with pytest.raises(ScriptNotFollowed, match="no rule matched: model 'test-model', turn 0"), ModelServer() as server:
        reply = ask(client, server)
    assert (reply.status_code, reply.json()["error"]["code"]) == (500, "no_rule_matched")
    with ModelServer(strict=False) as server:
        assert ask(client, server).status_code == 500


def test_steps_that_nobody_asked_for_fail_the_test() -> None:
    with pytest.raises(ScriptNotFollowed, match="1 of 1 steps were not used"), ModelServer([Step(text="unheard")]):
        pass


def test_what_a_callable_raises_reaches_the_test(client: httpx.Client) -> None:
    def answer(request: Request) -> Step:
        assert request.prompt == "something else"
        return Step()

    with pytest.raises(AssertionError), ModelServer(answer) as server:
        assert ask(client, server).json()["error"]["type"] == "script_raised"


def test_models_keys_and_unknown_paths(client: httpx.Client) -> None:
    with ModelServer([Step(text="hello")], models=["a", "b"], api_key="secret") as server:
        assert ask(client, server).status_code == 401
        client.headers["authorization"] = "Bearer secret"
        listed = client.get(f"{server.url}/models").json()
        assert ask(client, server).status_code == 200
        missing = client.post(f"{server.url}/embeddings", json={})
        assert client.post(f"{server.url}/chat/completions", content=b"{").status_code == 400
        requests = server.requests
    assert [model["id"] for model in listed["data"]] == ["a", "b"]
    assert missing.status_code == 404
    assert missing.json()["error"] == {
        "message": "Invalid URL (POST /v1/embeddings)",
        "type": "invalid_request_error",
        "param": None,
        "code": "not_found",
    }
    assert [request.is_chat for request in requests] == [True, False, True, False, True]
    assert [request.api_key for request in requests] == [None, "secret", "secret", "secret", "secret"]


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_can_be_hung_up_on(client: httpx.Client, stream: bool) -> None:
    with (
        ModelServer([Step(hang_up=True)]) as server,
        pytest.raises(httpx.RemoteProtocolError, match="without sending a response"),
    ):
        ask(client, server, stream=stream)


@pytest.mark.parametrize(("cut_after", "events"), [(0, 0), (1, 1), (4, 4), (99, 9)])
def test_a_cut_lets_exactly_so_many_chunks_through(cut_after: int, events: int) -> None:
    step = Step(tools=[("write", {"text": "abcdefgh"})], chunk=4, cut_after=cut_after)
    body = json.dumps({"model": "m", "messages": [USER], "stream": True}).encode()
    with ModelServer([step]) as server, socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        received = b""
        while data := connection.recv(65536):
            received += data
    head, _, rest = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert rest.count(b"data: ") == events
    assert not rest.endswith(b"0\r\n\r\n")


def test_a_cut_without_streaming_ends_in_the_middle_of_the_body(client: httpx.Client) -> None:
    with ModelServer([Step(text="x", cut_after=0)]) as server, pytest.raises(httpx.RemoteProtocolError):
        ask(client, server)


def test_garbage_breaks_one_chunk_or_the_body(client: httpx.Client) -> None:
    with ModelServer([Step(text="one two", chunk=4, garbage_at=1), Step(text="x", garbage_at=0)]) as server:
        lines = [line[6:] for line in ask(client, server, stream=True).text.splitlines() if line]
        whole = ask(client, server)
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(lines[1])
    assert json.loads(lines[2])["choices"][0]["delta"] == {"content": "two"}
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        whole.json()


def test_an_error_may_come_in_the_middle_of_a_stream(client: httpx.Client) -> None:
    step = Step(text="one two", chunk=4, error_at=2, error={"message": "overloaded", "code": 529})
    with ModelServer([step]) as server:
        reply = ask(client, server, stream=True)
    lines = [json.loads(line[6:]) for line in reply.text.splitlines() if line]
    assert reply.status_code == 200
    assert len(lines) == 3
    assert lines[-1]["error"]["message"] == "overloaded"


def test_a_client_that_leaves_a_stall_is_noticed(client: httpx.Client) -> None:
    with ModelServer([Step(text="one two", chunk=4, stall_at=2)]) as server:
        body = {"model": "m", "messages": [USER], "stream": True}
        with client.stream("POST", f"{server.url}/chat/completions", json=body) as reply:
            lines = reply.iter_lines()
            first = [next(lines) for _ in range(4)]
            assert server.hang_ups == ()
        assert server.wait_for_hang_ups(1) == server.requests
    assert [json.loads(line[6:])["choices"][0]["delta"] for line in first if line][1] == {"content": "one "}


def test_delay_and_gap_take_their_time(client: httpx.Client) -> None:
    with ModelServer([Step(text="abcd", chunk=1, delay=0.1, gap=0.02)]) as server:
        started = time.monotonic()
        with client.stream(
            "POST", f"{server.url}/chat/completions", json={"model": "m", "messages": [USER], "stream": True}
        ) as reply:
            first = time.monotonic() - started
            reply.read()
        whole = time.monotonic() - started
    assert first >= 0.1
    assert whole >= 0.1 + 5 * 0.02


def test_stopping_does_not_wait_for_a_stalled_reply() -> None:
    with ThreadPoolExecutor() as pool, httpx.Client(trust_env=False) as client:
        with ModelServer([Step(text="x", delay=3600.0)]) as server:
            asked = pool.submit(ask, client, server)
            server.wait_for_requests(1)
        assert isinstance(asked.exception(timeout=60), httpx.RemoteProtocolError)
        assert server.hang_ups == ()


def test_waiting_for_requests_says_how_many_came(client: httpx.Client) -> None:
    with ModelServer([Step(text="x")]) as server:
        ask(client, server)
        assert [request.prompt for request in server.wait_for_requests(1)] == ["Please fix the bug."]
        with pytest.raises(TimeoutError, match=r"1 of 2 requests after 0.01 s"):
            server.wait_for_requests(2, 0.01)
        with pytest.raises(TimeoutError, match="0 of 1"):
            server.wait_for_requests(1, 0.01, where=lambda request: request.streams)


async def test_async_code_can_wait_and_ask_while_many_talk_at_once() -> None:
    rule = Rule(contains="job", turns=[Step(tools=[("work", {})], delay=0.05), Step(text="done")])
    with ModelServer([rule]) as server:
        limits = httpx.Limits(max_connections=128)
        async with httpx.AsyncClient(trust_env=False, limits=limits, timeout=60.0) as client:

            async def run(number: int) -> str:
                messages: list[dict[str, Any]] = [{"role": "user", "content": f"job {number}"}]
                for _ in range(2):
                    body = {"model": "m", "messages": messages}
                    reply = await client.post(f"{server.url}/chat/completions", json=body)
                    messages.append(reply.json()["choices"][0]["message"])
                return f"{messages[1]['tool_calls'][0]['id']} {messages[2]['content']}"

            async with asyncio.TaskGroup() as tasks:
                runs = [tasks.create_task(run(number)) for number in range(96)]
                waited = await server.requests_arrived(96)
        assert len(waited) >= 96
        assert {task.result() for task in runs} == {"call_0_0 done"}
        assert len({request.conversation for request in server.requests}) == 96


def test_a_reply_costs_less_than_a_millisecond() -> None:
    """From the last byte of the request to the last byte of 200 chunks, over a plain socket."""
    body = json.dumps({"model": "m", "messages": [USER], "stream": True}).encode()
    request = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with (
        ModelServer([Rule(reply=Step(text="w" * 1000, chunk=5))]) as server,
        socket.create_connection(("127.0.0.1", server.port)) as connection,
    ):
        times, received = [], b""
        for _ in range(50):
            started = time.perf_counter()
            connection.sendall(request)
            received = b""
            while not received.endswith(b"0\r\n\r\n"):
                received += connection.recv(1 << 20)
            times.append(time.perf_counter() - started)
    assert received.count(b"data: ") == 203
    # The least of fifty: other work on the machine does not change it. 0.24 ms where this was written.
    assert min(times) < 0.01


def test_a_port_in_use_is_the_callers_error() -> None:
    with ModelServer() as server, pytest.raises(ExceptionGroup) as raised:
        ModelServer(port=server.port).start()
    assert raised.group_contains(OSError)


def test_the_process_form_serves_logs_and_ends_quietly(client: httpx.Client, tmp_path: Path) -> None:
    script = Script(rules=[Rule(contains="bug", turns=[Step(text="from a file")])])
    path = save_script(script, tmp_path / "script.json")
    log = tmp_path / "requests.jsonl"
    command: list[str | Path] = [sys.executable, "-m", "acp_agent.testing.model_server", "--script", path, "--log", log]
    with Victim(command) as victim:
        url = victim.wait_for_line(r"^READY (http://127\.0\.0\.1:\d+/v1)$")[1]
        body = {"model": "m", "messages": [USER]}
        for _ in range(2):
            assert said(client.post(f"{url}/chat/completions", json=body)) == "from a file"
        assert [(request.path, request.body) for request in read_log(log)] == [("/v1/chat/completions", body)] * 2
        victim.signal(signal.SIGTERM)
        ending = victim.wait()
    assert (ending.exit_code, ending.output, ending.errors) == (0, f"READY {url}\n", "")
