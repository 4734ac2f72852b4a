"""Snapshots around commands: what changed is told exactly, and nothing of the user's repository is touched."""

import os
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from acp_agent.domain.changes import FileChange, FileState
from acp_agent.domain.events_files import FilesSnapshot
from acp_agent.tools import snapshots as module
from acp_agent.tools.kept import KEPT_DAYS, Kept, sweep
from acp_agent.tools.shadow import Shadow
from acp_agent.tools.shadow_git import NoSnapshot
from acp_agent.tools.shadow_place import ShadowPlace
from acp_agent.tools.snapshots import ShadowSnapshots, path_of
from acp_agent.tools.workspace import digest

Around = Callable[[Callable[[], object]], Awaitable[FilesSnapshot]]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def around(state: Path, root: Path) -> Around:
    """Take snapshots before and after something: `await around(lambda: ...)`."""
    shadows = ShadowSnapshots(state, dict(os.environ))

    async def taken(act: Callable[[], object]) -> FilesSnapshot:
        before = await shadows.before("r_1", "call/../odd\n", str(root))
        assert (before.moment, before.note) == ("before", "")
        act()
        return await shadows.after("r_1", before, str(root))

    return taken


def file(data: bytes, mode: int = 0o644) -> FileState:
    return FileState(digest=digest(data), mode=mode)


async def test_all_that_a_command_changed_is_told_with_what_was_there_before(
    around: Around, state: Path, repository: Path
) -> None:
    (repository / "kept.py").chmod(0o644)
    (repository / "gone.bin").write_bytes(bytes(range(256)))
    (repository / "secret").write_text("s")
    (repository / "secret").chmod(0o600)
    os.symlink("kept.py", repository / "link")
    (repository / "turns").mkdir()
    (repository / "turns" / "inner").write_text("in a folder\n")

    def change() -> None:
        (repository / "kept.py").write_bytes(b"one\r\ntwo\r\n")
        (repository / "gone.bin").unlink()
        (repository / "secret").chmod(0o640)
        (repository / "link").unlink()
        os.symlink("elsewhere", repository / "link")
        (repository / "turns" / "inner").unlink()
        (repository / "turns").rmdir()
        (repository / "turns").write_text("a file now\n")
        (repository / "run.sh").write_text("#!/bin/sh\n")
        (repository / "run.sh").chmod(0o755)
        (repository / "build.log").write_text("ignored\n")

    after = await around(change)
    assert (after.files, after.deleted, after.note) == (7, 2, "")
    kept = Kept.of(state, "r_1")
    assert after.manifest is not None
    assert kept.changes(after.manifest) == (
        FileChange(path="gone.bin", before=file(bytes(range(256))), after=None),
        FileChange(path="kept.py", before=file(b"def kept():\n    return 'needle'\n"), after=file(b"one\r\ntwo\r\n")),
        FileChange(
            path="link",
            before=FileState(kind="link", digest=digest(b"kept.py")),
            after=FileState(kind="link", digest=digest(b"elsewhere")),
        ),
        FileChange(path="run.sh", before=None, after=file(b"#!/bin/sh\n", 0o755)),
        FileChange(path="secret", before=file(b"s", 0o600), after=file(b"s", 0o640)),
        FileChange(path="turns", before=None, after=file(b"a file now\n")),
        FileChange(path="turns/inner", before=file(b"in a folder\n"), after=None),
    )
    assert kept.get(digest(bytes(range(256)))) == bytes(range(256))
    assert kept.folder.stat().st_mode & 0o777 == 0o700


async def test_a_command_that_changes_nothing_leaves_no_list(around: Around, repository: Path) -> None:
    after = await around(lambda: None)
    assert after.tree is not None
    assert (after.manifest, after.paths, after.files) == (None, (), 0)


async def test_a_snapshot_works_where_there_is_no_repository(around: Around, state: Path, root: Path) -> None:
    (root / "a.txt").write_text("alpha\n")
    (root / "node_modules").mkdir()

    def change() -> None:
        (root / "a.txt").write_text("beta\n")
        (root / "node_modules" / "heavy.js").write_text("x")

    after = await around(change)
    assert (after.paths, after.added, after.removed) == (("a.txt",), 1, 1)


@pytest.mark.parametrize("attributes", ["* text=auto\n", "*.txt text eol=crlf\n", "*.txt filter=lost ident\n"])
async def test_the_bytes_on_disk_count_whatever_the_attributes_of_a_repository_say(
    around: Around, state: Path, root: Path, attributes: str
) -> None:
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    (root / ".gitattributes").write_text(attributes)
    (root / "a.txt").write_bytes(b"$Id$\r\none\r\n")
    subprocess.run(["git", "add", "."], cwd=root, check=True, capture_output=True)
    after = await around(lambda: (root / "a.txt").write_bytes(b"$Id$\none\n"))
    assert after.manifest is not None
    (change,) = Kept.of(state, "r_1").changes(after.manifest)
    assert (change.before, change.after) == (file(b"$Id$\r\none\r\n"), file(b"$Id$\none\n"))


async def test_a_project_in_a_folder_of_its_repository_sees_only_that(around: Around, root: Path) -> None:
    top = root.parent
    subprocess.run(["git", "init", "-q"], cwd=top, check=True)
    (top / "other.txt").write_text("other\n")
    (root / "a.txt").write_text("alpha\n")

    def change() -> None:
        (top / "other.txt").write_text("changed\n")
        (root / "a.txt").write_text("beta\n")

    assert (await around(change)).paths == ("a.txt",)


