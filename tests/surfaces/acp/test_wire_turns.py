"""Calls can be cancelled, turns are asked to stop, and the client is asked and answers."""

from typing import Any

import anyio
import pytest

from acp_agent.surfaces.acp.call import Call, Method
from acp_agent.surfaces.acp.faults import ClientFault, Unsupported
from acp_agent.surfaces.acp.params import CloseSession, ListSessions, Prompt
from acp_agent.surfaces.acp.replies import FileReply, PermissionReply
from tests.surfaces.acp.methods import PERMISSION, PROMPT, opened, serving
from tests.surfaces.acp.wire import chunk, wired


async def test_a_cancelled_call_is_answered_so() -> None:
    async def forever(parameters: ListSessions, call: Call) -> None:
        await anyio.sleep_forever()

    async with wired(serving(**{"session/list": Method(ListSessions, forever)})) as client:
        asked = client.ask("session/list", {})
        client.notify("$/cancel_request", {"requestId": asked})
        assert (await client.answer(asked))["error"] == {"code": -32800, "message": "cancelled"}
        await opened(client)


async def test_a_call_that_finishes_in_spite_of_it_keeps_its_result() -> None:
    begun = anyio.Event()

    async def stubborn(parameters: ListSessions, call: Call) -> dict[str, Any]:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.01)
            return {"sessions": []}  # noqa: B012

    async with wired({"session/list": Method(ListSessions, stubborn)}) as client:
        asked = client.ask("session/list", {})
        await begun.wait()
        client.notify("$/cancel_request", {"requestId": asked})
        assert (await client.answer(asked))["result"] == {"sessions": []}


async def test_a_cancellation_from_within_is_an_error_of_that_call_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def strange(parameters: ListSessions, call: Call) -> None:
        raise anyio.get_cancelled_exc_class()

    async with wired(serving(**{"session/list": Method(ListSessions, strange)})) as client:
        assert (await client.call("session/list", {}))["error"]["code"] == -32800
        await opened(client)


@pytest.mark.parametrize("by", ["session/cancel", "$/cancel_request", "session/close"])
async def test_a_turn_is_asked_to_stop_and_says_how_far_it_came(by: str) -> None:
    async def prompt(parameters: Prompt, call: Call) -> dict[str, str]:
        call.session("s1").update(chunk("so far"))
        await call.cancelled.wait()
        call.session("s1").update(chunk(" and no further"))
        return {"stopReason": "cancelled"}

    async def close(parameters: CloseSession, call: Call) -> None:
        pass

    async with wired(serving(prompt, **{"session/close": Method(CloseSession, close)})) as client:
        await opened(client)
        turn = client.ask("session/prompt", PROMPT)
        # Sent in one go: the cancellation must not overtake the turn it is for.
        if by == "session/cancel":
            client.notify(by, {"sessionId": "s1"})
        elif by == "$/cancel_request":
            client.notify(by, {"requestId": turn})
        else:
            closed = client.ask(by, {"sessionId": "s1"})
        assert (await client.answer(turn))["result"] == {"stopReason": "cancelled"}
        assert client.text() == "so far and no further"
        if by == "session/close":
            assert (await client.answer(closed))["result"] == {}
            assert [message["id"] for message in client.received[-2:]] == [turn, closed]


async def test_updates_after_the_answer_are_dropped_and_counted() -> None:
    late = anyio.Event()

    async def prompt(parameters: Prompt, call: Call) -> dict[str, str]:
        async def still_talking() -> None:
            call.session("s1").update(chunk("late"))
            call.client.session("s1").update(chunk("later"))
            late.set()

        call.session("s1").update(chunk("in time"))
        call.on_end(still_talking)
        return {"stopReason": "end_turn"}

    async with wired(serving(prompt)) as client:
        await opened(client)
        await client.call("session/prompt", PROMPT)
        await late.wait()
        await client.call("session/list", {})
        assert client.text() == "in time"
        assert client.connection.dropped == 2


# --- asking the client


