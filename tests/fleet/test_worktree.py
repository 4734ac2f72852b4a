"""Worktrees and the one commit, in real repositories and after kills rebuilt by hand."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from acp_agent.domain.errors import AcpAgentError, ExitCode, Refused, UsageError
from acp_agent.domain.events import Committed
from acp_agent.domain.request import Workplace
from acp_agent.fleet.checkout import Checkout, Place
from acp_agent.fleet.removal import remove
from acp_agent.fleet.tidy import Leftover, tidy
from acp_agent.fleet.worktree import GitWorkplaces
from acp_agent.testing.repos import commit as commit_all
from acp_agent.testing.repos import git, make_repo, tree, write_files

pytestmark = pytest.mark.anyio

PlaceIn = Callable[..., Workplace]
RUN = "r_1"


def private_of(place: Workplace) -> Path:
    private = Place.of(place).private()
    assert private is not None
    return private


def one_commit(repo: Path, place: Workplace) -> str:
    """The branch's only commit over the base."""
    assert git(repo, "rev-list", "--count", f"{place.base}..{place.branch}") == "1"
    return git(repo, "rev-parse", str(place.branch))


def assert_untouched(repo: Path, place: Workplace) -> None:
    assert git(repo, "status", "--porcelain") == ""
    assert git(repo, "rev-parse", "HEAD", "--abbrev-ref", "HEAD") == f"{place.base}\nmain"


@pytest.mark.parametrize("name", ["repo", "with space", "-leading", "ünïcode", "glob[*]?", "quote'\""])
async def test_an_edit_becomes_one_commit_on_its_branch(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn, name: str
) -> None:
    repo = make_repo(tmp_path / name, {"a.py": "1\n", "b.py": "1\n", "gone": "x\n", ".gitignore": "*.log\n"})
    place = place_in(repo).model_copy(update={"worktree": str(tmp_path / "worktrees" / name)})
    path = Path(await workplaces.prepare(RUN, place, None))
    assert path == Path(str(place.worktree))
    odd: dict[str, str | bytes] = {
        "-n": "n\n",
        "sub dir/ü\n*": "u\n",
        ":(top)x": "t\n",
        "bin": b"\0\xff",
        "run.sh": "#!/bin/sh\n",
    }
    write_files(path, {"a.py": "2\n3\n", "gone": None, "x.log": "no", **odd})
    committed = await workplaces.commit(RUN, place, "Change it\n\nBecause.")
    assert committed == Committed(commit=one_commit(repo, place), files=7, added=6, removed=2)
    assert tree(repo, str(place.branch)) == {
        ".gitignore": "*.log\n",
        "a.py": "2\n3\n",
        "b.py": "1\n",
        "-n": "n\n",
        "sub dir/ü\n*": "u\n",
        ":(top)x": "t\n",
        "bin": "\0\udcff",
        "run.sh": "#!/bin/sh\n",
    }
    assert git(repo, "log", "-1", "--format=%B", str(place.branch)) == "Change it\n\nBecause.\n\nAcp-Run: r_1"
    assert_untouched(repo, place)


async def test_every_method_may_be_repeated(tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn) -> None:
    repo = make_repo(tmp_path / "repo", {"a": "1\n"})
    place = place_in(repo)
    setup = "echo ran >> ../setup.log"
    paths = [Path(await workplaces.prepare(RUN, place, setup)) for _ in range(3)]
    path = paths[0]
    assert paths == [path] * 3
    assert (path.parent / "setup.log").read_text() == "ran\n"
    write_files(path, {"a": "2\n"})
    first = await workplaces.commit(RUN, place, "m")
    assert [await workplaces.commit(RUN, place, "m") for _ in range(2)] == [first, first]
    write_files(path, {"b": "3\n"})
    both = await workplaces.commit(RUN, place, "m")
    assert both == Committed(commit=one_commit(repo, place), files=2, added=2, removed=1)


async def test_nothing_changed_is_no_commit(tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn) -> None:
    repo = make_repo(tmp_path / "repo", {"a": "1\n", ".gitignore": "build/\n"})
    place = place_in(repo)
    path = Path(await workplaces.prepare(RUN, place, None))
    write_files(path, {"build/out": "ignored", "a": "1\n"})
    assert await workplaces.commit(RUN, place, "m") == Committed(commit=None)
    assert git(repo, "rev-parse", str(place.branch)) == place.base