async def test_a_name_that_is_no_utf8_is_told_and_found_again(around: Around, state: Path, root: Path) -> None:
    name = os.fsencode(root) + b"/caf\xe9.txt"
    after = await around(lambda: os.close(os.open(name, os.O_CREAT | os.O_WRONLY)))
    assert after.manifest is not None
    (change,) = Kept.of(state, "r_1").changes(after.manifest)
    assert os.fsencode(path_of(change.path)) == b"caf\xe9.txt"
    assert after.paths == ("caf\\udce9.txt",)


async def test_nothing_of_the_users_repository_runs_or_changes(
    around: Around, repository: Path, tmp_path: Path
) -> None:
    proof = tmp_path / "ran"
    hook = repository / ".git" / "hooks" / "post-index-change"
    hook.write_text(f"#!/bin/sh\ntouch {proof}\n")
    hook.chmod(0o755)
    for setting in (f"core.fsmonitor=touch {proof}", f"filter.evil.clean=touch {proof}"):
        subprocess.run(["git", "config", *setting.split("=", 1)], cwd=repository, check=True)
    (repository / ".gitattributes").write_text("* filter=evil\n")
    stood = {path: path.read_bytes() for path in (repository / ".git").rglob("*") if path.is_file()}
    after = await around(lambda: (repository / "new.py").write_text("new\n"))
    assert after.paths == ("new.py",)
    assert not proof.exists()
    assert {path: path.read_bytes() for path in (repository / ".git").rglob("*") if path.is_file()} == stood


async def test_a_split_index_and_a_racy_one_are_read_right(around: Around, state: Path, repository: Path) -> None:
    subprocess.run(["git", "update-index", "--split-index"], cwd=repository, check=True)
    # The same size in the same moment: only the time of the index tells.
    (repository / "kept.py").write_text("def kept():\n    return 'NEEDLE'\n")
    after = await around(lambda: (repository / "kept.py").write_text("gone\n"))
    assert after.manifest is not None
    (change,) = Kept.of(state, "r_1").changes(after.manifest)
    assert change.before == file(b"def kept():\n    return 'NEEDLE'\n")


def test_a_file_over_the_cap_is_told_and_not_kept(state: Path, root: Path) -> None:
    shadow = Shadow(ShadowPlace.of(state, root, os.environ), os.environ, max_bytes=1000)
    (root / "large.bin").write_bytes(b"x" * 2000)
    (root / "small.txt").write_text("small\n")
    before = shadow.take()
    (root / "large.bin").write_bytes(b"y" * 3000)
    (difference,) = shadow.compare(before, shadow.take())
    assert difference.path == b"large.bin"
    assert difference.before is not None
    assert (difference.before.unkept or "").startswith("u2000:")
    objects = [path for path in (shadow.place.folder / "objects").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in objects) < 2000


def test_a_snapshot_that_takes_too_long_is_given_up_with_a_reason(state: Path, root: Path) -> None:
    (root / "a.txt").write_text("alpha\n")
    with pytest.raises(NoSnapshot, match="took longer than 0 s"):
        Shadow(ShadowPlace.of(state, root, os.environ), os.environ, budget=0.0).take()


async def test_a_reason_is_on_record_where_no_snapshot_can_be_taken(
    state: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "exposes_home", lambda path: path == root)
    shadows = ShadowSnapshots(state, dict(os.environ))
    before = await shadows.before("r_1", "c1", str(root))
    assert before.tree is None
    assert "holds the home directory" in before.note
    after = await shadows.after("r_1", before, str(root))
    assert (after.tree, after.note) == (None, before.note)
    assert not (state / "shadow").exists()


async def test_what_is_pruned_is_not_what_is_held(state: Path, root: Path) -> None:
    (root / "a.txt").write_text("alpha\n")
    shadow = Shadow(ShadowPlace.of(state, root, os.environ), os.environ)
    first = shadow.take()
    shadow.hold("r_1-x", first)
    (root / "a.txt").write_text("beta\n")
    (root / "b.txt").write_text("dropped\n")
    second = shadow.take()
    (root / "b.txt").unlink()
    third = shadow.take()
    shadow.hold("r_1-y", third)
    shadow.prune(0.0)
    shadow.prune(0.0)
    assert [difference.path for difference in shadow.compare(first, third)] == [b"a.txt"]
    with pytest.raises(NoSnapshot):
        shadow.compare(second, third)


def test_contents_nobody_touched_for_a_month_are_swept(state: Path) -> None:
    old, new = Kept.of(state, "r_old"), Kept.of(state, "r_new")
    name = old.put(b"old")
    assert new.put(b"new") == digest(b"new")
    now = old.folder.stat().st_mtime
    long_ago = now - (KEPT_DAYS + 1) * 86_400
    os.utime(old.folder, (long_ago, long_ago))
    sweep(state, now)
    assert (old.get(name), new.get(digest(b"new"))) == (None, b"new")


def test_contents_that_rotted_are_not_given_back(state: Path) -> None:
    kept = Kept.of(state, "r_1")
    name = kept.put(b"some bytes")
    (kept.folder / name).write_bytes(b"rotten")
    assert kept.get(name) is None
