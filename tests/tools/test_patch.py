"""Patches: both forms are read, fitted by their context, and applied to all files or to none."""

import difflib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_agent.domain.errors import ToolError
from acp_agent.domain.message import ToolCall
from acp_agent.domain.redact import Redactor
from acp_agent.domain.tool import ToolResult
from acp_agent.tools.guard import Guard, standard_tools
from acp_agent.tools.patch import FilePatch, Hunk, fitted, parse_patch
from acp_agent.tools.preference import prefers_patches
from acp_agent.tools.sandbox.model import Sandbox
from acp_agent.tools.workspace import Workspace

SECTIONS = """\
*** Begin Patch
*** Update File: app.py
@@ def second():
-    return 2
+    return 22
*** Add File: new/one.txt
+first
+
+third
*** Delete File: old.txt
*** Update File: util.py
*** Move to: lib/util.py
@@
 import os
+import sys
*** End Patch
"""
UNIFIED = """\
diff --git a/app.py b/app.py
index 1..2 100644
--- a/app.py
+++ b/app.py
@@ -5,2 +5,2 @@ def second():
 def second():
-    return 2
+    return 22
--- /dev/null
+++ b/new/one.txt
@@ -0,0 +1,3 @@
+first
+
+third
--- a/old.txt
+++ /dev/null
@@ -1 +0,0 @@
-old
diff --git a/util.py b/lib/util.py
rename from util.py
rename to lib/util.py
--- a/util.py
+++ b/lib/util.py
@@ -1 +1,2 @@
 import os
+import sys
"""
APP = "def first():\n    return 2\n\n\ndef second():\n    return 2\n"


@pytest.fixture
def guard(root: Path) -> Guard:
    workspace = Workspace.at(root)
    tools = standard_tools(workspace, read_only=False, unattended=True, sandbox=Sandbox(level="off"), patches=True)
    return Guard({tool.name: tool for tool in tools}, workspace, Redactor(()))


@pytest.fixture
def project(root: Path) -> Path:
    (root / "app.py").write_text(APP)
    (root / "old.txt").write_text("old\n")
    (root / "util.py").write_text("import os\n")
    (root / "util.py").chmod(0o755)
    return root


async def use(guard: Guard, seen: dict[str, str | None], tool: str, **arguments: str) -> ToolResult:
    call = ToolCall(call_id="c", name=tool, arguments=json.dumps(arguments))
    prepared = await guard.prepare(call, seen)
    result = prepared if isinstance(prepared, ToolResult) else await prepared.run()
    seen.update(result.seen)
    return result


async def all_read(guard: Guard) -> dict[str, str | None]:
    seen: dict[str, str | None] = {}
    for path in ("app.py", "old.txt", "util.py"):
        await use(guard, seen, "read_file", path=path)
    return seen


@pytest.mark.parametrize("patch", [SECTIONS, UNIFIED, f"```diff\n{UNIFIED}```\n", SECTIONS.replace("\n", "\r\n")])
async def test_a_patch_changes_adds_deletes_and_renames(guard: Guard, project: Path, patch: str) -> None:
    seen = await all_read(guard)
    result = await use(guard, seen, "apply_patch", patch=patch)
    assert (result.status, result.output) == ("ok", "Applied the patch: 5 files, +7 -4 lines.") or result.output
    assert result.status == "ok", result.output
    assert (project / "app.py").read_text() == APP.replace("second():\n    return 2", "second():\n    return 22")
    assert (project / "new" / "one.txt").read_text() == "first\n\nthird\n"
    assert not (project / "old.txt").exists()
    assert not (project / "util.py").exists()
    assert (project / "lib" / "util.py").read_text() == "import os\nimport sys\n"
    assert (project / "lib" / "util.py").stat().st_mode & 0o777 == 0o755
    assert seen["old.txt"] is None


@pytest.mark.parametrize(
    ("change", "kind", "part"),
    [
        (("-    return 2\n+", "-    return 5\n+"), "no_match", "the hunk of app.py: its lines were not found"),
        (("@@ def second():", "@@ def third():"), "no_match", "the line 'def third():' after @@ is not in the file"),
        (("@@ def second():", "@@"), "ambiguous", "its lines stand at 2 places, lines 2, 6"),
        (("*** Add File: new/one.txt", "*** Add File: app.py"), "invalid_patch", "names app.py twice"),
        (("*** Add File: new/one.txt", "*** Add File: there.txt"), "exists", "there.txt exists already"),
        (("*** Delete File: old.txt", "*** Delete File: ../old.txt"), "outside", "outside the workspace"),
        (("*** Delete File: old.txt", "*** Delete File: unread.txt"), "unread", "has not been read yet"),
        (("*** End Patch\n", ""), "invalid_patch", "`*** End Patch` is missing"),
        (("+third", "third"), "invalid_patch", "line 9: each line of the new file new/one.txt begins with `+`"),
    ],
)
async def test_nothing_is_applied_where_one_part_does_not_fit(
    guard: Guard, project: Path, change: tuple[str, str], kind: str, part: str
) -> None:
    (project / "there.txt").write_text("there\n")
    (project / "unread.txt").write_text("unread\n")
    stood = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    result = await use(guard, await all_read(guard), "apply_patch", patch=SECTIONS.replace(*change))
    assert (result.kind, part in result.output) == (kind, True), result.output
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == stood


