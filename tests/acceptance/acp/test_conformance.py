"""The public conformance kit's checks of version 1, each with a fresh process and raw messages; ids name the test.

Beside what a check looks at, every message of its exchange is held to the schema and to the order of the protocol
(`acp_agent.testing.conformance`), so SCHEMA-001 and PROMPT-002 hold in all of them.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from acp_agent.testing.script import Rule, Step
from tests.acceptance.acp.conftest import DeskOf
from tests.acceptance.acp.desk import READ, edit, settle, shell
from tests.acceptance.acp.exchange import Exchange, exchange

WORDS = "Größe, 尺寸, размер, 📏"
SAY = Rule(contains="say", since="prompt", turns=[Step(text=f"Said: {WORDS}", chunk=4)])
RAISE = Rule(contains="raise", since="prompt", turns=[READ, edit("LIMIT = 20"), shell("true"), Step(text="Raised.")])
ENDLESS = Rule(contains="endless", since="prompt", turns=[Step(text="word " * 200, gap=0.02, chunk=5)])
STOP_REASONS = {"end_turn", "max_tokens", "max_turn_requests", "refusal", "cancelled"}
HISTORY = {"user_message_chunk", "agent_message_chunk", "agent_thought_chunk", "tool_call", "tool_call_update", "plan"}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

IDS = """
TRANSPORT-001 TRANSPORT-002 JSONRPC-001 JSONRPC-002 JSONRPC-003 JSONRPC-004 JSONRPC-005 INIT-001 INIT-002 INIT-003
INIT-004 SCHEMA-001 SCHEMA-002 SESSION-001 SESSION-002 PROMPT-001 PROMPT-002 PROMPT-003 CANCEL-001 CANCEL-002 CONFIG-001
CONFIG-002 CONFIG-003 AUTH-001 AUTH-002 AUTH-003 AUTH-004 AUTH-005 CLIENTCAP-001 CLIENTCAP-002 CLIENTCAP-003 EXT-001
LOAD-001 LOAD-002 LOAD-003 RESUME-001 RESUME-002 LIST-001 LIST-002 DELETE-001 DELETE-002 CLOSE-001 CLOSE-002 ADDDIRS-001
MODES-001 MODES-002 PROMPTCAP-001 PROMPTCAP-002 PROMPTCAP-003 META-001 ERROR-001 SHUTDOWN-001
"""

Check = Callable[[Exchange], Awaitable[None]]
CHECKS: dict[str, Check] = {}


def check(*names: str) -> Callable[[Check], Check]:
    """`function` holds an agent to these ids of the kit."""

    def add(function: Check) -> Check:
        CHECKS[" ".join(names)] = function
        return function

    return add


@check("TRANSPORT-001", "TRANSPORT-002", "SCHEMA-001", "PROMPT-001", "PROMPT-002")
async def a_turn_is_json_rpc_in_utf8(one: Exchange) -> None:
    await one.initialize()
    session = await one.session()
    assert (await one.prompt(session, f"say {WORDS}"))["stopReason"] in STOP_REASONS
    for line in one.editor.received:
        assert json.loads(line.data.decode("utf-8", "strict"))["jsonrpc"] == "2.0"
    updates = [line.message["params"] for line in one.editor.received if line.message.get("method") == "session/update"]
    assert {update["sessionId"] for update in updates} == {session}
    assert one.editor.text(session) == f"Said: {WORDS}"


@check("JSONRPC-001")
async def ids_are_echoed_with_their_type(one: Exchange) -> None:
    await one.initialize()
    for message_id in (7, "seven", 0, "", -1, "7"):
        before = len(one.answers)
        question: dict[str, Any] = {"jsonrpc": "2.0", "id": message_id, "method": "session/list", "params": {}}
        await one.editor.send_line(json.dumps(question).encode() + b"\n")
        await one.editor.wait_for(lambda before=before: len(one.answers) > before)  # type: ignore[misc]
        answer = one.answers[-1]
        assert (answer["id"], type(answer["id"])) == (message_id, type(message_id))


@check("JSONRPC-002")
async def an_answer_is_a_result_or_an_error(one: Exchange) -> None:
    await one.initialize()
    error = await one.refused("session/new")
    assert (error.code, error.message) == (-32602, "cwd: is missing")
    assert all(("result" in answer) != ("error" in answer) for answer in one.answers)


@check("JSONRPC-003")
async def a_notification_is_never_answered(one: Exchange) -> None:
    await one.initialize()
    await one.notify("session/cancel", sessionId="s_unknown")
    await one.notify("_acp-agent/unknown", x=1)
    await one.notify("session/new")
    await one.notify("$/unknown")
    await settle(one.editor)
    assert len(one.answers) == 2


@check("INIT-001", "INIT-002")
async def version_one_is_answered_with_itself(one: Exchange) -> None:
    said = await one.initialize()
    assert (said["protocolVersion"], type(said["protocolVersion"])) == (1, int)


@check("INIT-003")
async def a_version_from_the_future_is_not_echoed(one: Exchange) -> None:
    assert (await one.initialize(65535))["protocolVersion"] == 1


async def test_the_draft_of_version_two_is_answered_with_version_one(desk_of: DeskOf) -> None:
    async with exchange(desk_of(SAY)) as one:
        # What version 2 says of a client is unknown to version 1, and no reason to refuse it.
        info = {"name": "draft", "version": "2"}
        said = await one.initialize(2, info=info, capabilities={"session": {}, "auth": {"terminal": {}}})
        assert (said["protocolVersion"], said["authMethods"][0]["type"]) == (1, "agent")
        assert (await one.prompt(await one.session(), "say"))["stopReason"] == "end_turn"


@check("SESSION-001", "SESSION-002")
async def sessions_have_ids_of_their_own(one: Exchange) -> None:
    await one.initialize()
    made = [await one.session() for _ in range(3)]
    assert len(set(made)) == 3


@check("CANCEL-001", "CANCEL-002")
async def a_cancelled_turn_is_answered_so_and_silent_afterwards(one: Exchange) -> None:
    await one.initialize()
    session = await one.session()
    turning = await one.begun(session)
    await one.notify("session/cancel", sessionId=session)
    assert (await turning)["stopReason"] == "cancelled"
    answered = len(one.editor.lines)
    await one.ask("session/list")
    assert [line.message for line in one.editor.lines[answered:] if "update" in str(line.message.get("method"))] == []


@check("CONFIG-003")
async def no_boolean_option_without_the_capability(one: Exchange) -> None:
    await one.initialize()
    assert {option["type"] for option in (await one.new())["configOptions"]} == {"select"}


@check("AUTH-001", "AUTH-002")
async def no_terminal_method_without_the_capability(one: Exchange) -> None:
    methods = (await one.initialize())["authMethods"]
    assert {method["type"] for method in methods} == {"agent"}
    ids = [method["id"] for method in methods]
    assert len(set(ids)) == len(ids) > 0


@check("CLIENTCAP-001", "CLIENTCAP-002", "CLIENTCAP-003")
async def a_client_without_capabilities_is_asked_for_permission_alone(one: Exchange) -> None:
    await one.initialize()
    assert (await one.prompt(await one.session(), "raise"))["stopReason"] == "end_turn"
    assert one.desk.read() == "LIMIT = 20\n"
    assert one.called == {"session/request_permission"}


@check("EXT-001")
async def an_unknown_extension_is_answered(one: Exchange) -> None:
    await one.initialize()
    assert (await one.refused("_example/unknown", x=1)).code == -32601


@check("LOAD-001", "LOAD-002", "LOAD-003")
async def a_load_replays_before_its_answer_and_nothing_after(one: Exchange) -> None:
    assert (await one.initialize())["agentCapabilities"]["loadSession"] is True
    session, answer, answered = await one.reopened("session/load")
    assert isinstance(answer, dict)
    await settle(one.editor)
    assert one.editor.text(session) == f"Said: {WORDS}" * 2
    assert HISTORY.isdisjoint(one.editor.transcript(session, after=answered).kinds)


@check("RESUME-001", "RESUME-002")
async def a_resume_replays_nothing(one: Exchange) -> None:
    assert (await one.initialize())["agentCapabilities"]["sessionCapabilities"]["resume"] == {}
    session, answer, _ = await one.reopened("session/resume")
    assert isinstance(answer, dict)
    await settle(one.editor)
    assert one.editor.text(session) == f"Said: {WORDS}"


@check("LIST-001", "LIST-002")
async def sessions_are_listed_by_their_cwd(one: Exchange) -> None:
    assert (await one.initialize())["agentCapabilities"]["sessionCapabilities"]["list"] == {}
    session = await one.session()
    (row,) = (await one.ask("session/list"))["sessions"]
    assert (row["sessionId"], row["cwd"]) == (session, str(one.desk.project))
    assert (await one.ask("session/list", cwd="/never/used"))["sessions"] == []


@check("DELETE-001", "DELETE-002")
async def a_session_can_be_deleted_and_so_can_an_unknown_one(one: Exchange) -> None:
    assert (await one.initialize())["agentCapabilities"]["sessionCapabilities"]["delete"] == {}
    assert await one.ask("session/delete", sessionId=await one.session()) == {}
    assert (await one.ask("session/list"))["sessions"] == []
    assert await one.ask("session/delete", sessionId="s_unknown") == {}


@check("CLOSE-001")
async def a_session_can_be_closed(one: Exchange) -> None:
    assert (await one.initialize())["agentCapabilities"]["sessionCapabilities"]["close"] == {}
    assert await one.ask("session/close", sessionId=await one.session()) == {}


@check("CLOSE-002")
async def a_close_ends_the_turn_as_cancelled(one: Exchange) -> None:
    await one.initialize()
    session = await one.session()
    turning = await one.begun(session)
    assert await one.ask("session/close", sessionId=session) == {}
    assert (await turning)["stopReason"] == "cancelled"


@check("ADDDIRS-001")
async def further_directories_are_taken(one: Exchange) -> None:
    await one.initialize()
    other = one.desk.root / "home"
    params = {"cwd": str(one.desk.project), "mcpServers": [], "additionalDirectories": [str(other)]}
    assert (await one.ask("session/new", **params))["sessionId"]
    params["additionalDirectories"] = ["relative"]
    assert (await one.refused("session/new", **params)).code == -32602


@check("MODES-001", "MODES-002")
async def the_mode_is_one_of_the_list_and_can_be_set(one: Exchange) -> None:
    await one.initialize()
    made = await one.new()
    known = [mode["id"] for mode in made["modes"]["availableModes"]]
    assert made["modes"]["currentModeId"] in known
    for mode in known:
        assert await one.ask("session/set_mode", sessionId=made["sessionId"], modeId=mode) == {}
    await settle(one.editor)
    told = one.editor.transcript(made["sessionId"]).of("current_mode_update")
    assert [update["currentModeId"] for update in told] == known


@check("CONFIG-001", "CONFIG-002")
async def every_option_has_a_value_that_is_offered_and_can_be_set(one: Exchange) -> None:
    await one.initialize()
    made = await one.new()
    for option in made["configOptions"]:
        offered = [entry["value"] for entry in option["options"]]
        assert option["currentValue"] in offered
        params = {"sessionId": made["sessionId"], "configId": option["id"], "value": offered[-1]}
        after = (await one.ask("session/set_config_option", **params))["configOptions"]
        assert [entry["id"] for entry in after] == [entry["id"] for entry in made["configOptions"]]
        assert next(entry["currentValue"] for entry in after if entry["id"] == option["id"]) == offered[-1]


@check("PROMPTCAP-001", "PROMPTCAP-002")
async def pictures_and_sound_that_were_not_advertised_are_refused(one: Exchange) -> None:
    capabilities = (await one.initialize())["agentCapabilities"]["promptCapabilities"]
    assert (capabilities["image"], capabilities["audio"]) == (False, False)
    session = await one.session()
    for block in ({"type": "image", "mimeType": "image/png"}, {"type": "audio", "mimeType": "audio/wav"}):
        content = [{"type": "text", "text": "say"}, {**block, "data": PIXEL}]
        assert (await one.refused("session/prompt", sessionId=session, prompt=content)).code == -32602


@check("PROMPTCAP-003", "PROMPT-003")
async def links_and_resources_are_accepted(one: Exchange) -> None:
    assert (await one.initialize())["agentCapabilities"]["promptCapabilities"]["embeddedContext"] is True
    resource = {"uri": "file:///notes.md", "text": "a note", "mimeType": "text/markdown"}
    link = {"type": "resource_link", "uri": "file:///README.md", "name": "README.md"}
    answer = await one.prompt(await one.session(), "say", {"type": "resource", "resource": resource}, link)
    assert answer["stopReason"] == "end_turn"
    assert "a note" in one.desk.server.requests[-1].prompt


@check("AUTH-003", "AUTH-005")
async def with_keys_there_a_session_needs_no_sign_in_and_follows_one(one: Exchange) -> None:
    first, *_ = (await one.initialize())["authMethods"]
    assert await one.session()
    assert await one.ask("authenticate", methodId=first["id"]) == {}
    assert await one.session()


@check("AUTH-004")
async def signing_out_holds_until_the_next_sign_in(one: Exchange) -> None:
    said = await one.initialize()
    assert said["agentCapabilities"]["auth"]["logout"] == {}
    assert await one.ask("logout") == {}
    assert (await one.refused("session/new", cwd=str(one.desk.project), mcpServers=[])).code == -32000
    assert await one.ask("authenticate", methodId=said["authMethods"][0]["id"]) == {}
    assert await one.session()


@check("JSONRPC-004", "JSONRPC-005")
async def an_unknown_method_is_not_found_and_harms_nothing(one: Exchange) -> None:
    await one.initialize()
    assert (await one.refused("no/such/method")).code == -32601
    assert await one.session()


@check("INIT-004")
async def the_agent_says_who_it_is(one: Exchange) -> None:
    info = (await one.initialize())["agentInfo"]
    assert info["name"] and info["version"]


@check("SCHEMA-002")
async def there_is_no_key_at_a_root_that_the_schema_lacks(one: Exchange) -> None:
    await one.initialize(clientCapabilities={"auth": {"terminal": True}, "session": {"configOptions": {"boolean": {}}}})
    session, _, _ = await one.reopened("session/load")
    assert (await one.prompt(session, "raise"))["stopReason"] == "end_turn"


@check("META-001")
async def meta_in_a_prompt_is_accepted(one: Exchange) -> None:
    await one.initialize()
    params = {"sessionId": await one.session(), "prompt": [{"type": "text", "text": "say"}]}
    meta = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "sessionId": "evil"}
    assert (await one.ask("session/prompt", **params, _meta=meta))["stopReason"] == "end_turn"


@check("ERROR-001")
async def errors_say_something_in_one_line(one: Exchange) -> None:
    await one.initialize()
    calls: list[tuple[str, dict[str, Any]]] = [
        ("session/new", {"cwd": "relative\nof two lines", "mcpServers": []}),
        ("session/prompt", {"sessionId": "s_unknown", "prompt": []}),
        ("session/list", {"cursor": "nonsense"}),
        ("no/such\nmethod", {}),
        ("authenticate", {"methodId": "un\nknown"}),
    ]
    for method, params in calls:
        error = await one.refused(method, **params)
        assert error.message.strip()
        assert "\n" not in error.message


@check("SHUTDOWN-001")
async def the_end_of_stdin_is_the_end(one: Exchange) -> None:
    await one.initialize()
    await one.session()
    await one.editor.close_stdin()
    assert await one.editor.exited() == 0
    assert one.editor.process is not None
    assert "the process ends without it" not in one.editor.process.errors


def test_every_id_of_the_kit_has_its_check() -> None:
    assert sorted(" ".join(CHECKS).split()) == sorted(IDS.split())


@pytest.mark.parametrize("name", sorted(CHECKS))
async def test_conformance(name: str, desk_of: DeskOf) -> None:
    async with exchange(desk_of(SAY, RAISE, ENDLESS)) as one:
        await CHECKS[name](one)
