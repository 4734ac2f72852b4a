"""Slow clients hold nothing up, and a connection ends in time with its records finished."""

from typing import Any

import anyio
import pytest

from acp_agent.surfaces.acp import connection as connection_module
from acp_agent.surfaces.acp.call import Call, Method
from acp_agent.surfaces.acp.faults import Disconnected
from acp_agent.surfaces.acp.params import ListSessions, Prompt, SetMode
from acp_agent.surfaces.acp.replies import PermissionReply
from tests.surfaces.acp.methods import PERMISSION, PROMPT, opened, serving
from tests.surfaces.acp.wire import PATIENCE, chunk, wired


async def test_a_stuck_reader_never_holds_a_turn_up() -> None:
    said = anyio.Event()

    async def prompt(parameters: Prompt, call: Call) -> dict[str, str]:
        session = call.session("s1")
        for _ in range(2000):
            session.update(chunk("word "))
            await anyio.lowlevel.checkpoint()
        said.set()
        return {"stopReason": "end_turn"}

    async with wired(serving(prompt)) as client:
        await opened(client)
        client.transport.hold()
        turn = client.ask("session/prompt", PROMPT)
        with anyio.fail_after(PATIENCE):
            await said.wait()
        assert client.answers(turn) == []
        client.transport.let_go()
        await client.answer(turn)
        assert client.text() == "word " * 2000
        assert len(client.updates()) < 10


async def test_the_end_of_input_lets_short_calls_finish_and_cuts_long_ones() -> None:
    cut: list[str] = []

    async def short(parameters: ListSessions, call: Call) -> dict[str, Any]:
        await anyio.sleep(0.02)
        return {"sessions": []}

    async def prompt(parameters: Prompt, call: Call) -> dict[str, str]:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.01)
                cut.append("recorded")
        return {}

    async with wired(serving(prompt, **{"session/list": Method(ListSessions, short)})) as client:
        await opened(client)
        turn, short_call = client.ask("session/prompt", PROMPT), client.ask("session/list", {})
        client.transport.finish()
        assert (await client.answer(short_call))["result"] == {"sessions": []}
        assert (await client.answer(turn))["error"] == {"code": -32800, "message": "the agent is stopping"}
    assert cut == ["recorded"]


async def test_whoever_waits_for_the_client_is_cancelled_and_not_told_no() -> None:
    seen: list[str] = []

    async def prompt(parameters: Prompt, call: Call) -> dict[str, str]:
        try:
            await call.request("session/request_permission", PERMISSION, PermissionReply)
        except Disconnected:
            seen.append("disconnected")
        except anyio.get_cancelled_exc_class():
            seen.append("cancelled")
            with anyio.CancelScope(shield=True):
                with pytest.raises(Disconnected):
                    await call.request("session/request_permission", PERMISSION, PermissionReply)
            raise
        return {"stopReason": "end_turn"}

    async def shielded(parameters: SetMode, call: Call) -> None:
        with anyio.CancelScope(shield=True):
            try:
                await call.request("session/request_permission", PERMISSION, PermissionReply)
            except Disconnected:
                seen.append("disconnected")

    methods = serving(prompt, **{"session/set_mode": Method(SetMode, shielded)})
    async with wired(methods, conforming=False) as client:
        await opened(client)
        client.ask("session/prompt", PROMPT)
        client.ask("session/set_mode", {"sessionId": "s1", "modeId": "ask"})
        await client.until(lambda: len(client.asked("session/request_permission")) == 2)
        client.connection.stop()
    assert sorted(seen) == ["cancelled", "disconnected"]


async def test_a_reader_that_leaves_ends_the_connection() -> None:
    cut: list[str] = []

    async def prompt(parameters: Prompt, call: Call) -> dict[str, str]:
        try:
            while True:
                call.session("s1").update(chunk("word "))
                await anyio.sleep(0.001)
        finally:
            cut.append("cut")

    async with wired(serving(prompt), conforming=False) as client:
        await opened(client)
        client.ask("session/prompt", PROMPT)
        await client.until(lambda: client.text())
        client.transport.gone = True
        with anyio.fail_after(PATIENCE):
            await client.connection.over.wait()
    assert cut == ["cut"]


async def test_what_must_be_finished_gets_its_time_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "GRACE", 0.2)
    began = anyio.Event()
    finished: list[str] = []

    async def prompt(parameters: Prompt, call: Call) -> dict[str, str]:
        async def quick() -> None:
            await anyio.lowlevel.checkpoint()
            finished.append("quick")

        async def broken() -> None:
            raise ValueError("what")

        async def endless() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                finished.append("cut")

        for callback in (quick, broken, endless):
            call.on_end(callback)
        began.set()
        await anyio.sleep_forever()
        return {}

    async with wired(serving(prompt)) as client:
        await opened(client)
        client.ask("session/prompt", PROMPT)
        await began.wait()
        client.connection.stop()
    assert finished == ["quick", "cut"]


async def test_a_client_that_reads_no_answers_is_not_read_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "_MOST_UNREAD", 2_000_000)

    async def large(parameters: ListSessions, call: Call) -> dict[str, Any]:
        return {"sessions": [], "_meta": {"x": "x" * 1_000_000}}

    async with wired({"session/list": Method(ListSessions, large)}) as client:
        client.transport.hold()
        for _ in range(10):
            client.ask("session/list", {})
            await anyio.sleep(0.01)
        assert client.connection._outbox.weight < 4_000_000
        client.transport.let_go()
        await client.call("session/list", {})
        assert len([message for message in client.received if "result" in message]) == 11
