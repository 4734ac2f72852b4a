"""Accepting and rejecting results in real repositories: exact trees, a clean checkout, nothing lost, all repeatable."""

import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from acp_agent.domain.errors import AcpAgentError, ExitCode, NothingSelected, Refused
from acp_agent.domain.events import Accepted, Rejected
from acp_agent.domain.request import Workplace
from acp_agent.fleet.land import accept, diff, reject, stat
from acp_agent.fleet.worktree import GitWorkplaces
from acp_agent.testing.repos import commit as commit_all
from acp_agent.testing.repos import git, make_repo, tree, write_files

pytestmark = pytest.mark.anyio

PlaceIn = Callable[..., Workplace]
RUN = "r_1"
BASE = {"a": "1\n", "b": "1\n", "gone": "x\n"}
EDIT = {"a": "2\n", "new": "n\n", "gone": None}
RESULT = {"a": "2\n", "b": "1\n", "new": "n\n"}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo ü", BASE)


@pytest.fixture
async def place(repo: Path, workplaces: GitWorkplaces, place_in: PlaceIn) -> Workplace:
    """A place whose run has committed EDIT."""
    place = place_in(repo)
    write_files(await workplaces.prepare(RUN, place, None), EDIT)
    await workplaces.commit(RUN, place, "Edit it")
    return place


def files(folder: Path) -> dict[str, str]:
    return {entry.name: entry.read_text() for entry in folder.iterdir() if entry.is_file()}


def refs(repo: Path) -> list[str]:
    return git(repo, "for-each-ref", "--format=%(refname)").splitlines()


def assert_gone(repo: Path, place: Workplace, *kept: str) -> None:
    assert not Path(str(place.worktree)).exists()
    assert git(repo, "worktree", "list", "--porcelain").count("worktree ") == 1
    assert refs(repo) == ["refs/acp/" + name for name in kept] + ["refs/heads/main"]


async def test_a_result_is_fast_forwarded_into_the_clean_checkout(repo: Path, place: Workplace) -> None:
    result = git(repo, "rev-parse", str(place.branch))
    write_files(repo, {"mine": "untracked\n"})
    assert await accept(RUN, place) == Accepted(commit=result, target="main")
    assert files(repo) == {**RESULT, "mine": "untracked\n"}
    assert git(repo, "status", "--porcelain", "--branch") == "## main\n?? mine"
    assert_gone(repo, place)
    assert await accept(RUN, place) == Accepted(commit=result, target="main")


async def test_a_target_that_moved_on_is_merged(repo: Path, place: Workplace) -> None:
    write_files(repo, {"b": "2\n"})
    ours, theirs = commit_all(repo, "moved on"), git(repo, "rev-parse", str(place.branch))
    accepted = await accept(RUN, place)
    assert git(repo, "rev-parse", "HEAD", "HEAD^1", "HEAD^2") == f"{accepted.commit}\n{ours}\n{theirs}"
    assert tree(repo) == files(repo) == {**RESULT, "b": "2\n"}
    message = "Merge branch 'acp/b_1/one' into main\n\nAcp-Run: r_1"
    assert git(repo, "log", "-1", "--format=%B") == message
    assert git(repo, "status", "--porcelain") == ""
    assert_gone(repo, place)
    assert await accept(RUN, place) == accepted


@pytest.mark.parametrize("moved", [False, True])
async def test_a_target_that_is_checked_out_nowhere_moves_alone(repo: Path, place: Workplace, moved: bool) -> None:
    if moved:
        write_files(repo, {"b": "2\n"})
        commit_all(repo, "moved on")
    git(repo, "checkout", "-q", "--detach", str(place.base))
    write_files(repo, {"a": "dirty\n"})
    accepted = await accept(RUN, place)
    assert git(repo, "rev-parse", "main") == accepted.commit
    assert tree(repo, "main") == {**RESULT, "b": "2\n" if moved else "1\n"}
    assert files(repo) == {**BASE, "a": "dirty\n"}
    assert git(repo, "rev-parse", "HEAD") == place.base


