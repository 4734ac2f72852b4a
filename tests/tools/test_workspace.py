"""No path leads out of the workspace, and writes are whole, durable and keep what they should."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acp_agent.domain.errors import ToolError
from acp_agent.tools.workspace import MAX_FILE_BYTES, Workspace, digest


def kind_of(workspace: Workspace, path: str) -> str:
    try:
        workspace.read(workspace.relative(path))
    except ToolError as error:
        return error.kind
    return "read"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("a.txt", "read"),
        ("./folder/../a.txt", "read"),
        ("link.txt", "read"),
        ("folder-link/inner.txt", "read"),
        ("missing.txt", "not_found"),
        ("a.txt/below", "not_found"),
        ("folder", "is_directory"),
        (".", "is_directory"),
        ("..", "outside"),
        ("../secret.txt", "outside"),
        ("../project-twin/secret.txt", "outside"),
        ("folder/../../secret.txt", "outside"),
        ("/etc/passwd", "outside"),
        ("~/.ssh/id_rsa", "outside"),
        ("out.txt", "outside"),
        ("out/secret.txt", "outside"),
        ("loop", "outside"),
        (".git/config", "protected"),
        ("folder/.git", "protected"),
        (".GIT/config", "protected"),
        (".git./config", "protected"),
        ("git~1/config", "protected"),
        (".g\u200cit/config", "protected"),
        ("git-link/config", "protected"),
        ("", "invalid_path"),
        ("a\0b", "invalid_path"),
        ("\ud800", "invalid_path"),
        ("x" * 300, "invalid_path"),
        ("x/" * 3000, "invalid_path"),
        ("fifo", "not_a_file"),
        ("large.bin", "too_large"),
    ],
)
def test_a_path_is_read_only_inside_the_workspace(root: Path, path: str, kind: str) -> None:
    (root / "folder").mkdir()
    (root / "folder/inner.txt").touch()
    (root / "a.txt").touch()
    (root / ".git").mkdir()
    (root / ".git/config").touch()
    twin = root.parent / "project-twin"
    twin.mkdir()
    for outside in (root.parent, twin):
        (outside / "secret.txt").write_text("secret")
    for link, target in {
        "link.txt": "a.txt", "folder-link": "folder", "out.txt": "../secret.txt", "out": "..", "loop": "loop",
        "git-link": ".git",
    }.items():  # fmt: skip
        (root / link).symlink_to(target)
    os.mkfifo(root / "fifo")
    with (root / "large.bin").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    assert kind_of(Workspace.at(root), path) == kind


def test_an_absolute_path_and_a_linked_root_name_the_same_file(root: Path) -> None:
    (root / "a.txt").touch()
    (root.parent / "alias").symlink_to(root)
    workspace = Workspace.at(root.parent / "alias")
    assert workspace.relative(str(root / "a.txt")) == "a.txt"
    assert workspace.relative(str(root.parent / "alias/a.txt")) == "a.txt"


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("src/ap.py", "Did you mean src/app.py?"),
        ("SRC/app.py", "list_files shows what is there."),
        ("src/App.py", "Did you mean src/app.py?"),
        ("project/src/app.py", "Did you mean src/app.py?"),
        ("/src/app.py", "Paths are relative to the workspace. Did you mean src/app.py?"),
    ],
)
def test_a_wrong_path_is_told_which_one_was_meant(root: Path, path: str, hint: str) -> None:
    (root / "src").mkdir()
    (root / "src/app.py").touch()
    workspace = Workspace.at(root)
    with pytest.raises(ToolError) as caught:
        workspace.read(workspace.relative(path))
    assert caught.value.hint == hint


PIECES = st.sampled_from(["a", "b", "..", ".", "", "in", "up", "away", "deep", ".git", "~", "file", "/", "//"])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(PIECES, min_size=1, max_size=8), absolute=st.booleans(), content=st.binary(max_size=20))
def test_no_path_ever_escapes(root: Path, pieces: list[str], absolute: bool, content: bytes) -> None:
    outside = root.parent / "outside"
    if not outside.exists():
        outside.mkdir()
        (outside / "file").write_text("untouched")
        for link, target in {"in": "a", "up": "..", "away": "../outside", "deep": "a/b"}.items():
            (root / link).symlink_to(target)
        (root / "a/b").mkdir(parents=True)
        (root / "a/b/away").symlink_to("../../../outside")
        (root / "a/in").symlink_to("/")
    path = "/".join(pieces)
    path = f"{root}/{path}" if absolute else path
    workspace = Workspace.at(root)
    try:
        relative = workspace.relative(path)
        workspace.write(relative, content)
        written = workspace.read(relative)
    except ToolError:
        written = None
    else:
        assert written == content
        assert Path(os.path.realpath(root / path)) == root / relative
        assert ".git" not in relative.split("/")
    assert sorted(os.listdir(root.parent)) == ["outside", "project"]
    assert [(entry.name, entry.read_text()) for entry in outside.iterdir()] == [("file", "untouched")]


def test_a_link_swapped_in_after_the_check_leads_nowhere(root: Path) -> None:
    (root.parent / "outside").mkdir()
    (root.parent / "outside/file").write_text("secret")
    (root / "folder").mkdir()
    workspace = Workspace.at(root)
    checked = workspace.relative("folder/file")
    (root / "folder").rmdir()
    (root / "folder").symlink_to("../outside")
    with pytest.raises(ToolError):
        workspace.read(checked)
    with pytest.raises(ToolError):
        workspace.write(checked, b"gone")
    assert (root.parent / "outside/file").read_text() == "secret"


def test_a_link_swapped_in_for_the_file_itself_is_not_followed(root: Path) -> None:
    (root.parent / "secret").write_text("secret")
    (root / "file").symlink_to("../secret")
    workspace = Workspace.at(root)
    with pytest.raises(ToolError):
        workspace.read("file")
    with pytest.raises(ToolError):
        workspace.write("file", b"gone")
    assert (root.parent / "secret").read_text() == "secret"


def test_a_write_keeps_the_mode_goes_through_inner_links_and_leaves_nothing_behind(root: Path) -> None:
    (root / "script.sh").write_text("old")
    (root / "script.sh").chmod(0o750)
    (root / "link").symlink_to("script.sh")
    workspace = Workspace.at(root)
    workspace.write(workspace.relative("link"), b"new")
    workspace.write(workspace.relative("new/deep/file"), b"more")
    assert (root / "script.sh").read_bytes() == b"new"
    assert stat.S_IMODE((root / "script.sh").stat().st_mode) == 0o750
    assert sorted(path.relative_to(root).as_posix() for path in root.rglob("*")) == [
        "link", "new", "new/deep", "new/deep/file", "script.sh",
    ]  # fmt: skip
    assert workspace.digest("script.sh") == digest(b"new")
    assert workspace.digest("absent") is None


def test_a_write_that_fails_leaves_the_old_file_and_no_other(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "a").write_text("old")

    def full_disk(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full_disk)
    with pytest.raises(ToolError) as caught:
        Workspace.at(root).write("a", b"new")
    assert (caught.value.kind, caught.value.retryable) == ("no_space", True)
    assert [(path.name, path.read_text()) for path in root.iterdir()] == [("a", "old")]


def test_no_descriptor_is_left_open(root: Path) -> None:
    workspace = Workspace.at(root)
    before = len(os.listdir("/proc/self/fd"))
    workspace.write("a/b/c", b"x")
    workspace.read("a/b/c")
    for path in ("a/b", "a/b/c/d", "none/x"):
        with pytest.raises(ToolError):
            workspace.read(path)
    assert len(os.listdir("/proc/self/fd")) == before