async def test_a_file_that_changed_since_it_was_read_stops_the_whole_patch(guard: Guard, project: Path) -> None:
    seen = await all_read(guard)
    (project / "util.py").write_text("import re\n")
    result = await use(guard, seen, "apply_patch", patch=SECTIONS)
    assert (result.kind, (project / "app.py").read_text(), (project / "new").exists()) == ("stale", APP, False)


async def test_a_write_that_fails_half_way_is_put_back(guard: Guard, project: Path) -> None:
    seen = await all_read(guard)
    call = ToolCall(call_id="c", name="apply_patch", arguments=json.dumps({"patch": SECTIONS}))
    prepared = await guard.prepare(call, seen)
    assert not isinstance(prepared, ToolResult)
    (project / "lib").write_text("in the way\n")
    result = await prepared.run()
    assert result.status == "error"
    assert ((project / "app.py").read_text(), (project / "old.txt").read_text()) == (APP, "old\n")
    assert (project / "util.py").exists()


async def test_after_a_crash_it_is_told_whether_the_patch_was_applied(guard: Guard, project: Path) -> None:
    seen = await all_read(guard)
    call = ToolCall(call_id="c", name="apply_patch", arguments=json.dumps({"patch": SECTIONS}))
    prepared = await guard.prepare(call, seen)
    assert not isinstance(prepared, ToolResult)
    assert not isinstance(await guard.recover(call, prepared.intent, seen), ToolResult | None)
    await prepared.run()
    recovered = await guard.recover(call, prepared.intent, seen)
    assert isinstance(recovered, ToolResult)
    assert "already applied before an interruption" in recovered.output
    (project / "app.py").write_text(APP)
    half = await guard.recover(call, prepared.intent, seen)
    assert isinstance(half, ToolResult)
    assert half.kind == "conflict"


def test_whitespace_is_overlooked_once_and_the_bytes_of_context_are_kept() -> None:
    patch = parse_patch("*** Begin Patch\n*** Update File: a\n@@\n if x:\n-  y\n+  z\n+  w\n*** End Patch")[0]
    content, notes = fitted("\tif x:  \r\n\t  y\r\nend\n", patch)
    assert content == "\tif x:  \r\n\t  z\r\n\t  w\r\nend\n"
    assert notes == ["the hunk of a, line 1: matched but for indentation"]


def test_hunks_go_on_from_each_other_and_the_end_of_the_file_can_be_named() -> None:
    text = "*** Begin Patch\n*** Update File: a\n@@ b\n-x\n+1\n@@\n-x\n+2\n@@\n-x\n+3\n*** End of File\n*** End Patch\n"
    assert fitted("x\nb\nx\nx\nx\nx\n", parse_patch(text)[0])[0] == "x\nb\n1\n2\nx\n3\n"


LINES = st.lists(st.sampled_from(["a", "b", "", "  c", "}", "é", "- x", "+ y", "@ z"]), max_size=12)


@given(LINES, LINES, st.booleans(), st.booleans(), st.integers(0, 3))
def test_a_unified_diff_of_any_two_texts_leads_from_one_to_the_other(
    one: list[str], other: list[str], ends: bool, other_ends: bool, context: int
) -> None:
    old = "\n".join(one) + ("\n" if ends and one else "")
    new = "\n".join(other) + ("\n" if other_ends and other else "")
    if old == new or not old or not new:
        return
    rows = []
    for row in difflib.unified_diff(old.splitlines(True), new.splitlines(True), "a/f", "b/f", n=context):
        rows.append(row if row.endswith("\n") else f"{row}\n\\ No newline at end of file\n")
    (patch,) = parse_patch("".join(rows))
    try:
        result, notes = fitted(old, patch)
    except ToolError as error:
        # Without context a place can be unclear; with it never.
        assert context == 0, error.message
        return
    assert notes == []
    assert result.rstrip("\n") == new.rstrip("\n") or context == 0
    if context == 3:
        assert result == new


@given(st.text(alphabet="*@-+ abE\nnd Patch:BegiUpdFl", max_size=120))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_patch(text)
    except ToolError as error:
        assert error.kind == "invalid_patch"
    else:
        assert all(isinstance(patch, FilePatch) and patch.path for patch in found)
        assert all(isinstance(hunk, Hunk) and hunk.lines for patch in found for hunk in patch.hunks)


def test_the_tool_is_offered_to_models_that_were_trained_on_patches() -> None:
    offered = [
        name
        for name in ("openai/gpt-5-mini", "x/y/codex-mini", "openai/o3", "anthropic/claude", "ollama/qwen3")
        if prefers_patches((name,))
    ]
    assert offered == ["openai/gpt-5-mini", "x/y/codex-mini", "openai/o3"]
    assert not prefers_patches(())
