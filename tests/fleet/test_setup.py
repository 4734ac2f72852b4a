"""What happens around a run: set-up, included files, gates, and runs in place."""

from collections.abc import Callable
from pathlib import Path

import pytest

from acp_agent.domain.errors import AcpAgentError, ToolError, UsageError
from acp_agent.domain.events import Committed, GateFinished
from acp_agent.domain.request import Gate, Workplace
from acp_agent.fleet.include import include
from acp_agent.fleet.worktree import CommandOutcome, GitWorkplaces
from acp_agent.testing.repos import make_repo, write_files

pytestmark = pytest.mark.anyio

PlaceIn = Callable[..., Workplace]
RUN = "r_1"


async def test_a_broken_set_up_says_its_last_lines_and_runs_again(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    place = place_in(make_repo(tmp_path / "repo"))
    with pytest.raises(AcpAgentError) as caught:
        await workplaces.prepare(RUN, place, "echo one; echo two >&2; exit 3")
    assert caught.value.what == "setup `echo one; echo two >&2; exit 3` ended with 3: one / two"
    path = Path(await workplaces.prepare(RUN, place, "touch done"))
    assert (path / "done").exists()


async def test_worktreeinclude_copies_ignored_files_and_no_links_out(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s")
    ignored = ".env*\n/cache/\nlinks/\nbig\n"
    included = "# what runs need\n.env*\ncache/*\n!cache/skip\nlinks/\nseen\n"
    repo = make_repo(tmp_path / "repo", {"a": "1\n", ".gitignore": ignored, ".worktreeinclude": included})
    write_files(repo, {".env": "K=1", "deep/.env.local": "K=2", "cache/x/y": "1", "cache/skip": "1", "big": "1"})
    (repo / "links").mkdir()
    (repo / "links/out").symlink_to(secret)
    (repo / "links/up").symlink_to("../../secret")
    (repo / "links/in").symlink_to("../a")
    (repo / "seen").write_text("not ignored: git's business")
    path = Path(await workplaces.prepare(RUN, place_in(repo), None))
    found = {
        str(entry.relative_to(path)): entry.read_text()
        for entry in path.rglob("*")
        if entry.is_file() and entry.name not in (".git", ".gitignore", ".worktreeinclude")
    }
    assert found == {"a": "1\n", ".env": "K=1", "deep/.env.local": "K=2", "cache/x/y": "1", "links/in": "1\n"}
    assert (path / "links/in").is_symlink()


async def test_gates_run_in_the_project_and_tell_how_they_ended(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    place = place_in(make_repo(tmp_path / "repo", {"sub/a": "1\n"}), subdir="sub")
    await workplaces.prepare(RUN, place, None)
    passing = GateFinished(gate="ls", passed=True, exit_status=0, seconds=0.5, output="a\n")
    assert await workplaces.check(place, Gate(name="ls", run="ls")) == passing
    failing = GateFinished(gate="no", passed=False, exit_status=2, seconds=0.5, output="")
    assert await workplaces.check(place, Gate(name="no", run="exit 2")) == failing


async def test_a_run_in_place_works_where_the_user_works(tmp_path: Path, workplaces: GitWorkplaces) -> None:
    (tmp_path / "plain/sub").mkdir(parents=True)
    place = Workplace(kind="inplace", root=str(tmp_path / "plain"), subdir="sub")
    assert await workplaces.prepare(RUN, place, "exit 1") == str(tmp_path / "plain/sub")
    assert (await workplaces.check(place, Gate(name="pwd", run="pwd"))).output == f"{tmp_path}/plain/sub\n"
    assert await workplaces.commit(RUN, place, "m") == Committed(commit=None)
    with pytest.raises(UsageError, match="does not exist"):
        await workplaces.prepare(RUN, place.model_copy(update={"subdir": "other"}), None)


async def test_a_command_that_cannot_start_fails_its_gate_or_the_set_up(tmp_path: Path, place_in: PlaceIn) -> None:
    async def no_shell(command: str, cwd: str, seconds: float, protect: tuple[str, ...] = ()) -> CommandOutcome:
        raise ToolError("no sandbox", hint="Install bubblewrap")

    place = place_in(make_repo(tmp_path / "repo"))
    workplaces = GitWorkplaces(no_shell, no_shell)
    with pytest.raises(AcpAgentError) as caught:
        await workplaces.prepare(RUN, place, "make")
    assert (caught.value.what, caught.value.hint) == ("setup `make` cannot run: no sandbox", "Install bubblewrap")
    await workplaces.prepare(RUN, place, None)
    refused = GateFinished(gate="test", passed=False, exit_status=None, seconds=0.0, output="no sandbox")
    assert await workplaces.check(place, Gate(name="test", run="make test")) == refused


async def test_more_than_the_cap_is_not_copied_at_all(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", {".gitignore": "x*\n", ".worktreeinclude": "x*\n"})
    write_files(repo, {"x1": "1" * 600, "x2": "2" * 600})
    (tmp_path / "new").mkdir()
    with pytest.raises(UsageError, match=r"\.worktreeinclude: matches 0 MB, more than 0 MB"):
        await include(repo, tmp_path / "new", max_bytes=1000)
    assert list((tmp_path / "new").iterdir()) == []


async def test_an_included_file_is_not_copied_through_a_link_of_the_tree(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", {".gitignore": "*.key\n", ".worktreeinclude": "*.key\n"})
    write_files(repo, {"keys/a.key": "secret"})
    (tmp_path / "outside").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "new/keys").symlink_to(tmp_path / "outside")
    assert await include(repo, tmp_path / "new") == 0
    assert list((tmp_path / "outside").iterdir()) == []
