"""Parameters are typed, named as on the wire, and their errors name the field and no value."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from acp_agent.surfaces.acp import params
from acp_agent.surfaces.acp.faults import InvalidParams
from acp_agent.surfaces.acp.fields import Params, parsed
from acp_agent.surfaces.acp.handshake import Capabilities, Initialize

STDIO = {"name": "files", "command": "/bin/files", "args": ["-x"], "env": [{"name": "KEY", "value": "sk-secret"}]}
HTTP = {"type": "http", "name": "web", "url": "https://x", "headers": [{"name": "Authorization", "value": "sk-secret"}]}
SCHEMA = json.loads((Path(__file__).parents[2] / "data" / "acp-schema-v1.json").read_text("utf-8"))

VALID: list[tuple[str, type[Params], dict[str, Any]]] = [
    ("AuthenticateRequest", params.Authenticate, {"methodId": "api-keys"}),
    ("NewSessionRequest", params.NewSession, {"cwd": "/w", "mcpServers": []}),
    (
        "NewSessionRequest",
        params.NewSession,
        {"cwd": "/w", "mcpServers": [STDIO, HTTP, {**HTTP, "type": "sse"}], "additionalDirectories": ["/x"]},
    ),
    ("LoadSessionRequest", params.LoadSession, {"sessionId": "s", "cwd": "/w", "mcpServers": []}),
    ("ResumeSessionRequest", params.ResumeSession, {"sessionId": "s", "cwd": "/w"}),
    ("ListSessionsRequest", params.ListSessions, {}),
    ("ListSessionsRequest", params.ListSessions, {"cwd": "/w", "cursor": "c"}),
    ("ListSessionsRequest", params.ListSessions, {"cwd": None, "cursor": None}),
    ("DeleteSessionRequest", params.DeleteSession, {"sessionId": "s"}),
    ("CloseSessionRequest", params.CloseSession, {"sessionId": "s"}),
    ("SetSessionModeRequest", params.SetMode, {"sessionId": "s", "modeId": "ask"}),
    ("SetSessionConfigOptionRequest", params.SetConfigOption, {"sessionId": "s", "configId": "c", "value": "v"}),
    (
        "SetSessionConfigOptionRequest",
        params.SetConfigOption,
        {"sessionId": "s", "configId": "c", "value": True, "type": "boolean"},
    ),
    ("CancelNotification", params.Cancel, {"sessionId": "s"}),
    ("CancelRequestNotification", params.CancelRequest, {"requestId": 4}),
    ("CancelRequestNotification", params.CancelRequest, {"requestId": None}),
    (
        "PromptRequest",
        params.Prompt,
        {
            "sessionId": "s",
            "prompt": [
                {"type": "text", "text": "Look", "annotations": {"audience": ["user"]}},
                {"type": "image", "data": "AAAA", "mimeType": "image/png"},
                {"type": "audio", "data": "AAAA", "mimeType": "audio/wav"},
                {"type": "resource_link", "uri": "file:///w/a.py", "name": "a.py", "size": 3},
                {"type": "resource", "resource": {"uri": "file:///w/a.py", "text": "x = 1"}},
                {"type": "resource", "resource": {"uri": "file:///w/a.bin", "blob": "AAAA"}},
            ],
        },
    ),
    ("InitializeRequest", Initialize, {"protocolVersion": 1}),
    (
        "InitializeRequest",
        Initialize,
        {
            "protocolVersion": 1,
            "clientInfo": {"name": "zed", "version": "1"},
            "clientCapabilities": {
                "fs": {"readTextFile": True},
                "terminal": True,
                "auth": {"terminal": True},
                "elicitation": {"form": {}},
                "session": {"configOptions": {"boolean": {}}},
            },
        },
    ),
]


@pytest.mark.parametrize(("definition", "model", "raw"), VALID)
def test_what_the_schema_allows_is_understood_and_unknown_fields_are_ignored(
    definition: str, model: type[Params], raw: dict[str, Any]
) -> None:
    Draft202012Validator({"$ref": f"#/$defs/{definition}", "$defs": SCHEMA["$defs"]}).validate(raw)
    understood = parsed(model, raw)
    assert parsed(model, {**raw, "somethingNew": {"a": 1}}) == understood


@pytest.mark.parametrize(("definition", "model", "raw"), VALID)
def test_each_required_field_of_the_schema_is_required(
    definition: str, model: type[Params], raw: dict[str, Any]
) -> None:
    for name in SCHEMA["$defs"][definition].get("required", ()):
        without = {key: value for key, value in raw.items() if key != name}
        with pytest.raises(InvalidParams, match=f"^{name}: is missing$"):
            parsed(model, without)


@pytest.mark.parametrize(
    ("model", "raw", "problem"),
    [
        (params.Prompt, {"sessionId": 3, "prompt": []}, "sessionId: must be a string"),
        (params.Prompt, {"session_id": "s", "prompt": []}, "sessionId: is missing"),
        (params.Prompt, {"sessionId": "s", "prompt": "x"}, "prompt: must be an array"),
        (params.Prompt, {"sessionId": "s", "prompt": ["x"]}, "prompt[0]: must be an object"),
        (params.Prompt, {"sessionId": "s", "prompt": [{"type": "text"}]}, "prompt[0].text: is missing"),
        (
            params.Prompt,
            {"sessionId": "s", "prompt": [{"type": "text", "text": "x"}, {"type": "video"}]},
            "prompt[1]: type must be one of text, image, audio, resource_link, resource",
        ),
        (
            params.Prompt,
            {"sessionId": "s", "prompt": [{"type": "resource", "resource": {"uri": "u"}}]},
            "prompt[0].resource.text: is missing",
        ),
        (
            params.Prompt,
            {"sessionId": "s", "prompt": [{"type": ["text"], "text": "x"}]},
            "prompt[0]: type must be one of text, image, audio, resource_link, resource",
        ),
        (params.NewSession, {"cwd": "w", "mcpServers": []}, "cwd: must be an absolute path"),
        (params.NewSession, {"cwd": "/w\0", "mcpServers": []}, "cwd: must be an absolute path"),
        (params.NewSession, {"cwd": "/w", "mcpServers": {}}, "mcpServers: must be an array"),
        (
            params.NewSession,
            {"cwd": "/w", "mcpServers": [], "additionalDirectories": ["/a", "b"]},
            "additionalDirectories[1]: must be an absolute path",
        ),
        (params.SetConfigOption, {"sessionId": "s", "configId": "c", "value": True}, "value: must be a string"),
        (
            params.SetConfigOption,
            {"sessionId": "s", "configId": "c", "value": "x", "type": "boolean"},
            "value: must be a boolean, as its type says",
        ),
        (Initialize, {"protocolVersion": "1"}, "protocolVersion: must be an integer"),
        (Initialize, {"protocolVersion": True}, "protocolVersion: must be an integer"),
    ],
)
def test_a_wrong_field_is_named(model: type[Params], raw: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidParams) as raised:
        parsed(model, raw)
    assert raised.value.what == problem


def test_a_server_of_a_kind_we_do_not_know_does_not_cost_the_session() -> None:
    raw = [STDIO, {"type": "acp", "name": "tunnel", "id": "1"}, {"name": "broken", "command": 7}, "what", HTTP]
    servers = parsed(params.NewSession, {"cwd": "/w", "mcpServers": raw}).mcp_servers
    assert servers == [
        params.StdioServer(
            name="files",
            command="/bin/files",
            arguments=["-x"],
            env=[params.Variable(name="KEY", value="sk-secret")],
        ),
        params.UnknownServer(name="tunnel"),
        params.UnknownServer(name="broken"),
        params.UnknownServer(),
        params.HttpServer(
            type="http",
            name="web",
            url="https://x",
            headers=[params.Variable(name="Authorization", value="sk-secret")],
        ),
    ]
    assert "sk-secret" not in repr(servers)


def test_no_error_repeats_what_may_be_a_secret() -> None:
    with pytest.raises(InvalidParams) as raised:
        parsed(params.Prompt, {"sessionId": "s", "prompt": [{"type": "text", "text": {"key": "sk-secret"}}]})
    assert "sk-secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("capabilities", "allowed"),
    [
        ({}, set()),
        ({"fs": {"readTextFile": True}}, {"fs/read_text_file"}),
        ({"fs": {"writeTextFile": True}}, {"fs/write_text_file"}),
        ({"fs": {"readTextFile": "yes"}, "terminal": 1}, set()),
        ({"fs": None, "terminal": True}, {"terminal/create", "terminal/output"}),
        ({"elicitation": {}}, set()),
        ({"elicitation": {"form": {}}}, {"elicitation/create"}),
        ({"elicitation": {"url": {}, "form": None}}, {"elicitation/create"}),
    ],
)
def test_a_client_is_asked_only_for_what_it_offers(capabilities: dict[str, Any], allowed: set[str]) -> None:
    gated = {"fs/read_text_file", "fs/write_text_file", "terminal/create", "terminal/output", "elicitation/create"}
    known = parsed(Initialize, {"protocolVersion": 1, "clientCapabilities": capabilities}).client_capabilities
    assert known is not None
    assert {name for name in gated if known.allows(name)} == allowed
    assert known.allows("session/request_permission")


def test_boolean_options_need_an_object() -> None:
    assert not parsed(Capabilities, {}).boolean_options
    assert not parsed(Capabilities, {"session": {"configOptions": {}}}).boolean_options
    assert parsed(Capabilities, {"session": {"configOptions": {"boolean": {}}}}).boolean_options
