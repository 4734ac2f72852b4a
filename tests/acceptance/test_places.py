"""Where results lie and what is left of places where nothing lies: real processes, real repositories."""

import json
from collections.abc import Sequence
from pathlib import Path

from acp_agent.testing.repos import git, tree
from acp_agent.testing.script import Rule, Step
from tests.crash.world import World

FILES = {"main.py": "pass\n", ".gitignore": "*.log\n"}
NOTHING = Rule(contains="look around", turns=[Step(tools=[("read_file", {"path": "main.py"})]), Step(text="All well.")])
EDIT = Rule(
    contains="write it",
    turns=[Step(tools=[("write_file", {"path": "new.py", "content": "x = 1\n"})]), Step(text="Written.")],
)
LOG = Rule(
    contains="log it",
    turns=[Step(tools=[("write_file", {"path": "out.log", "content": "log\n"})]), Step(text="Logged.")],
)
WAITS = Rule(contains="wait for me", turns=[Step(text="late", delay=30.0)])


def world_of(root: Path, names: Sequence[str] = ("api",), config: str = "") -> World:
    return World(root, names, [NOTHING, EDIT, LOG, WAITS], FILES, config=config)


def traces(world: World, name: str = "api") -> list[str]:
    """Branches but main, refs of ours, and worktrees of a project."""
    repository = world.fleet.repos[name]
    refs = git(repository, "for-each-ref", "--format=%(refname)").split()
    worktrees = [line for line in git(repository, "worktree", "list").splitlines()[1:]]
    return [ref for ref in refs if ref != "refs/heads/main"] + worktrees


def test_a_run_that_changed_nothing_leaves_nothing(tmp_path: Path) -> None:
    with world_of(tmp_path, ("api", "web")) as world:
        assert world.acp("run", "look around", "--all").exit_code == 0
        assert traces(world, "api") + traces(world, "web") == []
        assert list((world.state / "worktrees").iterdir()) == []
        batch_id = world.record().batches[0].id
        shown = world.acp("diff", f"{batch_id}/api")
        assert (shown.exit_code, shown.output, shown.errors) == (0, "", "nothing changed\n")
        refused = world.acp("accept", f"{batch_id}/api")
        assert refused.exit_code == 5
        assert "changed nothing: there is nothing to accept" in refused.errors
        assert world.acp("accept", batch_id).errors.startswith(
            f"acp: nothing to accept in {batch_id}: 2 nothing changed"
        )
        assert "result    nothing changed" in world.acp("show", f"{batch_id}/api").output


