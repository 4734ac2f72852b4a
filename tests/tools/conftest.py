"""A workspace with tools bound to it, called as a run calls them."""

import json
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from acp_agent.domain.message import ToolCall
from acp_agent.domain.redact import Redactor
from acp_agent.domain.tool import ToolResult
from acp_agent.tools.guard import Guard, standard_tools
from acp_agent.tools.sandbox.model import Sandbox
from acp_agent.tools.workspace import Workspace

Use = Callable[..., Awaitable[ToolResult]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty directory to work in, with room beside it for what must not be reached."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def guard(root: Path) -> Guard:
    """The usual tools over `root`; one secret is known."""
    workspace = Workspace.at(root)
    tools = standard_tools(workspace, read_only=False, unattended=True, sandbox=Sandbox())
    return Guard({tool.name: tool for tool in tools}, workspace, Redactor(["hunter2-hunter2"]))


@pytest.fixture
def seen() -> dict[str, str | None]:
    """What the model knows, as the fold of a run keeps it."""
    return {}


@pytest.fixture
def use(guard: Guard, seen: dict[str, str | None]) -> Use:
    """Call a tool: `await use("read_file", path="a")`; what it saw is remembered."""

    async def call(tool: str, **arguments: Any) -> ToolResult:
        prepared = await guard.prepare(ToolCall(call_id="c1", name=tool, arguments=json.dumps(arguments)), seen)
        result = prepared if isinstance(prepared, ToolResult) else await prepared.run()
        seen.update(result.seen)
        return result

    return call


@pytest.fixture
def repository(root: Path) -> Path:
    """`root` as a git checkout with one commit and a .gitignore."""
    (root / ".gitignore").write_text("ignored/\n*.log\n")
    (root / "kept.py").write_text("def kept():\n    return 'needle'\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root
