"""Tools and MCP servers that a person gave hosts: their own processes reach these and nothing else."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from acp_agent.config.tools_tables import schema_of_parameters
from acp_agent.domain.declared import CommandCall, DeclaredTool
from acp_agent.domain.egress import AllowList
from acp_agent.domain.message import ToolCall
from acp_agent.domain.redact import Redactor
from acp_agent.domain.servers import ToolServer
from acp_agent.domain.tool import NetworkUse, Risk, ToolResult
from acp_agent.tools.declared import declared_tools
from acp_agent.tools.egress.network import Network
from acp_agent.tools.guard import Guard
from acp_agent.tools.mcp.servers import opened_servers
from acp_agent.tools.sandbox.model import Sandbox
from acp_agent.tools.workspace import Workspace
from tests.tools.egress.conftest import Site
from tests.tools.egress.test_command import AROUND, FETCH

pytestmark = [pytest.mark.anyio, pytest.mark.bwrap]
HERE = Path(__file__).parent
SANDBOX = Sandbox(readable=(HERE, Path(sys.prefix), Path(sys.base_prefix)))
PROXIES = "env | grep -ci _proxy; "


def network_of(*hosts: str) -> Network:
    """Every name is this machine, and these may be."""

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    return Network(private=AllowList.of(hosts), resolve=resolve)


async def used(root: Path, network: Network, script: str, *egress: str) -> ToolResult:
    tool = DeclaredTool(
        name="act",
        description="Act.",
        parameters=schema_of_parameters(""),
        risk=Risk.LOCAL,
        timeout=60.0,
        call=CommandCall(argv=("sh", "-c", script), egress=egress),
    )
    guard = Guard(
        {one.name: one for one in declared_tools([tool], Sandbox(), {}, network)}, Workspace.at(root), Redactor(())
    )
    call = ToolCall(call_id="c", name="act", arguments="{}")
    assert ("outward" in (await guard.weigh(call)).traits) is bool(egress)
    prepared = await guard.prepare(call, {}, "key-1")
    assert not isinstance(prepared, ToolResult)
    return await prepared.run()


async def test_a_declared_tool_reaches_the_hosts_it_declares_and_no_other(root: Path, site: Site) -> None:
    where = f"index.test:{site.port}"
    # That another host could be reached by others does not make it one of this tool's.
    network = network_of(where, f"other.test:{site.port}")
    script = f"{FETCH} http://{where}/ http://other.test:{site.port}/; {AROUND} 192.0.2.1 {site.port}; exit 3"
    result = await used(root, network, script, where)
    assert result.output.splitlines() == [
        "exit status 3",
        "hello from the site",
        "HTTP Error 403: Refused",
        "ConnectionRefusedError",
        "OSError",
    ]
    refused = f"other.test:{site.port} (not allowed)"
    assert result.network == NetworkUse(reached=(where,), refused=(refused,))
    assert result.hint == f"It asked for hosts it did not reach: {refused}."
    assert len(site.heads) == 1


async def test_a_declared_tool_without_hosts_has_no_network(root: Path, site: Site) -> None:
    where = f"index.test:{site.port}"
    result = await used(root, network_of(where), f"{PROXIES}{AROUND} 192.0.2.1 {site.port}; true")
    assert (result.output, result.network) == ("0\nConnectionRefusedError\nOSError\n", None)
    assert site.heads == []


@asynccontextmanager
async def web(root: Path, state: Path, network: Network, *egress: str) -> AsyncIterator[Guard]:
    server = ToolServer(
        name="web", command=sys.executable, args=(str(HERE / "web_server.py"),), timeout=60, egress=egress
    )
    async with opened_servers(state, SANDBOX, network) as servers:
        hub = servers.hub
        offer = hub.open([server], root)
        await offer.settled(60)
        yield Guard({}, Workspace.at(root), Redactor(()), source=offer)


async def asked(guard: Guard, tool: str, **arguments: object) -> ToolResult:
    prepared = await guard.prepare(ToolCall(call_id="c", name=tool, arguments=json.dumps(arguments)), {}, "key-1")
    return prepared if isinstance(prepared, ToolResult) else await prepared.run()


@pytest.mark.slow
async def test_a_server_reaches_the_hosts_it_was_given_and_no_other(root: Path, tmp_path: Path, site: Site) -> None:
    where, other = f"index.test:{site.port}", f"other.test:{site.port}"
    async with web(root, tmp_path / "state", network_of(where, other), where) as guard:
        allowed = await asked(guard, "web__get", address=f"http://{where}/")
        assert (allowed.output, allowed.network) == ("hello from the site", NetworkUse(reached=(where,)))
        refused = await asked(guard, "web__get", address=f"http://{other}/")
        assert (refused.output, refused.network) == (
            "HTTP Error 403: Refused",
            NetworkUse(refused=(f"{other} (not allowed)",)),
        )
        around = await asked(guard, "web__around", port=site.port)
        assert (around.output, around.network) == ("ConnectionRefusedError", None)
    assert len(site.heads) == 1


@pytest.mark.slow
async def test_a_server_without_hosts_has_no_network(root: Path, tmp_path: Path, site: Site) -> None:
    where = f"index.test:{site.port}"
    async with web(root, tmp_path / "state", network_of(where)) as guard:
        assert (await asked(guard, "web__around", port=site.port)).output == "ConnectionRefusedError"
        got = await asked(guard, "web__get", address=f"http://{where}/")
        assert "hello" not in got.output
        assert got.network is None
    assert site.heads == []