async def test_line_ends_that_git_evens_out_are_no_change(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    repo = make_repo(tmp_path / "repo", {"a.txt": "1\n", "b.txt": "1\r\n", ".gitattributes": "a.txt text\n"})
    git(repo, "config", "core.autocrlf", "input")
    git(repo, "config", "core.safecrlf", "true")
    place = place_in(repo)
    path = Path(await workplaces.prepare(RUN, place, None))
    write_files(path, {"a.txt": "1\r\n"})
    assert await workplaces.commit(RUN, place, "m") == Committed(commit=None)
    write_files(path, {"a.txt": "1\r\n2\r\n"})
    assert (await workplaces.commit(RUN, place, "m")).added == 1
    assert tree(repo, str(place.branch))["a.txt"] == "1\n2\n"


async def test_files_folders_and_links_may_change_places(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    repo = make_repo(tmp_path / "repo", {"file": "1\n", "folder/x": "1\n", "linked/y": "1\n", "other/y": "1\n"})
    place = place_in(repo)
    path = Path(await workplaces.prepare(RUN, place, None))
    write_files(path, {"file": None, "folder/x": None, "linked/y": None})
    (path / "folder").rmdir()
    (path / "linked").rmdir()
    write_files(path, {"file/inner": "2\n", "folder": "2\n"})
    (path / "linked").symlink_to("other")
    committed = await workplaces.commit(RUN, place, "m")
    assert git(repo, "ls-tree", "-r", "--name-only", str(committed.commit)) == "file/inner\nfolder\nlinked\nother/y"
    assert git(path, "status", "--porcelain") == ""


async def test_a_project_in_a_sub_directory_commits_nothing_else(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    repo = make_repo(tmp_path / "repo", {"one/a": "1\n", "one-more/a": "1\n", "b": "1\n"})
    place = place_in(repo, subdir="one")
    path = Path(await workplaces.prepare(RUN, place, None))
    assert path == Path(str(place.worktree)) / "one"
    write_files(path, {"a": "2\n", "../b": "2\n", "../one-more/a": "2\n"})
    git(path, "add", "../b")
    await workplaces.commit(RUN, place, "m")
    assert tree(repo, str(place.branch)) == {"one/a": "2\n", "one-more/a": "1\n", "b": "1\n"}


async def test_a_sub_directory_that_is_not_committed_is_named(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    place = place_in(make_repo(tmp_path / "repo"), subdir="nowhere")
    with pytest.raises(UsageError, match=r"worktrees/one/nowhere does not exist"):
        await workplaces.prepare(RUN, place, None)


async def test_commits_of_the_run_itself_are_folded_into_one(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    repo = make_repo(tmp_path / "repo", {"a": "1\n"})
    place = place_in(repo)
    path = Path(await workplaces.prepare(RUN, place, None))
    write_files(path, {"b": "1\n"})
    commit_all(path, "mine")
    git(path, "checkout", "-q", "-b", "elsewhere")
    write_files(path, {"c": "1\n"})
    commit_all(path, "mine too")
    write_files(path, {"d": "1\n"})
    await workplaces.commit(RUN, place, "m")
    one_commit(repo, place)
    assert tree(repo, str(place.branch)) == {"a": "1\n", "b": "1\n", "c": "1\n", "d": "1\n"}


async def test_a_merge_left_unfinished_does_not_reach_the_commit(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    repo = make_repo(tmp_path / "repo", {"a": "1\n"})
    place = place_in(repo)
    git(repo, "branch", "side")
    path = Path(await workplaces.prepare(RUN, place, None))
    git(path, "checkout", "-q", "side")
    write_files(path, {"a": "side\n"})
    commit_all(path, "side")
    git(path, "checkout", "-q", str(place.branch))
    write_files(path, {"a": "ours\n"})
    commit_all(path, "ours")
    assert subprocess.run(["git", "merge", "-q", "side"], cwd=path, capture_output=True).returncode == 1
    write_files(path, {"a": "both\n"})
    await workplaces.commit(RUN, place, "m")
    assert git(repo, "log", "-1", "--format=%P", one_commit(repo, place)) == place.base
    assert tree(repo, str(place.branch)) == {"a": "both\n"}


async def test_a_repository_made_inside_the_tree_is_committed_as_files(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    repo = make_repo(tmp_path / "repo", {"a": "1\n", ".gitignore": "*.log\n"})
    place = place_in(repo)
    path = Path(await workplaces.prepare(RUN, place, None))
    make_repo(path / "made", {"in/side": "1\n", "x.log": "no\n"})
    make_repo(path / "unborn", {}, dirty={"y": "1\n"})
    committed = await workplaces.commit(RUN, place, "m")
    assert git(repo, "ls-tree", "-r", "--name-only", str(committed.commit)) == ".gitignore\na\nmade/in/side\nunborn/y"
    assert await workplaces.commit(RUN, place, "m") == committed


async def test_git_settings_planted_in_the_tree_are_never_obeyed(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    library = make_repo(tmp_path / "library", {"l": "1\n"})
    repo = make_repo(tmp_path / "repo", {"a": "1\n"})
    git(repo, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "lib")
    commit_all(repo, "with a submodule")
    place = place_in(repo)
    path = Path(await workplaces.prepare(RUN, place, None))
    assert await workplaces.commit(RUN, place, "m") == Committed(commit=None)
    evil = f"touch {tmp_path}/ran; cat"
    planted = f'[core]\n\tfsmonitor = "{evil}"\n\thooksPath = hooks\n[filter "f"]\n\tclean = "{evil}"\n'
    for folder in ("lib", "new"):
        make_repo(path / folder, {"f": "1\n", ".gitattributes": "* filter=f\n"})
        with (path / folder / ".git/config").open("a") as config:
            config.write(planted)
        write_files(path / folder, {"f": "2\n"})
    (path / ".git").unlink()
    make_repo(path, {})
    with (path / ".git/config").open("a") as config:
        config.write(planted)
    write_files(path, {"a": "2\n", ".gitattributes": "* filter=f\n"})
    committed = await workplaces.commit(RUN, place, "m")
    assert committed.commit == one_commit(repo, place)
    assert tree(repo, str(place.branch))["a"] == "2\n"
    assert not (tmp_path / "ran").exists()


async def test_hooks_do_not_run_and_a_message_may_hold_anything(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    repo = make_repo(tmp_path / "repo", {"a": "1\n"})
    for hook in ("post-checkout", "pre-commit", "commit-msg", "post-commit"):
        write_files(repo, {f".git/hooks/{hook}": f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n"})
    place = place_in(repo)
    path = Path(await workplaces.prepare(RUN, place, None))
    write_files(path, {"a": "2\n"})
    await workplaces.commit(RUN, place, "# not a comment\0\n\nCo-authored-by: A <a@b.c>\n\n")
    shown = git(repo, "log", "-1", "--format=%B%(trailers:only)", str(place.branch))
    trailers = "Co-authored-by: A <a@b.c>\nAcp-Run: r_1\n"
    assert shown + "\n" == f"# not a comment\n\n{trailers}{trailers}"
    assert not (tmp_path / "ran").exists()


async def test_many_worktrees_of_one_repository_at_once(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    repo = make_repo(tmp_path / "repo", {f"p{number}/a": "1\n" for number in range(12)})
    places = [place_in(repo, f"p{number}", subdir=f"p{number}") for number in range(12)]

    async def work(number: int, place: Workplace) -> None:
        path = Path(await workplaces.prepare(f"r_{number}", place, None))
        write_files(path, {"a": f"{number}\n"})
        await workplaces.commit(f"r_{number}", place, "m")

    async with anyio.create_task_group() as group:
        for number, place in enumerate(places):
            group.start_soon(work, number, place)
    assert [tree(repo, str(place.branch))[f"p{number}/a"] for number, place in enumerate(places)] == [
        f"{number}\n" for number in range(12)
    ]
    assert_untouched(repo, places[0])


async def test_a_branch_without_a_worktree_is_taken_up(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    repo = make_repo(tmp_path / "repo", {"a": "1\n"})
    place = place_in(repo)
    git(repo, "branch", str(place.branch))
    path = Path(await workplaces.prepare(RUN, place, None))
    assert (path / "a").read_text() == "1\n"
    assert_untouched(repo, place)


async def test_a_worktree_that_was_deleted_is_made_again_with_its_commit(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    repo = make_repo(tmp_path / "repo", {"a": "1\n"})
    place = place_in(repo)
    path = Path(await workplaces.prepare(RUN, place, None))
    write_files(path, {"a": "2\n"})
    committed = await workplaces.commit(RUN, place, "m")
    subprocess.run(["rm", "-rf", str(path)], check=True)
    with pytest.raises(AcpAgentError, match="is gone"):
        await workplaces.commit(RUN, place, "m")
    await workplaces.prepare(RUN, place, None)
    assert (path / "a").read_text() == "2\n"
    assert await workplaces.commit(RUN, place, "m") == committed


async def test_a_worktree_half_made_is_made_anew(tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn) -> None:
    repo = make_repo(tmp_path / "repo", {"a": "1\n", "b": "1\n"})
    place = place_in(repo)
    path = Path(str(place.worktree))
    stub = repo / ".git/worktrees/one"
    stub.mkdir(parents=True)
    (stub / "locked").write_text("initializing\n")
    await workplaces.prepare(RUN, place, None)
    assert private_of(place) == stub
    # As git leaves it when it is killed while it writes files.
    (stub / "locked").write_text("initializing\n")
    (stub / "acp-run").unlink()
    (stub / "acp-ready").unlink()
    (stub / "index.lock").touch()
    (path / "a").unlink()
    await workplaces.prepare(RUN, place, None)
    assert git(path, "status", "--porcelain") == ""
    assert git(repo, "worktree", "list", "--porcelain").count("worktree ") == 2


async def test_one_that_was_killed_as_it_wrote_its_name_finds_its_place_again(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    place = place_in(make_repo(tmp_path / "repo", {"a": "1\n"}))
    path = await workplaces.prepare(RUN, place, None)
    for name in ("acp-run", "acp-ready"):
        (private_of(place) / name).write_text("")
    assert await workplaces.prepare(RUN, place, None) == path
    assert (private_of(place) / "acp-run").read_text() == RUN


@pytest.mark.parametrize("lock", ["index.lock", "HEAD.lock", "../../refs/heads/acp/b_1/one.lock"])
async def test_a_lock_of_a_killed_git_is_removed(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn, lock: str
) -> None:
    repo = make_repo(tmp_path / "repo", {"a": "1\n"})
    place = place_in(repo)
    path = Path(await workplaces.prepare(RUN, place, None))
    write_files(path, {"a": "2\n"})
    (private_of(place) / lock).touch()
    assert (await workplaces.commit(RUN, place, "m")).commit == one_commit(repo, place)


async def test_a_lock_that_a_process_holds_is_waited_for(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    repo = make_repo(tmp_path / "repo", {"a": "1\n"})
    place = place_in(repo)
    path = Path(await workplaces.prepare(RUN, place, None))
    write_files(path, {"a": "2\n"})
    lock = private_of(place) / "index.lock"
    holder = os.open(lock, os.O_CREAT | os.O_RDWR)
    async with anyio.create_task_group() as group:
        group.start_soon(workplaces.commit, RUN, place, "m")
        await anyio.wait_all_tasks_blocked()
        assert lock.exists()
        os.close(holder)
    one_commit(repo, place)


async def test_a_branch_or_path_of_somebody_else_is_refused(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    repo = make_repo(tmp_path / "repo", {"a": "1\n"})
    place = place_in(repo)
    git(repo, "commit", "-q", "--allow-empty", "-m", "theirs")
    git(repo, "branch", str(place.branch))
    git(repo, "reset", "-q", "--hard", "HEAD~1")
    with pytest.raises(Refused, match=r"branch acp/b_1/one of .* exists and holds other commits") as caught:
        await workplaces.prepare(RUN, place, None)
    assert caught.value.exit_code is ExitCode.REFUSED
    other = place_in(repo, "two")
    write_files(Path(str(other.worktree)), {"precious": "1"})
    with pytest.raises(Refused, match="is in the way"):
        await workplaces.prepare(RUN, other, None)
    third = place_in(repo, "three")
    await workplaces.prepare("r_0", third, None)
    with pytest.raises(Refused, match="belongs to run r_0"):
        await workplaces.prepare(RUN, third, None)


async def test_removing_keeps_what_was_not_committed(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    repo = make_repo(tmp_path / "repo", {"a": "1\n"})
    place = place_in(repo)
    path = Path(await workplaces.prepare(RUN, place, None))
    write_files(path, {"a": "2\n", "locked/b": "3\n"})
    (path / "locked").chmod(0o500)
    assert await remove(RUN, place) == "refs/acp/leftover/r_1"
    assert tree(repo, "refs/acp/leftover/r_1") == {"a": "2\n", "locked/b": "3\n"}
    assert await remove(RUN, place) is None
    assert (path.exists(), git(repo, "worktree", "list").count("\n")) == (False, 0)
    assert git(repo, "rev-parse", str(place.branch)) == place.base


async def test_a_removal_that_was_cut_short_is_finished_and_is_no_change(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    repo = make_repo(tmp_path / "repo", {"a": "1\n", "b": "1\n"})
    place = place_in(repo)
    path = Path(await workplaces.prepare(RUN, place, None))
    (private_of(place) / "acp-removing").touch()
    (path / "a").unlink()
    await tidy([Leftover(RUN, place, frozenset())])
    assert git(repo, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
    assert Checkout.of(Place.of(place)) is None
