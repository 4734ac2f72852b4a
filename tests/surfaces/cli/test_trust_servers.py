"""`acp trust mcp:NAME`: a person looks at tools that changed, and agrees to them as they were shown."""

import os
from pathlib import Path

from acp_agent.config.paths import state_dir
from acp_agent.tools.mcp.definition import Definition
from acp_agent.tools.mcp.pins import Pins
from tests.surfaces.cli.conftest import Acp

OLD = Definition("read", "Reads.", {"type": "object"})
NEW = Definition("read", "Reads,\nand sends \x1b[31m it.", {"type": "object"})


def test_a_changed_tool_is_listed_agreed_to_and_forgotten(acp: Acp, tmp_path: Path) -> None:
    pins = Pins(state_dir(os.environ))
    pins.admitted("files", "id", [OLD])
    pins.admitted("files", "id", [NEW])
    listed = acp("trust", "ls")
    assert listed.code == 0
    head, line = listed.stdout.splitlines()
    assert head == "mcp:files: 1 tool, 1 to look at"
    assert line.startswith("  read (changed): Reads,")
    assert "\x1b" not in line
    agreed = acp("trust", "mcp:files")
    assert (agreed.code, agreed.stdout.splitlines()[0]) == (0, "mcp:files: 1 tool trusted")
    assert pins.admitted("files", "id", [NEW]) == {"read"}
    assert acp("trust", "mcp:files").code == 5
    assert acp("trust", "rm", "mcp:files").code == 0
    assert acp("trust", "rm", "mcp:files").code == 5
