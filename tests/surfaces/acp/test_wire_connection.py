"""A connection answers each request exactly once, whatever the client or a method does."""

import logging
from typing import Any

import anyio
import pytest

from acp_agent.domain.errors import AcpAgentError, Refused, UsageError
from acp_agent.surfaces.acp.call import Call, Method
from acp_agent.surfaces.acp.faults import AuthRequired, NotFound
from acp_agent.surfaces.acp.fields import Params
from acp_agent.surfaces.acp.params import ListSessions, NewSession, Prompt
from tests.surfaces.acp.methods import NEW, PROMPT, opened, serving
from tests.surfaces.acp.wire import wired


async def test_ids_come_back_as_they_were() -> None:
    async with wired(serving()) as client:
        for message_id in (0, -1, 2**63, "7", "", "ünï", None):
            client.ask("session/list", {}, message_id) if message_id is not None else client.send(
                {"jsonrpc": "2.0", "id": None, "method": "session/list", "params": {}}
            )
            assert await client.answer(message_id) == {
                "jsonrpc": "2.0",
                "id": message_id,
                "result": {"sessions": []},
            }


async def test_initialize_comes_first_and_once() -> None:
    async with wired(serving(), initialized=None) as client:
        assert (await client.call("session/list", {}))["error"]["code"] == -32600
        assert (await client.call("nonsense", {}))["error"]["code"] == -32600
        wrong = await client.call("initialize", {"protocolVersion": "1"})
        assert wrong["error"] == {"code": -32602, "message": "protocolVersion: must be an integer"}
        for version in (65535,):
            result = (await client.call("initialize", {"protocolVersion": version}))["result"]
            assert result["protocolVersion"] == 1
        again = await client.call("initialize", {"protocolVersion": 1})
        assert again["error"] == {"code": -32600, "message": "initialize was answered before"}
        assert (await client.call("session/list", {}))["result"] == {"sessions": []}


async def test_unknown_methods_are_answered_and_unknown_notifications_ignored() -> None:
    async with wired(serving()) as client:
        for name in ("nonsense", "_ours/nonsense", "session/cancel", "$/cancel_request", "session/set_model"):
            assert (await client.call(name, {}))["error"]["code"] == -32601
        for name in ("nonsense", "_ours/nonsense", "$/nonsense", "session/prompt", "session/cancel", "initialize"):
            client.notify(name, {})
        client.notify("$/cancel_request", {"requestId": "nobody"})
        client.notify("$/cancel_request", {"requestId": [1]})
        client.send({"jsonrpc": "2.0", "id": 77, "result": {}})
        client.send({"jsonrpc": "2.0", "id": "1", "error": {"code": 1, "message": "x"}})
        before = len(client.received)
        await client.call("session/list", {})
        assert len(client.received) == before + 1


async def test_meta_is_handed_over_apart_and_passes_for_no_parameter() -> None:
    seen: list[Any] = []

    async def prompt(parameters: Prompt, call: Call) -> dict[str, str]:
        seen.append((parameters.session_id, dict(call.meta)))
        return {"stopReason": "end_turn"}

    async with wired(serving(prompt)) as client:
        await opened(client)
        evil = {"session_id": "evil", "sessionId": "evil", "prompt": [], "parameters": 1, "call": 2}
        await client.call("session/prompt", {**PROMPT, "_meta": evil})
        without = {"prompt": [], "_meta": {"sessionId": "evil"}}
        answer = await client.call("session/prompt", without)
    assert seen == [("s1", evil)]
    assert answer["error"] == {"code": -32602, "message": "sessionId: is missing"}


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (NotFound("no such session: s9"), {"code": -32002, "message": "no such session: s9"}),
        (
            AuthRequired("no key", hint="set OPENAI_API_KEY"),
            {"code": -32000, "message": "no key", "data": {"details": "set OPENAI_API_KEY"}},
        ),
        (
            UsageError("config.toml: line 3:\n  what", hint="mend\nit"),
            {"code": -32602, "message": "config.toml: line 3: what", "data": {"details": "mend it"}},
        ),
        (Refused("held by another client"), {"code": -32600, "message": "held by another client"}),
        (AcpAgentError("broken"), {"code": -32603, "message": "broken"}),
        (ExceptionGroup("tasks", [ValueError("x"), NotFound("gone")]), {"code": -32002, "message": "gone"}),
        (AcpAgentError(""), {"code": -32603, "message": "unknown error"}),
    ],
)
async def test_an_error_for_a_person_keeps_its_words(error: Exception, answer: dict[str, Any]) -> None:
    async def fails(parameters: ListSessions, call: Call) -> None:
        raise error

    async with wired({"session/list": Method(ListSessions, fails)}) as client:
        assert (await client.call("session/list", {}))["error"] == answer


