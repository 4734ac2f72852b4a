"""`acp loop --watch`: what counts as a change of a checkout, and an iteration for each."""

import signal
from pathlib import Path

import pytest

from acp_agent.config.trust import trust
from acp_agent.domain.errors import ExitCode
from acp_agent.fleet.repository import repository
from acp_agent.loops.changes import Checkout, Sight, changes_told
from acp_agent.testing import warm
from acp_agent.testing.killer import Victim
from acp_agent.testing.repos import git, make_repo, write_files
from tests.loops.conftest import MakeWorld, World, honest


@pytest.fixture
async def checkout(tmp_path: Path) -> Checkout:
    """A checkout with an ignored folder, and a file beside it."""
    repo = make_repo(tmp_path / "app", {"a.py": "1\n", "lib/b.py": "2\n", ".gitignore": "cache/\n"})
    (tmp_path / "up.md").write_text("x", "utf-8")
    return Checkout(repo, await repository(repo, "app"), (tmp_path / "up.md",))


async def seen(checkout: Checkout, before: Sight, own: str = "") -> tuple[str, ...]:
    return await checkout.changed(before, await checkout.look(), own)


async def test_edits_new_and_deleted_files_and_those_besides_count(checkout: Checkout, tmp_path: Path) -> None:
    before = await checkout.look()
    assert await seen(checkout, before) == ()
    write_files(checkout.path, {"a.py": "changed\n", "lib/b.py": None, "new/c.py": "3\n"})
    assert await seen(checkout, before) == ("a.py", "lib/b.py", "new/c.py")
    after = await checkout.look()
    write_files(checkout.path, {"a.py": "changed again\n"})
    (tmp_path / "up.md").write_text("longer", "utf-8")
    assert await seen(checkout, after) == (str(tmp_path / "up.md"), "a.py")


async def test_what_git_ignores_does_not_count(checkout: Checkout) -> None:
    before = await checkout.look()
    write_files(checkout.path, {"cache/x": "1\n"})
    git(checkout.path, "branch", "acp/loop/up-x")
    assert await seen(checkout, before) == ()


async def test_a_commit_counts_with_what_it_changes(checkout: Checkout) -> None:
    write_files(checkout.path, {"a.py": "mine\n"})
    before = await checkout.look()
    write_files(checkout.path, {"lib/b.py": "mine too\n"})
    git(checkout.path, "commit", "-qam", "Mine")
    assert await seen(checkout, before) == ("a.py", "lib/b.py")


async def test_that_the_work_of_the_loop_itself_comes_in_is_no_change(checkout: Checkout) -> None:
    before = await checkout.look()
    git(checkout.path, "switch", "-qc", "acp/loop/up-x")
    write_files(checkout.path, {"a.py": "the loop's\n"})
    git(checkout.path, "commit", "-qam", "The loop's")
    own = git(checkout.path, "rev-parse", "HEAD")
    git(checkout.path, "switch", "-q", "main")
    git(checkout.path, "merge", "-q", "acp/loop/up-x")
    assert await seen(checkout, before, own) == ()
    assert await seen(checkout, before) == ("a.py",)


def test_a_long_list_of_changes_is_cut() -> None:
    assert changes_told(["a", "b", "c"], most=2).endswith("outside of your tree: a, b and 1 more")


def watching(w: World, *words: str) -> Victim:
    command = [warm.PROGRAM, "loop", "up", "--watch", *words]
    return Victim(command, cwd=w.root, environment=w.environ)


@pytest.mark.bwrap
async def test_each_change_is_one_iteration_until_a_person_ends_it(world: MakeWorld) -> None:
    with world(honest) as w, watching(w) as process:
        process.wait_for_line(r"watching .*app; Ctrl-C ends it", stream="stderr")
        assert w.server.requests == ()
        for number in (1, 2):
            write_files(w.repo, {f"idea{number}.txt": "look here\n", "cache/noise": f"{number}\n"})
            process.wait_for_line(rf"changed: idea{number}\.txt", stream="stderr")
            process.wait_for_line(rf"up {number}  accepted", stream="stderr")
        process.signal(signal.SIGINT)
        ending = process.wait()
    assert ending.exit_code == ExitCode.INTERRUPTED
    assert "2/4 iterations, 2 accepted" in ending.output
    told = [request.prompt for request in w.server.requests if request.turn_since_prompt == 0]
    assert ["outside of your tree: idea1.txt" in told[0], "outside of your tree: idea2.txt" in told[1]] == [True, True]
    assert git(w.repo, "status", "--porcelain") == "?? idea1.txt\n?? idea2.txt"


@pytest.mark.bwrap
async def test_a_watch_ends_with_its_loop(world: MakeWorld) -> None:
    with world(honest, 'done_when = { metric = "n >= 1" }') as w, watching(w, "-o", "quiet") as process:
        process.wait_until(lambda: (w.root / "state" / "loops").exists(), what="the loop")
        write_files(w.repo, {"idea.txt": "look here\n"})
        assert process.wait().exit_code == ExitCode.OK


async def test_a_watch_does_not_go_with_one_iteration(world: MakeWorld) -> None:
    with world(honest) as w, watching(w, "--once") as process:
        ending = process.wait()
        assert ending.exit_code == ExitCode.USAGE
        assert "--watch and --once do not go together" in ending.errors


async def test_a_watch_is_for_one_project(world: MakeWorld) -> None:
    with world(honest) as w:
        listed = w.root / "projects.toml"
        listed.write_text(listed.read_text("utf-8").replace("tags = []", 'tags = ["web"]'), "utf-8")
        (w.root / "loops" / "up.md").write_text('+++\nprojects = "web"\ngoal = "x"\n+++\nGo.\n', "utf-8")
        trust(w.root, w.root / "state")
        with watching(w) as process:
            ending = process.wait()
            assert (ending.exit_code, "for a loop over one project" in ending.errors) == (2, True), ending.errors
