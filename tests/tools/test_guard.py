"""The guard: what is refused and how, what a result may hold, and what became of a call that was interrupted."""

# ruff: noqa: E501  (what a model reads stands here as it reads it)

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from inline_snapshot import snapshot

from acp_agent.domain.errors import ToolError
from acp_agent.domain.message import ToolCall
from acp_agent.domain.ports import Prepared as PreparedPort
from acp_agent.domain.ports import Tools
from acp_agent.domain.redact import Redactor
from acp_agent.domain.tool import Intent, PlanStep, Risk, ToolResult
from acp_agent.tools.guard import Guard, open_tools, standard_tools
from acp_agent.tools.kept import Kept
from acp_agent.tools.outputs import Outputs
from acp_agent.tools.prepared import Prepared
from acp_agent.tools.registry import Arguments, Ready, Seen, prepared_tool, tool
from acp_agent.tools.sandbox import probe
from acp_agent.tools.sandbox.model import Sandbox
from acp_agent.tools.workspace import Workspace, digest

pytestmark = pytest.mark.anyio
Use = Callable[..., Awaitable[ToolResult]]


def called(name: str, arguments: str) -> ToolCall:
    return ToolCall(call_id="c1", name=name, arguments=arguments)


def conforms(tools: Tools, prepared: PreparedPort) -> None:
    """Only type checkers read this: the guard is what `domain.ports` asks for."""


async def test_the_guard_is_what_the_port_asks_for(guard: Guard) -> None:
    prepared = await guard.prepare(called("plan", '{"steps": []}'), {})
    assert isinstance(prepared, Prepared)
    conforms(guard, prepared)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("reed_file", "{}"),
        ("launch", "{}"),
        ("read_file", "{}"),
        ("read_file", "not json"),
        ("read_file", '{"path": "a", "why": "x"}'),
        ("read_file", '{"path": "a", "offset": 0}'),
        ("edit_file", '{"path": "a", "edits": [{"old": "x"}]}'),
        ("write_file", '{"path": "a", "content": "half a fi'),
        ("write_file", '{"path": "a", "content": "\\ud800"}'),
        ("plan", '{"steps": [{"text": "x", "status": "stuck"}]}'),
    ],
)
async def test_what_is_wrong_is_refused(guard: Guard, name: str, arguments: str) -> None:
    result = await guard.prepare(called(name, arguments), {})
    assert isinstance(result, ToolResult)
    assert (result.status, result.kind) == (
        "refused",
        "unknown_tool" if name in ("reed_file", "launch") else "invalid_arguments",
    )
    assert result.hint


async def test_what_a_model_reads_of_a_refusal(guard: Guard) -> None:
    refusals = [
        await guard.prepare(called("reed_file", "{}"), {}),
        await guard.prepare(called("edit_file", '{"path": "a", "edits": [{"old": "x"}], "mode": 1}'), {}),
        await guard.prepare(called("write_file", '{"path": "a", "content": "half a fi'), {}),
    ]
    assert [
        result.model_dump(exclude_defaults=True) for result in refusals if isinstance(result, ToolResult)
    ] == snapshot(
        [
            {
                "status": "refused",
                "output": "There is no tool 'reed_file'.",
                "kind": "unknown_tool",
                "hint": "Did you mean read_file or edit_file or write_file?",
            },
            {
                "status": "refused",
                "output": "Invalid arguments for edit_file: edits.0.new: Field required; mode: Extra inputs are not permitted.",
                "kind": "invalid_arguments",
                "retryable": True,
                "hint": 'Expected {"path": string, "edits": [{"old": string, "new": string, "all"?: boolean}, ...]}',
            },
            {
                "status": "refused",
                "output": "Invalid arguments for write_file: not valid JSON: Unterminated string starting at at character 25.",
                "kind": "invalid_arguments",
                "retryable": True,
                "hint": 'Expected {"path": string, "content": string}',
            },
        ]
    )


@pytest.mark.parametrize(
    "arguments",
    [
        '{"path": "a", "edits": [{"old": "one", "new": "two"}]}',
        '{"file_path": "a", "old_string": "one", "new_string": "two"}',
        '{"filename": "a", "edits": {"old_str": "one", "new_str": "two"}}',
        '{"path": "a", "edits": "[{\\"old\\": \\"one\\", \\"new\\": \\"two\\"}]"}',
        '{"path": "a", "changes": [{"old": "one", "new": "two", "replace_all": "false"}]}',
        "{'path': 'a', 'edits': [{'old': 'one', 'new': 'two', 'all': None}]}",
    ],
)
async def test_the_same_edit_is_understood_in_many_words(guard: Guard, root: Path, arguments: str) -> None:
    (root / "a").write_text("one")
    prepared = await guard.prepare(called("edit_file", arguments), {"a": digest(b"one")})
    assert isinstance(prepared, Prepared), prepared
    assert (await prepared.run()).status == "ok"
    assert (root / "a").read_text() == "two"


