"""What becomes of the place of a run that left nothing: it goes, wherever a kill stopped it; a result never does."""

from collections.abc import Callable
from pathlib import Path

import pytest

from acp_agent.domain.request import Workplace
from acp_agent.fleet.checkout import Checkout, Place
from acp_agent.fleet.removal import delete_tree
from acp_agent.fleet.tidy import Leftover, drop_if_empty, tidy
from acp_agent.fleet.worktree import GitWorkplaces
from acp_agent.testing.repos import commit, git, make_repo, write_files

pytestmark = pytest.mark.anyio
PlaceIn = Callable[..., Workplace]
RUN = "r_1"


@pytest.fixture
async def place(workplaces: GitWorkplaces, place_in: PlaceIn, tmp_path: Path) -> Workplace:
    repo = make_repo(tmp_path / "repo", {"main.py": "pass\n", ".gitignore": "*.log\n", "sub/a.py": "pass\n"})
    made = place_in(repo)
    await workplaces.prepare(RUN, made, None)
    return made


def worktree(place: Workplace) -> Path:
    return Path(str(place.worktree))


def leftover(place: Workplace, *written: str) -> Leftover:
    return Leftover(RUN, place, frozenset(written))


def traces(place: Workplace) -> tuple[bool, str, int]:
    """Whether the worktree is there, its branches, and how many worktrees git knows."""
    branches = git(place.root, "for-each-ref", "--format=%(refname:short)", "refs/heads/acp", "refs/acp")
    known = git(place.root, "worktree", "list", "--porcelain").count("worktree ")
    return worktree(place).exists(), branches, known


GONE = (False, "", 1)


async def test_a_place_with_nothing_in_it_goes_and_may_be_asked_to_again(place: Workplace) -> None:
    (worktree(place) / "build.log").write_text("noise of a gate")
    await tidy([leftover(place)])
    await tidy([leftover(place)])
    assert traces(place) == GONE


@pytest.mark.parametrize("change", [{"main.py": "changed\n"}, {"new.py": "new\n"}, {"main.py": None}])
async def test_a_place_with_a_change_in_it_stays(place: Workplace, change: dict[str, str | None]) -> None:
    write_files(worktree(place), change)
    await tidy([leftover(place)])
    assert traces(place) == (True, "acp/b_1/one", 2)


async def test_a_commit_of_somebody_else_stays(place: Workplace) -> None:
    write_files(worktree(place), {"main.py": "mine\n"})
    git(worktree(place), "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qam", "mine")
    await tidy([leftover(place)])
    assert traces(place)[0]


@pytest.mark.parametrize(("subdir", "name"), [("", "out.log"), ("sub", "out.log")])
async def test_an_ignored_file_that_the_agent_wrote_by_name_is_a_result(
    place: Workplace, subdir: str, name: str
) -> None:
    inside = place.model_copy(update={"subdir": subdir})
    (worktree(place) / subdir / name).write_text("what was asked for")
    await tidy([leftover(inside, name, "main.py")])
    assert traces(place)[0]
    await tidy([leftover(inside)])
    assert traces(place) == GONE


async def test_a_file_that_was_written_and_taken_back_is_none(place: Workplace) -> None:
    await tidy([leftover(place, "main.py", "never-kept.py")])
    assert traces(place) == GONE


async def test_a_removal_that_was_killed_is_ended(place: Workplace) -> None:
    checkout = Checkout.of(Place.of(place))
    assert checkout is not None
    (checkout.private / "acp-removing").touch()
    (worktree(place) / "main.py").unlink()
    await tidy([leftover(place)])
    assert traces(place) == GONE


async def test_a_removal_that_was_killed_before_its_branch_went_is_ended(place: Workplace) -> None:
    delete_tree(worktree(place))
    git(place.root, "worktree", "prune")
    assert traces(place) == (False, "acp/b_1/one", 1)
    await tidy([leftover(place)])
    assert traces(place) == GONE


async def test_a_place_whose_repository_is_gone_stops_no_other(place: Workplace, tmp_path: Path) -> None:
    lost = place.model_copy(update={"root": str(tmp_path / "none")})
    await tidy([leftover(lost), leftover(place)])
    assert traces(place) == GONE


async def test_a_branch_that_a_person_has_checked_out_stays(place: Workplace) -> None:
    delete_tree(worktree(place))
    git(place.root, "worktree", "prune")
    git(place.root, "checkout", "-q", "acp/b_1/one")
    await tidy([leftover(place)])
    assert traces(place) == (False, "acp/b_1/one", 1)


async def test_only_an_empty_folder_of_a_batch_goes(tmp_path: Path) -> None:
    (tmp_path / "full" / "one").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for name in ("full", "empty", "none"):
        await drop_if_empty(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


async def test_a_commit_on_the_branch_while_the_worktree_is_clean_stays(place: Workplace) -> None:
    write_files(worktree(place), {"main.py": "mine\n"})
    commit(worktree(place), "mine")
    git(worktree(place), "checkout", "-q", "--detach", str(place.base))
    await tidy([leftover(place)])
    assert traces(place)[0]