async def test_the_client_is_asked_and_its_answer_is_typed() -> None:
    async def prompt(parameters: Prompt, call: Call) -> dict[str, str]:
        reply = await call.request("session/request_permission", PERMISSION, PermissionReply)
        return {"stopReason": "end_turn" if reply.option_id == "once" else "refusal"}

    async with wired(serving(prompt), conforming=False) as client:
        await opened(client)
        for outcome, stop in (
            ({"outcome": "selected", "optionId": "once"}, "end_turn"),
            ({"outcome": "selected", "optionId": "never offered"}, "refusal"),
            ({"outcome": "cancelled", "_meta": {"a": 1}}, "refusal"),
        ):
            turn = client.ask("session/prompt", PROMPT)
            asked = (await client.until(lambda: client.asked("session/request_permission")))[-1]
            assert asked["params"] == PERMISSION
            client.send({"jsonrpc": "2.0", "id": asked["id"], "result": {"outcome": outcome}})
            assert (await client.answer(turn))["result"] == {"stopReason": stop}
            client.transport.lines.clear()


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        ({"error": {"code": -32601, "message": "no\nsuch method"}}, -32601, "the client answered: no such method"),
        ({"error": {"code": "x"}}, -32603, "no reason given"),
        ({"error": None}, -32603, "no form"),
        ({"result": {}}, -32602, "outcome: is missing"),
        ({"result": None}, -32602, "outcome: is missing"),
        ({"result": [1]}, -32602, "outcome: is missing"),
        ({"result": {"_meta": {"outcome": {"outcome": "cancelled"}}}}, -32602, "outcome: is missing"),
        ({"result": {"outcome": {"outcome": "selected"}}}, -32602, "optionId: is missing"),
        ({"result": {"outcome": {"outcome": "maybe"}}}, -32602, "outcome"),
    ],
)
async def test_an_answer_that_is_none_is_a_fault_of_the_client(answer: dict[str, Any], code: int, words: str) -> None:
    faults: list[ClientFault] = []

    async def prompt(parameters: Prompt, call: Call) -> dict[str, str]:
        try:
            await call.request("session/request_permission", PERMISSION, PermissionReply)
        except ClientFault as fault:
            faults.append(fault)
        return {"stopReason": "end_turn"}

    async with wired(serving(prompt), conforming=False) as client:
        await opened(client)
        turn = client.ask("session/prompt", PROMPT)
        asked = (await client.until(lambda: client.asked("session/request_permission")))[0]
        client.send({"jsonrpc": "2.0", "id": asked["id"], **answer})
        await client.answer(turn)
    assert [fault.code for fault in faults] == [code]
    assert words in faults[0].what
    assert "\n" not in faults[0].what


async def test_a_client_is_never_asked_for_what_it_does_not_offer() -> None:
    async def prompt(parameters: Prompt, call: Call) -> dict[str, str]:
        with pytest.raises(Unsupported):
            await call.request("fs/read_text_file", {"sessionId": "s1", "path": "/w/a"}, FileReply)
        return {"stopReason": "end_turn"}

    async with wired(serving(prompt)) as client:
        await opened(client)
        assert "result" in await client.call("session/prompt", PROMPT)


async def test_a_question_is_withdrawn_when_nobody_waits_for_it_any_more() -> None:
    async def prompt(parameters: Prompt, call: Call) -> dict[str, str]:
        async with anyio.create_task_group() as group:

            async def ask() -> None:
                await call.request("session/request_permission", PERMISSION, PermissionReply)

            group.start_soon(ask)
            await call.cancelled.wait()
            group.cancel_scope.cancel()
        return {"stopReason": "cancelled"}

    async with wired(serving(prompt), conforming=False) as client:
        await opened(client)
        turn = client.ask("session/prompt", PROMPT)
        asked = (await client.until(lambda: client.asked("session/request_permission")))[0]
        client.notify("session/cancel", {"sessionId": "s1"})
        assert (await client.answer(turn))["result"] == {"stopReason": "cancelled"}
        assert [message["params"] for message in client.asked("$/cancel_request")] == [{"requestId": asked["id"]}]
        # What the client owes comes late, and nobody minds.
        client.send({"jsonrpc": "2.0", "id": asked["id"], "result": {"outcome": {"outcome": "cancelled"}}})
        await client.call("session/list", {})


async def test_a_question_too_large_for_a_client_is_cut_or_refused() -> None:
    diff = {"type": "diff", "path": "/w/a", "oldText": None, "newText": "x" * 9_000_000}

    async def prompt(parameters: Prompt, call: Call) -> dict[str, str]:
        large = {**PERMISSION, "toolCall": {"toolCallId": "t1", "title": "Edit", "content": [diff]}}
        await call.request("session/request_permission", large, PermissionReply)
        write = {"sessionId": "s1", "path": "/w/a", "content": "x" * 9_000_000}
        with pytest.raises(ClientFault, match="more than a client can take"):
            await call.request("fs/write_text_file", write, FileReply)
        return {"stopReason": "end_turn"}

    hello = {"protocolVersion": 1, "clientCapabilities": {"fs": {"writeTextFile": True}}}
    async with wired(serving(prompt), initialized=hello, conforming=False) as client:
        await opened(client)
        turn = client.ask("session/prompt", PROMPT)
        asked = (await client.until(lambda: client.asked("session/request_permission")))[0]
        assert len(asked["params"]["toolCall"]["content"][0]["newText"]) == 64 * 1024
        selected = {"outcome": {"outcome": "selected", "optionId": "once"}}
        client.send({"jsonrpc": "2.0", "id": asked["id"], "result": selected})
        assert "result" in await client.answer(turn)