async def test_numbers_and_booleans_as_strings_are_read(use: Use, root: Path) -> None:
    (root / "a").write_text("one\ntwo\n")
    assert (await use("read_file", path="a", offset="2", limit=None)).output == "2\ttwo\n[lines 2-2 of 2]"


async def test_a_plan_is_kept(use: Use) -> None:
    result = await use("plan", steps=[{"content": "one", "status": "done"}, {"text": "two"}])
    assert result == ToolResult(
        status="ok",
        output="Plan: 1 of 2 done.",
        plan=(PlanStep(text="one", status="completed"), PlanStep(text="two")),
    )


async def test_secrets_are_masked_and_nul_is_shown(use: Use, root: Path) -> None:
    (root / "a").write_text("key = hunter2-hunter2\n")
    assert (await use("read_file", path="a")).output == "1\tkey = [redacted]"
    written = await use("write_file", path="a", content="key = 'hunter2-hunter2'\n")
    assert "hunter2" not in (written.diff or "")
    missing = await use("read_file", path="hunter2-hunter2")
    assert missing.output == "[redacted] does not exist."
    assert (root / "a").read_text() == "key = 'hunter2-hunter2'\n"


class Nothing(Arguments):
    """No arguments."""

    def title(self) -> str:
        return "Odd hunter2-hunter2"


def guard_with(root: Path, *tools: object, outputs: Outputs | None = None) -> Guard:
    named = {one.name: one for one in tools}  # type: ignore[attr-defined]
    return Guard(named, Workspace.at(root), Redactor(["hunter2-hunter2"]), outputs or Outputs())


async def test_much_output_keeps_both_ends_and_counts_the_rest(root: Path) -> None:
    @tool(Risk.READ, kind="read")
    def flood(arguments: Nothing, workspace: Workspace) -> ToolResult:
        """Say much."""
        return ToolResult(status="ok", output="\0" + "é" * 40_000 + " hunter2-hunter2 end", omitted=5, origin="command")

    kept = Kept(root.parent / "kept")
    prepared = await guard_with(root, flood, outputs=Outputs(kept)).prepare(called("flood", ""), {})
    assert isinstance(prepared, Prepared)
    result = await prepared.run()
    assert result.output.startswith("␀éé")
    assert result.output.endswith("é [redacted] end")
    assert "[... 16,032 bytes cut here; ask for less at once to see them ...]" in result.output
    assert result.omitted == 16_032 + 5
    assert result.artifact is not None
    whole = kept.get(result.artifact.sha256)
    assert whole is not None and whole.decode() == "␀" + "é" * 40_000 + " [redacted] end"
    assert result.artifact.size == len(whole)

    (root.parent / "taken").write_text("a file where the folder should be")
    nowhere = await guard_with(root, flood, outputs=Outputs(Kept(root.parent / "taken"))).prepare(
        called("flood", ""), {}
    )
    assert isinstance(nowhere, Prepared)
    assert (await nowhere.run()).model_copy(update={"artifact": result.artifact}) == result
    assert prepared.intent.title == "Odd [redacted]"


async def test_errors_of_a_tool_are_results_and_bugs_are_raised(root: Path) -> None:
    problems: list[Exception] = [
        ToolError("no", kind="odd", retryable=True, hint="try"),
        PermissionError(13, "Permission denied"),
        OSError(5, "Input/output error"),
        ZeroDivisionError(),
    ]

    @prepared_tool(Risk.LOCAL, kind="other")
    def fail(arguments: Nothing, workspace: Workspace, seen: Seen) -> Ready:
        """Fail."""

        async def run(key: str) -> ToolResult:
            raise problems.pop(0)

        return Ready(Intent(title="Fail"), run)

    guard = guard_with(root, fail)
    prepared = await guard.prepare(called("fail", "{}"), {})
    assert isinstance(prepared, Prepared)
    results = [await prepared.run() for _ in range(3)]
    assert results == [
        ToolResult(status="error", output="no", kind="odd", retryable=True, hint="try"),
        ToolResult(status="error", output="Fail may not be accessed.", kind="permission"),
        ToolResult(status="error", output="Fail: Input/output error.", kind="io", retryable=True),
    ]
    with pytest.raises(ZeroDivisionError):
        await prepared.run()


async def test_a_tool_that_takes_too_long_is_an_error_and_cancellation_is_not(root: Path) -> None:
    @prepared_tool(Risk.READ, kind="other", timeout=0.05)
    def hang(arguments: Nothing, workspace: Workspace, seen: Seen) -> Ready:
        """Hang."""

        async def run(key: str) -> ToolResult:
            await anyio.sleep_forever()
            raise AssertionError

        return Ready(Intent(), run)

    prepared = await guard_with(root, hang).prepare(called("hang", "{}"), {})
    assert isinstance(prepared, Prepared)
    result = await prepared.run()
    assert (result.status, result.kind, result.retryable) == ("error", "timeout", True)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await prepared.run()
    assert scope.cancelled_caught


