"""The MCP server that people start with, from npm as it is published, in the sandbox."""

import json
import platform
from pathlib import Path

import pytest

from acp_agent.domain.message import ToolCall
from acp_agent.domain.redact import Redactor
from acp_agent.domain.servers import ToolServer
from acp_agent.domain.tool import Risk, ToolResult
from acp_agent.tools.egress.network import Network
from acp_agent.tools.guard import Guard
from acp_agent.tools.mcp.servers import opened_servers
from acp_agent.tools.sandbox.model import Sandbox
from acp_agent.tools.workspace import Workspace
from tests.acceptance.npm.conftest import MACHINES
from tests.tools.mcp.conftest import processes

pytestmark = [pytest.mark.anyio, pytest.mark.node, pytest.mark.bwrap, pytest.mark.slow]


async def test_its_tools_work_on_the_workspace_and_reach_nothing_else(packages: Path, tmp_path: Path) -> None:
    node = packages / f"node-linux-{MACHINES.get(platform.machine(), 'unknown')}" / "bin" / "node"
    program = packages / "@modelcontextprotocol" / "server-filesystem" / "dist" / "index.js"
    root = tmp_path / "project"
    root.mkdir()
    (root / "a.txt").write_text("alpha\n")
    (tmp_path / "secret.txt").write_text("the secret\n")
    server = ToolServer(
        name="files",
        command=str(node),
        # It would serve the directory above as well; only the sandbox is in its way.
        args=(str(program), str(root), str(tmp_path)),
        risks={"read_text_file": Risk.READ},
        timeout=60,
    )
    sandbox = Sandbox(readable=(packages,))
    async with opened_servers(tmp_path / "state", sandbox, Network()) as started:
        offer = started.hub.open([server], root)
        await offer.settled(60)
        assert offer.notes() == ()
        guard = Guard({}, Workspace.at(root), Redactor(()), source=offer)
        specs = guard.specs()
        assert {"files__read_text_file", "files__write_file", "files__list_directory"} <= set(specs)
        # It says of itself that it only reads; that is nobody's word but its own.
        assert (specs["files__read_text_file"].risk, specs["files__list_directory"].risk) == (0, 3)

        async def use(tool: str, **arguments: object) -> ToolResult:
            call = ToolCall(call_id="c1", name=f"files__{tool}", arguments=json.dumps(arguments))
            prepared = await guard.prepare(call, {}, "key")
            return prepared if isinstance(prepared, ToolResult) else await prepared.run()

        read = await use("read_text_file", path=str(root / "a.txt"))
        assert (read.status, read.output, read.origin) == ("ok", "alpha\n", "mcp")
        written = await use("write_file", path=str(root / "b.txt"), content="beta\n")
        assert written.status == "ok"
        assert (root / "b.txt").read_text() == "beta\n"
        hidden = await use("read_text_file", path=str(tmp_path / "secret.txt"))
        assert hidden.status == "error"
        assert "the secret" not in hidden.output
        # What it writes beside the workspace lands in a /tmp of its own, if anywhere.
        await use("write_file", path=str(tmp_path / "planted"), content="x")
        assert not (tmp_path / "planted").exists()
    assert processes(str(program)) == []