def test_an_ignored_file_that_was_asked_for_stays_in_its_place(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        ending = world.acp("run", "log it", "--all")
        (run,) = world.record().runs
        assert (Path(str(run.worktree)) / "out.log").read_text() == "log\n"
        assert f"in no commit yet:\n  api: {run.worktree}\n" in ending.output


def test_a_result_without_a_commit_is_shown_with_its_place_and_can_be_kept(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        ending = world.acp("run", "write it", "--all", "--no-commit")
        (run,) = world.record().runs
        name = f"{run.batch_id}/api"
        assert f"in no commit yet:\n  api: {run.worktree}\n" in ending.output
        assert f"(cd {run.worktree} && git add --all && git commit) && acp accept {name}" in ending.output
        assert "+x = 1" in world.acp("diff", name).output
        refused = world.acp("accept", name)
        assert refused.exit_code == 5
        assert f"hint: commit what you want of {run.worktree} there, then accept again" in refused.errors
        git(str(run.worktree), "add", "--all")
        git(str(run.worktree), "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "mine")
        accepted = world.acp("accept", name)
        assert accepted.exit_code == 0, accepted.errors
        assert tree(world.fleet.repos["api"], "main") == {**FILES, "new.py": "x = 1\n"}
        assert traces(world) == []


def test_a_result_without_a_commit_can_be_rejected_and_is_kept_under_a_ref(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        world.acp("run", "write it", "--all", "--no-commit")
        (run,) = world.record().runs
        rejected = world.acp("reject", f"{run.batch_id}/api")
        ref = f"refs/acp/rejected/{run.id}"
        assert rejected.output == f"{run.batch_id}/api: rejected, kept under {ref}\n"
        assert tree(world.fleet.repos["api"], ref)["new.py"] == "x = 1\n"
        assert traces(world) == [ref]


BEFORE, AFTER = "journal.before_commit", "journal.after_commit"


def kill_near_the_end(world: World, point: str, back: int, writes: int) -> int:
    """Kill a batch at one of its last writes, the one that `back` follow; returns how many writes were expected.

    A slow run writes more, because it renews its leases: where the count does not fit, it is counted again.
    """
    log = world.root / "points"
    for _ in range(5):
        log.unlink(missing_ok=True)
        crash = {"ACP_CRASH_LOG": str(log), "ACP_CRASH_AT": f"{point}:{writes - back}"}
        ended = world.acp("run", "look around", "--all", environment=crash)
        if ended.exit_code == -9:
            return writes
        assert ended.exit_code == 0, ended.errors
        writes = log.read_text().split().count(BEFORE)
    raise AssertionError(f"no run was killed at its {writes}th write less {back}")


def test_a_batch_killed_before_its_end_is_tidied_and_closed_by_resume(tmp_path: Path) -> None:
    writes = 1000
    with world_of(tmp_path) as world:
        # The end of the run, the release of its lease, that of the batch's, the end of the batch. After one of them is
        # before the next, so that only the last has an "after" of its own.
        for point, back in [(BEFORE, 3), (BEFORE, 2), (BEFORE, 1), (BEFORE, 0), (AFTER, 0)]:
            writes = kill_near_the_end(world, point, back, writes)
            batch = world.record().batches[0]
            resumed = world.acp("resume", batch.id)
            assert resumed.exit_code == (5 if batch.status == "ended" else 0), resumed.errors
            assert traces(world) == []
            assert {batch.status for batch in world.record().batches} == {"ended"}
        assert world.acp("resume").exit_code == 5


def test_a_cancelled_run_that_had_done_nothing_leaves_nothing(tmp_path: Path) -> None:
    with world_of(tmp_path, config='[roles.coder]\npolicy = "ask"\n') as world:
        assert world.acp("run", "write it", "--all").exit_code == 4
        (run,) = world.record().runs
        refused = world.acp("accept", f"{run.batch_id}/api")
        assert (refused.exit_code, "waiting for approval" in refused.errors) == (6, True)
        assert world.acp("cancel", str(run.batch_id)).exit_code == 0
        assert traces(world) == []


def test_accept_and_reject_of_a_running_run_say_so(tmp_path: Path) -> None:
    with world_of(tmp_path) as world, world.start("run", "wait for me", "--all") as process:
        process.close_input()
        world.server.wait_for_requests(1, where=lambda request: request.is_chat)
        batch_id = world.record().batches[0].id
        for verb in ("accept", "reject"):
            refused = world.acp(verb, f"{batch_id}/api")
            assert refused.exit_code == 6
            assert refused.errors.startswith(f"acp: nothing to {verb} in {batch_id}/api: running\n")
        process.kill()


def test_a_run_in_place_is_told_how_to_see_its_changes(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        projects = world.fleet.projects_file
        projects.write_text(projects.read_text().replace('path = "api"', 'path = "api"\nisolation = "inplace"'))
        ending = world.acp("run", "write it", "--all", "-o", "json")
        assert ending.exit_code == 0, ending.errors
        root = str(world.fleet.repos["api"])
        assert json.loads(ending.output)["projects"][0]["left_in"] == root
        (run,) = world.record().runs
        refused = world.acp("diff", str(run.batch_id))
        assert (refused.exit_code, refused.errors.splitlines()[1]) == (6, f"hint: git -C {root} diff")
        assert f"next      git -C {root} diff\n" in world.acp("show", run.id).output