WRITE = json.dumps({"path": "a", "content": "after"})
EDIT = json.dumps({"path": "a", "edits": [{"old": "before", "new": "after"}]})


@pytest.mark.parametrize(
    ("tool", "arguments", "before", "now", "becomes"),
    [
        ("write_file", WRITE, None, "after", "done"),
        ("write_file", WRITE, None, None, "again"),
        ("write_file", WRITE, None, "else", "conflict"),
        ("write_file", WRITE, "before", "before", "again"),
        ("write_file", WRITE, "after", "after", "done"),
        ("edit_file", EDIT, "before", "after", "done"),
        ("edit_file", EDIT, "before", "before", "again"),
        ("edit_file", EDIT, "before", "else", "conflict"),
        ("edit_file", EDIT, "before", None, "conflict"),
    ],
)
async def test_an_interrupted_write_is_told_by_its_hashes(
    guard: Guard, root: Path, tool: str, arguments: str, before: str | None, now: str | None, becomes: str
) -> None:
    known = None if before is None else digest(before.encode())
    intent = Intent(title="Write a", before={"a": known}, after={"a": digest(b"after")})
    if now is not None:
        (root / "a").write_text(now)
    outcome = await guard.recover(called(tool, arguments), intent, {"a": known})
    if isinstance(outcome, Prepared):
        assert becomes == "again"
        assert outcome.intent.after == intent.after
        assert (await outcome.run()).status == "ok"
        assert (root / "a").read_text() == "after"
    elif becomes == "done":
        told = "Write a: already applied before an interruption."
        assert outcome == ToolResult(status="ok", output=told, seen={"a": digest(b"after")})
    else:
        assert isinstance(outcome, ToolResult)
        assert (outcome.status, outcome.kind) == ("error", becomes)


async def test_what_a_killed_write_left_is_cleared_away(
    guard: Guard, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = await guard.prepare(called("write_file", WRITE), {})
    assert isinstance(prepared, Prepared)
    with monkeypatch.context() as patch:
        # As a kill between writing and renaming leaves it: nobody tidies up.
        patch.setattr("os.rename", lambda *_, **__: 1 / 0)
        patch.setattr("os.unlink", lambda *_, **__: None)
        with pytest.raises(ZeroDivisionError):
            await prepared.run()
    assert len(list(root.iterdir())) == 1
    again = await guard.recover(called("write_file", WRITE), prepared.intent, {})
    assert list(root.iterdir()) == []
    assert isinstance(again, Prepared)
    await again.run()
    assert [(path.name, path.read_text()) for path in root.iterdir()] == [("a", "after")]


@pytest.mark.parametrize(
    ("tool", "arguments", "outcome"),
    [
        ("read_file", '{"path": "a"}', Prepared),
        ("list_files", "{}", Prepared),
        ("search", '{"pattern": "x"}', Prepared),
        ("plan", '{"steps": []}', Prepared),
        ("shell", '{"command": "make"}', type(None)),
        ("gone", "{}", type(None)),
    ],
)
async def test_a_call_that_only_looks_is_made_again_and_a_command_never(
    guard: Guard, tool: str, arguments: str, outcome: type
) -> None:
    assert type(await guard.recover(called(tool, arguments), Intent(title="x"), {})) is outcome


async def test_read_only_offers_nothing_that_writes(root: Path) -> None:
    offered = (await open_tools(root, read_only=True)).specs()
    assert {name: spec.risk for name, spec in offered.items()} == dict.fromkeys(
        ("read_file", "list_files", "search", "plan", "ask_user"), Risk.READ
    )


@pytest.mark.parametrize(
    ("level", "unattended", "offered"),
    [
        ("required", True, False),
        ("required", False, False),
        ("prefer", True, False),
        ("prefer", False, True),
        ("off", False, True),
    ],
)
def test_without_a_sandbox_a_shell_needs_a_person(
    root: Path, monkeypatch: pytest.MonkeyPatch, level: str, unattended: bool, offered: bool
) -> None:
    gone = [probe.Trial("bwrap", "gone"), probe.Trial("landlock", "gone")]
    monkeypatch.setattr(probe, "_trials", lambda sandbox, stop: gone)
    sandbox = Sandbox(level=level)  # type: ignore[arg-type]
    tools = standard_tools(Workspace.at(root), read_only=False, unattended=unattended, sandbox=sandbox)
    assert ("shell" in {tool.name for tool in tools}) is offered


async def test_no_shell_is_confined_to_a_home_directory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root / "home"))
    assert "shell" not in (await open_tools(root, unattended=False, sandbox=Sandbox(level="prefer"))).specs()


async def test_a_root_that_is_no_directory_is_an_error(root: Path) -> None:
    with pytest.raises(NotADirectoryError):
        await open_tools(root / "missing")