async def test_a_target_in_another_worktree_moves_there(tmp_path: Path, repo: Path, place: Workplace) -> None:
    git(repo, "checkout", "-q", "-b", "elsewhere")
    linked = tmp_path / "linked ü"
    git(repo, "worktree", "add", "-q", str(linked), "main")
    write_files(repo, {"a": "dirty here\n"})
    await accept(RUN, place)
    assert {name: text for name, text in files(linked).items() if name != ".git"} == RESULT
    assert git(linked, "status", "--porcelain") == ""
    assert files(repo) == {**BASE, "a": "dirty here\n"}


async def test_a_conflict_changes_nothing_and_names_the_files(repo: Path, place: Workplace) -> None:
    write_files(repo, {"a": "mine\n", "new": "mine\n"})
    commit_all(repo, "in the way")
    before = (refs(repo), git(repo, "rev-parse", "HEAD", str(place.branch)), files(repo))
    with pytest.raises(AcpAgentError) as caught:
        await accept(RUN, place)
    assert caught.value.what == "acp/b_1/one conflicts with main in a, new; nothing was changed"
    assert caught.value.exit_code is ExitCode.FAILED
    assert (refs(repo), git(repo, "rev-parse", "HEAD", str(place.branch)), files(repo)) == before
    assert git(repo, "status", "--porcelain") == ""
    assert Path(str(place.worktree)).is_dir()


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"b": "mine\n"}, "has uncommitted changes: b"),
        ({"a": "2\n", "b": None}, "has uncommitted changes: a, b"),
        ({"new": "mine\n"}, "has files in the way: new"),
    ],
)
async def test_a_dirty_checkout_is_refused_and_left_alone(
    repo: Path, place: Workplace, edit: dict[str, str | None], said: str
) -> None:
    write_files(repo, edit)
    before = files(repo)
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            await accept(RUN, place)
        assert caught.value.what == f"{repo} {said}"
        assert caught.value.exit_code is ExitCode.REFUSED
    assert (files(repo), git(repo, "rev-parse", "HEAD")) == (before, place.base)


async def test_what_cannot_be_accepted_says_why(
    repo: Path, workplaces: GitWorkplaces, place_in: PlaceIn, place: Workplace
) -> None:
    with pytest.raises(Refused) as detached:
        await accept(RUN, place.model_copy(update={"target": None}))
    assert detached.value.hint == "git cherry-pick acp/b_1/one"
    with pytest.raises(Refused, match=r"branch other of .* is gone"):
        await accept(RUN, place.model_copy(update={"target": "other"}))
    empty = place_in(repo, "two")
    await workplaces.prepare("r_2", empty, None)
    with pytest.raises(NothingSelected, match="run r_2 left no commit"):
        await accept("r_2", empty)
    with pytest.raises(Refused, match=r"branch acp/b_1/three of .* is gone"):
        await accept("r_3", place_in(repo, "three"))
    with pytest.raises(AcpAgentError, match="was worked on in place"):
        await accept("r_4", Workplace(kind="inplace", root=str(repo)))


async def test_accepting_keeps_what_stood_uncommitted_in_the_worktree(repo: Path, place: Workplace) -> None:
    write_files(str(place.worktree), {"late": "1\n"})
    await accept(RUN, place)
    assert_gone(repo, place, "leftover/r_1")
    assert tree(repo, "refs/acp/leftover/r_1") == {**RESULT, "late": "1\n"}
    assert tree(repo) == RESULT


@pytest.mark.parametrize("done", ["worktree", "merge"])
async def test_an_acceptance_cut_short_is_finished(repo: Path, place: Workplace, done: str) -> None:
    git(repo, "merge", "-q", str(place.branch))
    if done == "worktree":
        git(repo, "worktree", "remove", "--force", str(place.worktree))
    result = git(repo, "rev-parse", "HEAD")
    assert await accept(RUN, place) == Accepted(commit=result, target="main")
    assert_gone(repo, place)


