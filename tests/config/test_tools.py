# ruff: noqa: E501  (error texts stand on one line, as a person sees them)
"""`[tools.NAME]` of config.toml: what it declares, and what can be wrong in it."""

from pathlib import Path

import pytest
from inline_snapshot import snapshot

from acp_agent.config.problem import FileError
from acp_agent.config.projects import load_projects
from acp_agent.config.servers import servers_for
from acp_agent.config.settings import load_settings, settings_problems
from acp_agent.config.tools import TAKEN, declared_tools, tool_secrets
from acp_agent.domain.declared import CommandCall, DeclaredTool, HttpCall
from acp_agent.domain.egress import PRESETS
from acp_agent.domain.tool import Risk
from acp_agent.tools.guard import standard_tools
from acp_agent.tools.sandbox.model import Sandbox
from acp_agent.tools.workspace import Workspace

GOOD = """\
[tools.preview]
description = "Deploy a preview of a branch."
risk = 3
parameters = { branch = "str", force = "bool?" }
command = ["./preview", "--branch", "{branch}"]
timeout = "5m"
env = ["PREVIEW_TOKEN"]
verify = ["./preview", "--find", "{branch}"]
[tools.weather]
description = "The weather of a city."
risk = 0
repeatable = true
parameters = "city: str"
url = "https://api.example.org/v1?city={city}"
headers = { Authorization = "Bearer ${WEATHER_TOKEN}" }
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.chdir(tmp_path)

    def written(text: str) -> dict[str, str]:
        (tmp_path / "config.toml").write_text(text, encoding="utf-8")
        return {"ACP_CONFIG": str(tmp_path / "config.toml")}

    return written


def test_a_command_and_an_http_call_are_tools(write) -> None:
    environ = {**write(GOOD), "WEATHER_TOKEN": "w-0123456789", "PREVIEW_TOKEN": "p-0123456789"}
    settings = load_settings(environ)
    tools, missing = declared_tools(settings.table.tools, environ, settings.table.egress)
    assert missing == []
    assert tools == (
        DeclaredTool(
            name="preview",
            description="Deploy a preview of a branch.",
            parameters={
                "type": "object",
                "properties": {"branch": {"type": "string"}, "force": {"type": "boolean"}},
                "required": ["branch"],
                "additionalProperties": False,
            },
            risk=Risk.EXTERNAL,
            call=CommandCall(argv=("./preview", "--branch", "{branch}")),
            timeout=300.0,
            env=("PREVIEW_TOKEN",),
            verify=("./preview", "--find", "{branch}"),
        ),
        DeclaredTool(
            name="weather",
            description="The weather of a city.",
            parameters={
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
                "additionalProperties": False,
            },
            risk=Risk.READ,
            call=HttpCall(
                method="GET",
                url="https://api.example.org/v1?city={city}",
                headers={"Authorization": "Bearer w-0123456789"},
            ),
            timeout=30.0,
            repeatable=True,
        ),
    )
    assert tool_secrets(settings.table, environ) == ["p-0123456789", "w-0123456789"]


EGRESS = """\
[tools.net]
description = "x"
risk = 3
command = ["x"]
egress = ["mine", "*.docs.example.org:8443"]
[mcp.web]
command = "x"
egress = ["mine", "registries"]
[egress.mine]
domains = ["a.example.org", "b.example.org"]
"""


def test_egress_names_hosts_and_presets(write, tmp_path: Path) -> None:
    environ = write(EGRESS)
    table = load_settings(environ).table
    (tool,), _ = declared_tools(table.tools, environ, table.egress)
    assert tool.call == CommandCall(argv=("x",), egress=("a.example.org", "b.example.org", "*.docs.example.org:8443"))
    (server,) = servers_for(table.mcp, tmp_path, environ, tmp_path / "state", table.egress)
    assert server.egress == ("a.example.org", "b.example.org", *PRESETS["registries"])


def test_what_is_wrong_with_an_egress_is_named_with_its_line(write) -> None:
    text = EGRESS.replace('"mine", "*.docs', '"mines", "https://x.org/", "*.docs')
    text += '[mcp.far]\nurl = "https://example.org/mcp"\negress = ["mine"]\n'
    text += '[mcp.open]\ncommand = "x"\nnetwork = true\negress = ["*.org"]\n'
    assert [str(problem) for problem in settings_problems(write(text))] == snapshot(
        [
            "config.toml:5: tools.net.egress: no egress preset named 'mines'",
            "config.toml:5: tools.net.egress: 'https://x.org/' should be a host without scheme and path, such as pypi.org",
            "config.toml:13: mcp.far.egress: belongs to a command",
            "config.toml:17: mcp.open.egress: says nothing beside network = true",
            "config.toml:17: mcp.open.egress: '*.org' is too wide: name at least two labels, such as *.example.org",
        ]
    )


def test_a_tool_whose_variable_is_not_set_is_left_out_and_said_so(write) -> None:
    environ = write(GOOD)
    tools, missing = declared_tools(load_settings(environ).table.tools, environ, {})
    assert [tool.name for tool in tools] == ["preview"]
    assert missing == ["The tool weather is not available: ${WEATHER_TOKEN} is not set"]


def test_what_is_wrong_is_named_with_its_line(write) -> None:
    text = """\