async def test_a_bug_is_logged_and_says_nothing_to_the_client(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-a-real-key")

    async def fails(parameters: ListSessions, call: Call) -> None:
        raise ExceptionGroup("tasks", [KeyError("inside of /home/me with sk-not-a-real-key")])

    async def returns_nonsense(parameters: NewSession, call: Call) -> Any:
        return 7

    methods = {
        "session/list": Method(ListSessions, fails),
        "session/new": Method(NewSession, returns_nonsense),
    }
    with caplog.at_level(logging.ERROR):
        async with wired(methods) as client:
            assert (await client.call("session/list", {}))["error"] == {
                "code": -32603,
                "message": "internal error (KeyError)",
                "data": {"details": "the agent's log on stderr has the trace"},
            }
            assert (await client.call("session/new", NEW))["error"]["message"] == "internal error (TypeError)"
    assert "inside of /home/me with [redacted]" in caplog.text
    assert "sk-not-a-real-key" not in caplog.text


async def test_an_answer_too_large_for_a_client_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    async def large(parameters: ListSessions, call: Call) -> dict[str, Any]:
        return {"sessions": [{"sessionId": "s", "cwd": "/w", "title": "x" * 9_000_000}]}

    async with wired({"session/list": Method(ListSessions, large)}) as client:
        assert (await client.call("session/list", {}))["error"] == {
            "code": -32603,
            "message": "the answer is larger than 8 MiB",
        }


async def test_a_running_turn_blocks_nothing() -> None:
    async def prompt(parameters: Prompt, call: Call) -> dict[str, str]:
        await call.cancelled.wait()
        return {"stopReason": "cancelled"}

    async with wired(serving(prompt)) as client:
        await opened(client)
        turns = [client.ask("session/prompt", PROMPT | {"sessionId": f"s{number}"}) for number in range(64)]
        for _ in range(3):
            await client.call("session/list", {})
        busy = await client.call("session/prompt", PROMPT)
        assert busy["error"]["code"] == -32603
        assert busy["error"]["message"].startswith("busy: ")
        client.notify("session/cancel", {"sessionId": "s7"})
        assert (await client.answer(turns[7]))["result"] == {"stopReason": "cancelled"}
        for number in range(64):
            client.notify("session/cancel", {"sessionId": f"s{number}"})
        for turn in turns:
            await client.answer(turn)


async def test_too_many_calls_wait_then_are_refused_and_each_is_answered_once() -> None:
    free = anyio.Event()
    running = most = 0

    async def slow(parameters: ListSessions, call: Call) -> dict[str, Any]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await free.wait()
        running -= 1
        return {"sessions": []}

    async with wired({"session/list": Method(ListSessions, slow)}) as client:
        asked = [client.ask("session/list", {}) for _ in range(1100)]
        await client.until(lambda: client.answers(asked[-1]))
        client.notify("$/cancel_request", {"requestId": asked[100]})
        free.set()
        answers = [await client.answer(message_id) for message_id in asked]
        assert all(len(client.answers(message_id)) == 1 for message_id in asked)
    assert most == 64
    codes = [answer.get("error", {}).get("code") for answer in answers]
    assert codes == [None] * 100 + [-32800] + [None] * 963 + [-32603] * 36


async def test_a_second_request_with_an_id_in_use_is_refused() -> None:
    free = anyio.Event()

    async def slow(parameters: ListSessions, call: Call) -> dict[str, Any]:
        await free.wait()
        return {"sessions": []}

    async with wired({"session/list": Method(ListSessions, slow)}, conforming=False) as client:
        for message_id in (1, "1", 1):
            client.ask("session/list", {}, message_id)
        assert (await client.answer(1))["error"]["code"] == -32600
        free.set()
        await client.until(lambda: len(client.answers(1)) == 2 and client.answers("1"))


async def test_the_model_of_a_result_is_written_by_its_wire_names() -> None:
    class Named(Params):
        session_id: str
        not_said: str | None = None

    async def answers(parameters: NewSession, call: Call) -> Named:
        return Named(session_id="s1")

    async with wired({"session/new": Method(NewSession, answers)}) as client:
        assert (await client.call("session/new", NEW))["result"] == {"sessionId": "s1"}
