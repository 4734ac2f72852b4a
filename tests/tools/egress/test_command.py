"""A sandboxed command and the hosts that are allowed to it: real bubblewrap, real proxy, real server."""

import json
from pathlib import Path

import pytest

from acp_agent.domain.egress import AllowList
from acp_agent.domain.message import ToolCall
from acp_agent.domain.redact import Redactor
from acp_agent.domain.tool import NetworkUse, ToolResult
from acp_agent.tools.egress.network import Network
from acp_agent.tools.egress.outlet import CLOSED, Outlet
from acp_agent.tools.guard import Guard, standard_tools
from acp_agent.tools.sandbox.model import Sandbox
from acp_agent.tools.shell import run_command
from acp_agent.tools.workspace import Workspace
from tests.tools.egress.conftest import Site

FETCH = """python3 -c '
import sys, urllib.request
for address in sys.argv[1:]:
    try:
        print(urllib.request.urlopen(address, timeout=20).read().decode().strip())
    except OSError as error:
        print(error)
' """
AROUND = """python3 -c '
import socket, sys
for host in ("127.0.0.1", sys.argv[1]):
    try:
        socket.create_connection((host, int(sys.argv[2])), timeout=5)
        print("reached")
    except OSError as error:
        print(type(error).__name__)
' """


def outlet_to(*hosts: str) -> Outlet:
    """A way out to hosts that are all this machine."""

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    return Outlet(Network(private=AllowList.of(hosts), resolve=resolve), AllowList.of(hosts))


@pytest.mark.bwrap
async def test_a_command_reaches_the_allowed_hosts_and_no_other(root: Path, site: Site) -> None:
    """Through its proxy; what it was refused stands in the result and in the hint."""
    where = f"index.test:{site.port}"
    outlet = outlet_to(where)
    tools = standard_tools(Workspace.at(root), read_only=False, unattended=True, sandbox=Sandbox(), outlet=outlet)
    guard = Guard({tool.name: tool for tool in tools}, Workspace.at(root), Redactor(()))
    assert "these hosts alone, for programs that heed HTTP_PROXY and HTTPS_PROXY" in guard.specs()["shell"].description
    command = f"{FETCH} http://{where}/ http://evil.test/; exit 3"
    call = ToolCall(call_id="c", name="shell", arguments=json.dumps({"command": command}))
    assert "outward" in (await guard.weigh(call)).traits
    prepared = await guard.prepare(call, {})
    assert not isinstance(prepared, ToolResult)
    result = await prepared.run()
    assert result.output == "exit status 3\nhello from the site\nHTTP Error 403: Refused\n"
    assert result.network == NetworkUse(reached=(where,), refused=("evil.test:80 (not allowed)",))
    assert result.hint == "It asked for hosts it did not reach: evil.test:80 (not allowed)."


@pytest.mark.bwrap
async def test_a_program_that_ignores_the_proxy_reaches_nothing(root: Path, site: Site) -> None:
    """Neither this machine nor an address outside: there is no other network."""
    outlet = outlet_to(f"index.test:{site.port}")
    ended = await run_command(f"{AROUND} 192.0.2.1 {site.port}", workspace=root, timeout=60, outlet=outlet)
    assert (ended.output, ended.network) == ("ConnectionRefusedError\nOSError\n", None)
    # Nor does it find more of the machine than its own proxy.
    ended = await run_command("ls /run/acp", workspace=root, timeout=60, outlet=outlet)
    assert ended.output == "egress.sock\n"


@pytest.mark.bwrap
async def test_without_allowed_hosts_there_is_no_proxy(root: Path, site: Site) -> None:
    """And no variable that names one."""
    ended = await run_command("env | grep -i _proxy; ls /run", workspace=root, timeout=60, outlet=CLOSED)
    assert (ended.exit_status, ended.output, ended.network) == (0, "", None)


@pytest.mark.bwrap
async def test_a_command_keeps_its_own_end(root: Path) -> None:
    """Exit status, signal, its own children and its limit of time, beside the bridge."""
    outlet = outlet_to("index.test")
    script = "sleep 0 & wait; kill -TERM $$"
    ended = await run_command(script, workspace=root, timeout=60, outlet=outlet)
    assert ended.exit_status == 143
    ended = await run_command("sleep 600", workspace=root, timeout=1.0, outlet=outlet)
    assert (ended.timed_out, ended.exit_status) == (True, None)