[tools.shell]
description = "x"
risk = 1
command = ["x"]
[tools.a__b]
description = "x"
risk = 9
command = []
[tools.push]
description = "x"
risk = 2
url = "https://example.org/{repo}"
method = "POST"
egress = ["registries"]
parameters = "branch: strin"
[tools.get]
description = "x"
risk = 0
parameters = "name: str"
url = "https://{name}.example.org/"
[tools.put]
description = "x"
risk = 1
parameters = "name: str"
command = ["put", "{nam}"]
body = "x"
[tools.both]
description = "x"
url = "https://user:secret@example.org/"
command = ["x"]
"""
    assert [str(problem) for problem in settings_problems(write(text))] == snapshot(
        [
            "config.toml:1: tools.shell: is the name of a tool that is there already",
            "config.toml:5: tools.a__b: should be a letter and at most 47 letters, digits, '-' or single '_'",
            "config.toml:7: tools.a__b.risk: should be 0 (reads), 1 (local write), 2 (external draft), 3 (external effect) or 4 (irreversible)",
            "config.toml:8: tools.a__b.command: should not be empty",
            "config.toml:11: tools.push.risk: should be at least 3: only GET has no outward effect",
            "config.toml:14: tools.push.egress: belongs to a command",
            "config.toml:15: tools.push.parameters: schema: column 9: unknown type 'strin' (did you mean 'str'?)",
            'config.toml:20: tools.get.url: should be an address such as "https://api.example.org/v1/items", placeholders after the host',
            "config.toml:25: tools.put.command: has {nam}, which is no parameter",
            "config.toml:26: tools.put.body: belongs to a url",
            "config.toml:27: tools.both.risk: is missing",
            "config.toml:27: tools.both: should have either a command or a url",
            "config.toml:29: tools.both.url: should not hold a name or password; use headers",
        ]
    )


def test_a_project_file_declares_no_tools(tmp_path: Path) -> None:
    file = tmp_path / "projects.toml"
    file.write_text('version = 1\n[projects.a]\npath = "."\n[tools.x]\ndescription = "x"\nrisk = 0\ncommand = ["x"]\n')
    with pytest.raises(FileError) as caught:
        load_projects(file)
    assert "tools: unknown key" in caught.value.what


def test_no_declared_tool_can_take_the_name_of_ours(tmp_path: Path) -> None:
    tools = standard_tools(Workspace.at(tmp_path), read_only=False, unattended=True, sandbox=Sandbox())
    assert {tool.name for tool in tools} <= TAKEN
