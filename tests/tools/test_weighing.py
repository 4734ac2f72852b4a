"""What a call weighs: the risk of its paths, whatever way leads to them, and the hash an approval is bound to."""

import json
from pathlib import Path
from typing import Any

import pytest

from acp_agent.domain.governing import governs, instructs
from acp_agent.domain.message import ToolCall
from acp_agent.domain.redact import Redactor
from acp_agent.domain.tool import Intent, Risk, ToolResult
from acp_agent.domain.weight import Weight
from acp_agent.tools.guard import Guard, Prepared
from acp_agent.tools.registry import Arguments, Ready, Seen, prepared_tool
from acp_agent.tools.weighing import Scales
from acp_agent.tools.workspace import Workspace

pytestmark = pytest.mark.anyio


def called(name: str, **arguments: Any) -> ToolCall:
    return ToolCall(call_id="c1", name=name, arguments=json.dumps(arguments))


async def written(guard: Guard, path: str) -> Weight:
    return await guard.weigh(called("write_file", path=path, content="x"))


@pytest.mark.parametrize(
    "path",
    [
        "projects.toml",
        "sub/dir/projects.toml",
        "Projects.TOML",
        ".mcp.json",
        ".MCP.json",
        ".mcp.json.",
        ".mcp.json ",
        ".mcp\u200c.json",
        ".\uff4dcp.json",
        "./.mcp.json",
        "a/../.mcp.json",
        "loops/night.md",
        "LOOPS/night.md",
        ".agents/skills/x/SKILL.md",
        "packages/api/.agents/skills/x/SKILL.md",
        "linked/night.md",
        "loops/default.toml",
        "loops/Night.MD",
        "harmless.json",
        "folder/mcp.json",
        "really/loops-live-here.md",
    ],
)
async def test_writing_a_governing_file_is_risk_4_whatever_way_leads_there(guard: Guard, root: Path, path: str) -> None:
    (root / "loops").mkdir()
    (root / "really").mkdir()
    (root / "folder").mkdir()
    (root / "linked").symlink_to("loops")
    (root / "harmless.json").symlink_to(".mcp.json")
    # What governs may itself be a link: then the file it leads to governs.
    (root / ".mcp.json").symlink_to("folder/mcp.json")
    (root / ".agents").symlink_to("really")
    weight = await written(guard, path)
    assert (weight.risk, len(weight.reasons)) == (Risk.IRREVERSIBLE, 1)
    assert "governs what the agent may do" in weight.reasons[0]


@pytest.mark.parametrize(
    "path",
    [
        "src/loop.py",
        "projects.toml.md",
        "mcp.json",
        "agents/x.md",
        "docs/loops.md",
        "src/loops/app.py",
        "src/loops/notes.md",
        "loops/app.py",
        "loops/data/night.md",
    ],
)
async def test_other_files_are_local_writes(guard: Guard, path: str) -> None:
    weight = await written(guard, path)
    assert (weight.risk, weight.writes, weight.reasons) == (Risk.LOCAL, (path,), ())


async def test_instructions_of_later_runs_are_more_than_a_local_write(guard: Guard) -> None:
    weight = await written(guard, "docs/agents.md")
    assert (weight.risk, weight.reasons) == (Risk.DRAFT, ("later runs read docs/agents.md as instructions",))
    assert instructs("CLAUDE.md")
    assert not governs("CLAUDE.md")


async def test_gate_files_of_the_run_govern_too(root: Path) -> None:
    workspace = Workspace.at(root)
    strict = Guard({"write": write}, workspace, Redactor(()), scales=Scales(governed=("scripts/test", "ci")))
    weights = {path: (await strict.weigh(called("write", path=path))).risk for path in ("scripts/test", "ci/a", "cia")}
    assert weights == {"scripts/test": Risk.IRREVERSIBLE, "ci/a": Risk.IRREVERSIBLE, "cia": Risk.LOCAL}


async def test_loops_that_lie_elsewhere_govern_where_they_lie(guard: Guard, root: Path) -> None:
    (root / "prompts").mkdir()
    (root / "prompts/night.md").write_text("x")
    (root / "loops").mkdir()
    (root / "loops/night.md").symlink_to("../prompts/night.md")
    assert (await written(guard, "prompts/night.md")).risk == Risk.IRREVERSIBLE
    assert (await written(guard, "prompts/other.md")).risk == Risk.LOCAL


