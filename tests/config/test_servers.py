"""Which MCP servers a run has: the user's, the project's once it is trusted, and what is wrong with each."""

import json
from pathlib import Path
from typing import Any

import pytest

from acp_agent.config.servers import servers_for
from acp_agent.config.settings import load_settings, settings_problems
from acp_agent.config.trust import trust
from acp_agent.config.variables import Unset, expanded
from acp_agent.domain.servers import ToolServer
from acp_agent.domain.tool import Risk

OWN = """\
[mcp.github]
command = "github-mcp-server"
args = ["stdio", "--host=${GH_HOST:-github.com}"]
env = { GITHUB_TOKEN = "${GH_TOKEN}" }
risk = 2
risks = { list_issues = 0 }
network = true
[mcp.docs]
url = "https://docs.example.org/mcp"
headers = { Authorization = "Bearer ${DOCS_TOKEN}" }
timeout = "10s"
rate = 5
[mcp.off]
command = "x"
enabled = false
"""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project, a state directory, a config.toml."""
    monkeypatch.chdir(tmp_path)
    project = tmp_path / "project"
    project.mkdir()

    class World:
        root = project
        state = tmp_path / "state"

        def found(self, config: str = "", **environ: str) -> dict[str, ToolServer]:
            (tmp_path / "config.toml").write_text(config)
            known = {"ACP_CONFIG": str(tmp_path / "config.toml"), **environ}
            table = load_settings(known).table
            return {server.name: server for server in servers_for(table.mcp, project, known, self.state, table.egress)}

        def write(self, servers: Any) -> Path:
            file = project / ".mcp.json"
            file.write_text(servers if isinstance(servers, str) else json.dumps({"mcpServers": servers}))
            return file

    return World()


def test_the_users_servers_have_their_variables_filled_in(world: Any) -> None:
    found = world.found(OWN, GH_TOKEN="token-0123456789", DOCS_TOKEN="docs-0123456789")
    assert found == {
        "github": ToolServer(
            name="github",
            command="github-mcp-server",
            args=("stdio", "--host=github.com"),
            env={"GITHUB_TOKEN": "token-0123456789"},
            risk=Risk.DRAFT,
            risks={"list_issues": Risk.READ},
            network=True,
            secrets=("token-0123456789",),
        ),
        "docs": ToolServer(
            name="docs",
            url="https://docs.example.org/mcp",
            headers={"Authorization": "Bearer docs-0123456789"},
            timeout=10.0,
            rate=5,
            secrets=("docs-0123456789",),
        ),
    }
    assert "token-0123456789" not in repr(found["github"])


def test_a_variable_that_is_not_set_is_the_problem_of_its_server_alone(world: Any) -> None:
    found = world.found(OWN, GH_TOKEN="token-0123456789")
    assert found["docs"].problem == "${DOCS_TOKEN} is not set"
    assert found["github"].problem is None


def test_a_projects_servers_wait_for_trust_and_a_change_asks_again(world: Any) -> None:
    servers = {"files": {"command": "files", "args": ["${ROOT:-.}"]}, "web": {"type": "http", "url": "http://a.b/"}}
    file = world.write(servers)
    assert [one.problem and one.problem.split(":")[0] for one in world.found().values()] == ["not trusted"] * 2
    trust(file, world.state)
    found = world.found(ROOT="/data")
    assert found["files"] == ToolServer(
        name="files", source="project", command="files", args=("/data",), secrets=("/data",)
    )
    assert found["web"] == ToolServer(name="web", source="project", url="http://a.b/")
    servers["files"]["args"] = ["--all"]
    world.write(servers)
    changed = world.found()
    assert changed["files"].problem == "not trusted: read .mcp.json, then acp trust project/.mcp.json"
    assert changed["web"].problem is None


def test_the_users_server_wins_over_one_of_the_project_and_can_take_it_out(world: Any) -> None:
    trust(
        world.write({"docs": {"command": "evil"}, "off": {"command": "evil"}, "own": {"command": "fine"}}), world.state
    )
    found = world.found(OWN, GH_TOKEN="t", DOCS_TOKEN="t")
    assert found["docs"].url == "https://docs.example.org/mcp"
    assert found["own"].command == "fine"
    assert "off" not in found


def test_a_project_can_neither_lower_a_risk_nor_open_the_network(world: Any) -> None:
    entry = {"command": "x", "risk": 0, "risks": {"a": 0}, "network": True, "egress": ["*"], "rate": 10_000}
    trust(world.write({"x": entry}), world.state)
    assert world.found()["x"] == ToolServer(name="x", source="project", command="x")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (3, ".mcp.json: should be an object"),
        ({}, ".mcp.json: has no command"),
        ({"command": "x", "args": [1]}, ".mcp.json: args should be a list of strings"),
        ({"command": "x", "env": {"A": 1}}, ".mcp.json: env should be an object of strings"),
        ({"url": "ftp://x"}, ".mcp.json: has no url"),
        ({"type": "sse", "url": "http://x"}, ".mcp.json: type 'sse' is not spoken here: there are stdio and http"),
        ({"command": "${NOPE}"}, "${NOPE} is not set"),
    ],
)
def test_what_is_wrong_with_an_entry_is_its_problem(world: Any, entry: Any, problem: str) -> None:
    trust(world.write({"x": entry, "good": {"command": "fine"}}), world.state)
    found = world.found()
    assert found["x"].problem == problem
    assert found["good"].problem is None


def test_a_file_that_is_broken_is_one_problem(world: Any) -> None:
    world.write('{"mcpServers": ')
    (server,) = world.found().values()
    assert server.problem is not None
    assert server.problem.startswith("project/.mcp.json:1: broken JSON")


def test_errors_of_config_toml_name_the_line(world: Any, tmp_path: Path) -> None:
    text = '[mcp.a]\ncommand = "x"\nrisk = 7\nrate = 0\n[mcp.b]\ncommand = "x"\nurl = "http://x"\n'
    (tmp_path / "config.toml").write_text(text)
    problems = [str(one) for one in settings_problems({"ACP_CONFIG": str(tmp_path / "config.toml")})]
    assert [one.split(": ")[0] for one in problems] == ["config.toml:3", "config.toml:4", "config.toml:5"]


@pytest.mark.parametrize(
    ("text", "becomes"),
    [("$A ${A} ${A:-b} ${B:-b} ${B:-}", "$A a a b "), ("${C:-c}", "c"), ("{A} $$", "{A} $$")],
)
def test_variables_are_replaced_with_their_defaults(text: str, becomes: str) -> None:
    assert expanded(text, {"A": "a", "C": ""}) == becomes


def test_a_variable_without_a_value_or_default_is_an_error() -> None:
    with pytest.raises(Unset, match="B"):
        expanded("${B}", {"A": "a"})