@pytest.mark.parametrize("done", [["a"], ["new"], ["gone"], ["a", "new", "gone"], []])
@pytest.mark.parametrize("locked", [False, True])
async def test_a_checkout_half_moved_by_a_kill_is_moved_on(
    repo: Path, place: Workplace, done: list[str], locked: bool
) -> None:
    write_files(repo, {name: EDIT[name] for name in done})
    write_files(repo, {".git/acp-agent/landing-r_1": ""})
    if locked:
        write_files(repo, {".git/index.lock": ""})
    await accept(RUN, place)
    assert files(repo) == tree(repo) == RESULT
    assert git(repo, "status", "--porcelain") == ""
    assert_gone(repo, place)
    assert not (repo / ".git/acp-agent/landing-r_1").exists()


async def test_a_file_half_written_by_a_killed_git_is_written_again(repo: Path, place: Workplace) -> None:
    write_files(repo, {".git/acp-agent/landing-r_1": "", "new": "", "a": "2"})
    await accept(RUN, place)
    assert files(repo) == RESULT


@pytest.mark.parametrize("edit", [{"a": "mine\n"}, {"b": "mine\n"}, {"new": "mine\n"}, {"gone": "mine\n"}])
async def test_a_half_moved_checkout_with_a_persons_edit_is_refused(
    repo: Path, place: Workplace, edit: dict[str, str]
) -> None:
    write_files(repo, {".git/acp-agent/landing-r_1": "", **edit})
    with pytest.raises(Refused, match=f"has uncommitted changes: {next(iter(edit))}"):
        await accept(RUN, place)
    assert files(repo) == {**BASE, **edit}


@pytest.mark.parametrize("land", [accept, reject])
async def test_a_branch_that_a_person_has_checked_out_stays(
    tmp_path: Path, repo: Path, place: Workplace, land: Callable[..., Awaitable[object]]
) -> None:
    git(repo, "worktree", "remove", str(place.worktree))
    git(repo, "worktree", "add", "-q", str(tmp_path / "theirs"), str(place.branch))
    await land(RUN, place)
    assert f"refs/heads/{place.branch}" in refs(repo)
    assert git(tmp_path / "theirs", "status", "--porcelain") == ""


async def test_a_rejected_result_stays_under_a_ref(repo: Path, place: Workplace) -> None:
    result = git(repo, "rev-parse", str(place.branch))
    for _ in range(2):
        assert await reject(RUN, place, "no") == Rejected(ref="refs/acp/rejected/r_1", note="no")
    assert_gone(repo, place, "rejected/r_1")
    assert git(repo, "rev-parse", "refs/acp/rejected/r_1") == result
    assert files(repo) == BASE