async def test_what_the_project_protects_weighs_as_what_governs(root: Path) -> None:
    scales = Scales(protect=("tests/**", "*.lock", "/ci"))
    strict = Guard({"write": write}, Workspace.at(root), Redactor(()), scales=scales)
    paths = ("tests/a/test_x.py", "TESTS/x", "sub/uv.lock", "ci/run", "src/ci", "tests", "testing/x")
    weights = {path: await strict.weigh(called("write", path=path)) for path in paths}
    held = [path for path, weight in weights.items() if weight.governing == (path,)]
    assert held == ["tests/a/test_x.py", "TESTS/x", "sub/uv.lock", "ci/run"]
    assert "uv.lock is protected by the project" in weights["sub/uv.lock"].reasons[-1]
    assert {path for path, weight in weights.items() if weight.risk == Risk.IRREVERSIBLE} == set(held)


class Write(Arguments):
    path: str

    def title(self) -> str:
        return self.path


def writing(arguments: Write) -> Ready:
    async def run(key: str) -> ToolResult:
        return ToolResult(status="ok", output="written")

    return Ready(Intent(title="write", after={arguments.path: "0" * 64}), run)


@prepared_tool(Risk.LOCAL, kind="edit", weigh=lambda given, _: Weight(risk=Risk.READ, writes=(given.path,)))
def write(arguments: Write, workspace: Workspace, seen: Seen) -> Ready:
    """Write a file."""
    return writing(arguments)


@prepared_tool(Risk.LOCAL, kind="edit")
def untold(arguments: Write, workspace: Workspace, seen: Seen) -> Ready:
    """Write a file without having said which one."""
    return writing(arguments)


async def test_a_tool_may_raise_its_risk_and_never_lower_it(root: Path) -> None:
    guard = Guard({"write": write}, Workspace.at(root), Redactor(()))
    weight = await guard.weigh(called("write", path="a"))
    assert (weight.risk, weight.reasons) == (Risk.LOCAL, ("write is of that risk",))


async def test_a_tool_that_did_not_say_what_it_writes_weighs_more_once_it_is_prepared(root: Path) -> None:
    guard = Guard({"untold": untold}, Workspace.at(root), Redactor(()))
    call = called("untold", path="projects.toml")
    assert (await guard.weigh(call)).risk == Risk.LOCAL
    prepared = await guard.prepare(call, {})
    assert isinstance(prepared, Prepared)
    assert prepared.weight.risk == Risk.IRREVERSIBLE


async def test_the_binding_is_of_tool_arguments_directory_and_sandbox(guard: Guard, root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    usual = await guard.weigh(called("write_file", path="a", content="x"))
    same = [
        await guard.weigh(called("write_file", content="x", path="a")),
        await guard.weigh(called("write_file", file_path="a", content="x")),
    ]
    assert {weight.binding for weight in same} == {usual.binding}
    others = [
        await guard.weigh(called("write_file", path="a", content="y")),
        await guard.weigh(called("write_file", path="b", content="x")),
        await Guard(guard.tools, Workspace.at(elsewhere), guard.redactor).weigh(
            called("write_file", path="a", content="x")
        ),
        await Guard(guard.tools, guard.workspace, guard.redactor, scales=Scales(level="none")).weigh(
            called("write_file", path="a", content="x")
        ),
    ]
    bindings = {weight.binding for weight in (usual, *others)}
    assert len(bindings) == 5
    assert {len(binding) for binding in bindings} == {64}


async def test_a_link_that_was_changed_makes_another_call_of_the_same_words(guard: Guard, root: Path) -> None:
    (root / "link").symlink_to("a")
    before = await written(guard, "link")
    (root / "link").unlink()
    (root / "link").symlink_to("b")
    assert (await written(guard, "link")).binding != before.binding


async def test_what_will_be_refused_weighs_what_its_tool_does(guard: Guard) -> None:
    weights = [
        await guard.weigh(called("write_file", path="../outside", content="x")),
        await guard.weigh(ToolCall(call_id="c1", name="write_file", arguments="{")),
        await guard.weigh(called("unheard_of")),
    ]
    assert [(weight.risk, weight.opaque) for weight in weights] == [
        (Risk.LOCAL, True),
        (Risk.LOCAL, True),
        (Risk.READ, True),
    ]
