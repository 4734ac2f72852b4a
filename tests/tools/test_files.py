"""Reading shows numbered lines within bounds; writing wants to know what it changes."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from acp_agent.domain.message import ToolCall
from acp_agent.domain.tool import Intent, ToolResult
from acp_agent.tools.guard import Guard, Prepared
from acp_agent.tools.workspace import digest

pytestmark = pytest.mark.anyio
Use = Callable[..., Awaitable[ToolResult]]


async def test_a_file_is_read_with_line_numbers_and_remembered(use: Use, root: Path) -> None:
    (root / "a.py").write_text("one\n\ntwo\n")
    assert await use("read_file", path="a.py") == ToolResult(
        status="ok", output="1\tone\n2\t\n3\ttwo", seen={"a.py": digest(b"one\n\ntwo\n")}
    )


async def test_a_part_of_a_file_says_what_part_it_is(use: Use, root: Path) -> None:
    (root / "a").write_text("".join(f"{number}\n" for number in range(1, 5001)))
    middle = await use("read_file", path="a", offset=3, limit=2)
    assert middle.output == "3\t3\n4\t4\n[lines 3-4 of 5000; read on with offset 5]"
    whole = await use("read_file", path="a", limit=100_000)
    assert whole.output.endswith("2000\t2000\n[lines 1-2000 of 5000; read on with offset 2001]")
    assert (await use("read_file", path="a", offset=5000)).output == "5000\t5000\n[lines 5000-5000 of 5000]"
    beyond = await use("read_file", path="a", offset=5001)
    assert (beyond.status, beyond.kind) == ("error", "past_end")


async def test_long_lines_and_much_text_are_cut_and_it_is_said(use: Use, root: Path) -> None:
    (root / "long").write_text("x" * 10_000)
    (root / "much").write_text(("y" * 999 + "\n") * 200)
    assert (
        await use("read_file", path="long")
    ).output == f"1\t{'x' * 2000} [...]\n[lines longer than 2000 characters are cut]"
    much = (await use("read_file", path="much")).output
    assert len(much) <= 50_100
    assert much.endswith("[lines 1-49 of 200; read on with offset 50]")


@pytest.mark.parametrize(
    ("data", "status", "text"),
    [
        (b"", "ok", "a is empty."),
        (b"\x7fELF\0\0", "error", "a is a binary file of 6 bytes."),
        (b"caf\xe9\r\nau lait\r\n", "ok", "1\tcafé\n2\tau lait"),
    ],
)
async def test_unusual_files_are_told(use: Use, root: Path, data: bytes, status: str, text: str) -> None:
    (root / "a").write_bytes(data)
    result = await use("read_file", path="a")
    assert (result.status, result.output) == (status, text)


async def test_a_file_is_edited_after_it_was_read(use: Use, root: Path) -> None:
    (root / "a.py").write_bytes(b"one\r\ntwo\r\n")
    await use("read_file", path="a.py")
    edits = [{"old": "one", "new": "1"}, {"old": "1\ntwo", "new": "1\n2"}]
    assert await use("edit_file", path="a.py", edits=edits) == ToolResult(
        status="ok",
        output="Edit a.py: 2 edits, +2 -2 lines.",
        seen={"a.py": digest(b"1\r\n2\r\n")},
        diff="--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n-one\n-two\n+1\n+2\n",
    )
    assert (root / "a.py").read_bytes() == b"1\r\n2\r\n"
    assert (await use("edit_file", path="a.py", edits=[{"old": "2", "new": "3"}])).status == "ok"


async def test_an_edit_that_does_not_fit_changes_nothing(use: Use, root: Path) -> None:
    (root / "a.py").write_text("one\n")
    await use("read_file", path="a.py")
    result = await use("edit_file", path="a.py", edits=[{"old": "one", "new": "1"}, {"old": "two", "new": "2"}])
    assert (result.status, result.kind) == ("error", "no_match")
    assert (root / "a.py").read_text() == "one\n"


@pytest.mark.parametrize("tool", ["edit_file", "write_file"])
async def test_a_file_that_was_not_read_or_changed_since_is_not_written(use: Use, root: Path, tool: str) -> None:
    (root / "a").write_text("one")
    rest = {"edits": [{"old": "one", "new": "2"}]} if tool == "edit_file" else {"content": "2"}
    unread = await use(tool, path="a", **rest)
    await use("read_file", path="a")
    (root / "a").write_text("one more")
    stale = await use(tool, path="a", **rest)
    assert [(result.status, result.kind) for result in (unread, stale)] == [("error", "unread"), ("error", "stale")]
    assert (root / "a").read_text() == "one more"


async def test_a_file_that_changes_between_preparing_and_running_is_not_written(
    guard: Guard, root: Path, use: Use, seen: dict[str, str | None]
) -> None:
    (root / "a").write_text("one")
    await use("read_file", path="a")
    prepared = await prepare(guard, seen, "write_file", '{"path": "a", "content": "two"}')
    (root / "a").write_text("somebody else's")
    result = await prepared.run()
    assert (result.status, result.kind) == ("error", "stale")
    assert (root / "a").read_text() == "somebody else's"


async def test_preparing_has_no_effect_and_tells_the_hashes(guard: Guard, root: Path) -> None:
    prepared = await prepare(guard, {}, "write_file", '{"path": "new/a", "content": "two"}')
    assert prepared.intent == Intent(
        title="Write new/a", before={"new/a": None}, after={"new/a": digest(b"two")}, lines=1
    )
    assert list(root.iterdir()) == []


async def prepare(guard: Guard, seen: dict[str, str | None], tool: str, arguments: str) -> Prepared:
    prepared = await guard.prepare(ToolCall(call_id="c", name=tool, arguments=arguments), seen)
    assert isinstance(prepared, Prepared)
    return prepared


async def test_files_are_written_new_overwritten_and_left_alone(use: Use, root: Path) -> None:
    new = await use("write_file", path="deep/a.txt", content="one\n")
    assert new.diff == "--- /dev/null\n+++ b/deep/a.txt\n@@ -0,0 +1 @@\n+one\n"
    over = await use("write_file", path="deep/a.txt", content="two\n")
    same = await use("write_file", path="deep/a.txt", content="two\n")
    assert [result.output for result in (new, over, same)] == [
        "Write deep/a.txt: new file, +1 -0 lines.",
        "Write deep/a.txt: overwritten, +1 -1 lines.",
        "deep/a.txt already has this content.",
    ]
    assert (root / "deep/a.txt").read_text() == "two\n"


@pytest.mark.parametrize(
    ("path", "content", "kind"),
    [
        ("folder", "x", "is_directory"),
        (".", "x", "is_directory"),
        ("../x", "x", "outside"),
        (".git", "gitdir: /", "protected"),
        ("sub/.git/hooks/pre-commit", "x", "protected"),
        ("a/b", "x", "not_found"),
        ("x", "a\0b", "binary"),
        ("y" * 256, "x", "invalid_path"),
    ],
)
async def test_what_cannot_be_written_is_an_error_the_model_reads(
    use: Use, root: Path, path: str, content: str, kind: str
) -> None:
    (root / "folder").mkdir()
    (root / "a").touch()
    result = await use("write_file", path=path, content=content)
    assert (result.status, result.kind) == ("error", kind)
    assert sorted(entry.name for entry in root.iterdir()) == ["a", "folder"]


async def test_what_was_masked_for_the_model_is_not_written_over_the_secret(use: Use, root: Path) -> None:
    (root / "settings.py").write_text("TOKEN = 'hunter2hunter2'\nDEBUG = True\n")
    await use("read_file", path="settings.py")
    whole = await use("write_file", path="settings.py", content="TOKEN = '[redacted]'\nDEBUG = False\n")
    assert (whole.status, whole.kind) == ("error", "masked")
    assert (root / "settings.py").read_text() == "TOKEN = 'hunter2hunter2'\nDEBUG = True\n"
    edit = await use("edit_file", path="settings.py", edits=[{"old": "DEBUG = True", "new": "DEBUG = False"}])
    assert edit.status == "ok"
    assert (root / "settings.py").read_text() == "TOKEN = 'hunter2hunter2'\nDEBUG = False\n"
    new = await use("write_file", path="example.py", content="TOKEN = '[redacted]'\n")
    assert new.status == "ok", "a new file replaces nothing"