async def test_rejecting_keeps_what_was_not_committed_too(
    repo: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    place = place_in(repo)
    write_files(await workplaces.prepare(RUN, place, None), EDIT)
    assert await reject(RUN, place) == Rejected(ref="refs/acp/rejected/r_1")
    assert tree(repo, "refs/acp/rejected/r_1") == RESULT
    assert_gone(repo, place, "rejected/r_1")


async def test_rejecting_a_run_that_did_nothing_leaves_nothing(
    repo: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    place = place_in(repo)
    await workplaces.prepare(RUN, place, None)
    assert await reject(RUN, place) == Rejected(ref=None)
    assert_gone(repo, place)


async def test_a_rejection_cut_short_is_finished(repo: Path, place: Workplace) -> None:
    write_files(str(place.worktree), {"late": "1\n"})
    await reject(RUN, place)
    kept = git(repo, "rev-parse", "refs/acp/rejected/r_1")
    git(repo, "branch", str(place.branch), "refs/acp/rejected/r_1~1")
    await reject(RUN, place)
    assert git(repo, "rev-parse", "refs/acp/rejected/r_1") == kept
    assert_gone(repo, place, "rejected/r_1")


async def test_the_diff_shows_the_commit_or_what_stands_in_the_worktree(
    repo: Path, workplaces: GitWorkplaces, place: Workplace
) -> None:
    git(repo, "config", "diff.noprefix", "true")
    committed = git(repo, "rev-parse", str(place.branch))
    shown = await diff(place)
    assert [line for line in shown.splitlines() if line[:3] in ("---", "+++")] == [
        "--- a/a",
        "+++ b/a",
        "--- a/gone",
        "+++ /dev/null",
        "--- /dev/null",
        "+++ b/new",
    ]
    assert await diff(place, committed) == shown
    write_files(str(place.worktree), {"late": "1\n"})
    assert "+++ b/late" in await diff(place)
    assert (await stat(place)).splitlines()[-1].strip() == "4 files changed, 3 insertions(+), 2 deletions(-)"
    assert git(repo, "status", "--porcelain") == ""
    await reject(RUN, place)
    assert await diff(place, committed) == shown
    with pytest.raises(AcpAgentError, match="is gone"):
        await diff(place)


async def test_a_sub_directory_project_shows_and_lands_only_its_part(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    repo = make_repo(tmp_path / "mono", {"one/a": "1\n", "two/a": "1\n"})
    places = [place_in(repo, name, subdir=name) for name in ("one", "two")]
    for number, place in enumerate(places):
        path = Path(await workplaces.prepare(f"r_{number}", place, None))
        write_files(path, {"a": "2\n", "../stray": "s\n"})
        await workplaces.commit(f"r_{number}", place, "m")
    assert "stray" not in await diff(places[0])
    for number, place in enumerate(places):
        await accept(f"r_{number}", place)
    assert tree(repo) == {"one/a": "2\n", "two/a": "2\n"}
    assert git(repo, "status", "--porcelain") == ""
    assert refs(repo) == ["refs/acp/leftover/r_0", "refs/acp/leftover/r_1", "refs/heads/main"]


async def test_binary_files_and_line_ends_land_byte_for_byte(
    repo: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    place = place_in(repo)
    odd = {"bin": bytes(range(256)), "crlf": b"1\r\n2\r\n", "latin": b"\xe9\n"}
    write_files(await workplaces.prepare(RUN, place, None), odd)
    await workplaces.commit(RUN, place, "m")
    assert "Binary files /dev/null and b/bin differ" in await diff(place)
    await accept(RUN, place)
    assert {name: (repo / name).read_bytes() for name in odd} == odd


async def test_a_repository_with_a_submodule_lands_like_any_other(
    tmp_path: Path, repo: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    library = make_repo(tmp_path / "library", {"l": "1\n"})
    git(repo, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "lib")
    commit_all(repo, "with a submodule")
    (repo / "lib/l").write_text("dirty inside\n")
    place = place_in(repo)
    write_files(await workplaces.prepare(RUN, place, None), EDIT)
    await workplaces.commit(RUN, place, "m")
    await accept(RUN, place)
    assert (repo / "a").read_text() == "2\n"
    assert (repo / "lib/l").read_text() == "dirty inside\n"
    assert_gone(repo, place)


async def test_a_lock_of_the_users_own_git_is_not_ours_to_remove(repo: Path, place: Workplace) -> None:
    (repo / ".git/index.lock").touch()
    with pytest.raises(AcpAgentError, match=r"index\.lock"):
        await accept(RUN, place)
    assert (repo / ".git/index.lock").exists()
    assert git(repo, "rev-parse", "HEAD") == place.base
    subprocess.run(["rm", str(repo / ".git/index.lock")], check=True)
    await accept(RUN, place)
    assert files(repo) == RESULT
