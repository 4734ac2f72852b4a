"""What a batch comes to, seen from outside: exit codes, branches, exact diffs, and a record that agrees with git."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from acp_agent.testing.killer import Ending
from acp_agent.testing.repos import commit, git, tree, write_files
from acp_agent.testing.script import Rule, Step
from tests.crash.world import World

NAMES = ("api", "web", "worker")
PROMPT = "double the limit"
FILES = {"limits.py": "LIMIT = 10\n", "README.md": "# sample\n\nThe limit is 10.\n", "other.py": "pass\n"}
EDITED = {**FILES, "limits.py": "LIMIT = 20\n", "README.md": "# sample\n\nThe limit is 20.\n"}
READ = Step(tools=[("read_file", {"path": "limits.py"}), ("read_file", {"path": "README.md"})])
EDIT = Step(
    tools=[
        ("edit_file", {"path": "limits.py", "edits": [{"old": "LIMIT = 10", "new": "LIMIT = 20"}]}),
        ("edit_file", {"path": "README.md", "edits": [{"old": "is 10", "new": "is 20"}]}),
    ]
)
DONE = Step(text="Doubled.")
TWO_FILES = Rule(contains=PROMPT, turns=[READ, EDIT, DONE])
DIFF = f"""\
diff --git a/README.md b/README.md
index 1fde973..e8c7ca9 100644
--- a/README.md
+++ b/README.md
@@ -1,3 +1,3 @@
 # sample
{" "}
-The limit is 10.
+The limit is 20.
diff --git a/limits.py b/limits.py
index e7971fa..b75fcb3 100644
--- a/limits.py
+++ b/limits.py
@@ -1 +1 @@
-LIMIT = 10
+LIMIT = 20
"""


def world_of(root: Path, rules: Sequence[Rule] = (TWO_FILES,), names: Sequence[str] = NAMES, config: str = "") -> World:
    return World(root, names, rules, FILES, config=config) if config else World(root, names, rules, FILES)


def branches(world: World, name: str) -> dict[str, list[str]]:
    """Every branch of a project but main, with its commits since the base."""
    repository = world.fleet.repos[name]
    found = git(repository, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()
    commits = {branch: git(repository, "rev-list", f"{world.bases[name]}..{branch}").split() for branch in found}
    return {branch: commits[branch] for branch in found if branch != "main"}


def assert_untouched(world: World) -> None:
    """Every checkout stands where the user left it."""
    for name, repository in world.fleet.repos.items():
        assert git(repository, "rev-parse", "HEAD") == world.bases[name]
        assert git(repository, "status", "--porcelain", "--ignored") == ""
        assert git(repository, "stash", "list") == ""


def said(ending: Ending) -> str:
    return f"exit {ending.exit_code}\n{ending.output}\n{ending.errors}"


def outcomes(world: World) -> dict[str, tuple[str, str | None]]:
    """Status and reason of every project's run."""
    return {run.project: (run.status, run.reason) for run in world.record().runs}


def test_a_two_file_edit_over_three_repositories_leaves_three_branches_with_exact_diffs(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        ending = world.acp("run", PROMPT, "--tags=python")
        assert ending.exit_code == 0, said(ending)
        record = world.record()
        batch_id = record.batches[0].id
        for run in record.runs:
            repository = world.fleet.repos[run.project]
            assert branches(world, run.project) == {f"acp/{batch_id}/{run.project}": [run.commit_sha]}
            assert git(repository, "diff", world.bases[run.project], str(run.commit_sha)) + "\n" == DIFF
            assert tree(repository, str(run.commit_sha)) == EDITED
            assert (run.files, run.added, run.removed) == (2, 2, 2)
            shown = world.acp("diff", f"{batch_id}/{run.project}")
            assert (shown.exit_code, shown.output) == (0, DIFF)
        assert_untouched(world)
        assert {len(world.requests(name)) for name in NAMES} == {3}


@pytest.mark.parametrize(
    ("select", "code"),
    [
        ((), 5),
        (("--tags=rust",), 5),
        (("--tags=python,rust",), 5),
        (("-e", "python && !python"), 5),
        (("-p", "nobody"), 5),
        (("-e", "python &&"), 2),
    ],
)
def test_nothing_selected_starts_nothing_and_says_how_to_select(
    tmp_path: Path, select: tuple[str, ...], code: int
) -> None:
    with world_of(tmp_path) as world:
        ending = world.acp("run", PROMPT, *select)
        assert ending.exit_code == code, said(ending)
        assert ending.output == ""
        assert len(ending.errors.splitlines()) == 2
        assert ending.errors.splitlines()[1].startswith("hint: ")
        assert world.record().runs == ()
        assert world.server.requests == ()


@pytest.mark.parametrize(
    ("failure", "tries"),
    [
        (Step(status=401, error={"message": "Incorrect API key", "code": "invalid_api_key"}), 1),
        (Step(status=500, error={"message": "the server is on fire"}), 3),
    ],
)
def test_one_project_whose_model_always_fails_does_not_cost_the_others_their_results(
    tmp_path: Path, failure: Step, tries: int
) -> None:
    rules = [Rule(system="Project: web\n", reply=failure), TWO_FILES]
    with world_of(tmp_path, rules) as world:
        ending = world.acp("run", PROMPT, "--all")
        assert ending.exit_code == 1, said(ending)
        assert str((failure.error or {})["message"]) in ending.output
        good = ("ended", "end_turn")
        assert outcomes(world) == {"api": good, "web": ("ended", "error"), "worker": good}
        for name in ("api", "worker"):
            (commits,) = branches(world, name).values()
            assert [tree(world.fleet.repos[name], commit_id) for commit_id in commits] == [EDITED]
        assert [commits for commits in branches(world, "web").values() if commits] == []
        assert len(world.requests("web")) == tries
        assert_untouched(world)


def test_a_step_limit_leaves_the_partial_result_committed_and_asks_for_last_words(tmp_path: Path) -> None:
    words = Step(text="limits.py is done, the README is left.")
    first = Step(tools=[EDIT.tools[0]])
    never_done = Step(tools=[("list_files", {})])
    rules = [
        Rule(contains="no more tools", reply=words),
        Rule(contains=PROMPT, turns=[READ, first, never_done], repeat_last=True),
    ]
    with world_of(tmp_path, rules) as world:
        ending = world.acp("run", PROMPT, "--all", "--max-steps", "4")
        assert ending.exit_code == 3, said(ending)
        assert set(outcomes(world).values()) == {("ended", "max_steps")}
        for run in world.record().runs:
            assert tree(world.fleet.repos[run.project], str(run.branch)) == {**EDITED, "README.md": FILES["README.md"]}
            assert git(str(run.root), "log", "-1", "--format=%b", str(run.branch)).startswith(words.text)
            asked = world.requests(run.project)
            assert len(asked) == 5
            assert "tools" in asked[3].body
            assert not asked[4].body.get("tools")
        assert_untouched(world)


PRICED = "[providers.openai.prices.test-model]\ninput = 10.0\noutput = 50.0\n"


def test_a_money_cap_is_never_overshot(tmp_path: Path) -> None:
    tokens = {"prompt_tokens": 4000, "completion_tokens": 200}
    endless = Rule(contains=PROMPT, turns=[Step(tools=[("list_files", {})], usage=tokens)], repeat_last=True)
    with world_of(tmp_path, [endless], config=PRICED) as world:
        ending = world.acp("run", PROMPT, "--all", "--max-cost", "1.5", "--yes")
        assert ending.exit_code == 3, said(ending)
        assert set(outcomes(world).values()) == {("ended", "max_cost")}
        record = world.record()
        (batch,) = (budget for scope, budget in record.budgets.items() if scope.startswith("batch:"))
        # 4,000 tokens at 10 US$ a million and 200 at 50 are 5 cents a call.
        replies = sum(event.type == "model_replied" for run in record.runs for event in record.events[run.id])
        assert batch.spent == pytest.approx(0.05 * replies)
        assert 0.5 < batch.spent <= 1.5
        assert batch.reserved == pytest.approx(0)
        assert batch.spent == pytest.approx(sum(run.cost for run in record.runs))


def test_an_unknown_price_is_refused_under_a_money_cap(tmp_path: Path) -> None:
    with world_of(tmp_path, config="# no prices\n") as world:
        ending = world.acp("run", PROMPT, "--all", "--max-cost", "4")
        assert ending.exit_code == 6, said(ending)
        assert "openai/test-model" in ending.errors
        assert world.record().runs == ()
        assert world.server.requests == ()


def test_time_that_is_up_exits_3(tmp_path: Path) -> None:
    slow = Rule(contains=PROMPT, turns=[READ, EDIT, Step(text="Too late.", delay=30.0)])
    last = Rule(contains="no more tools", reply=Step(text="Out of time."))
    with world_of(tmp_path, [last, slow], names=("api",)) as world:
        ending = world.acp("run", PROMPT, "--all", "--timeout", "2s")
        assert ending.exit_code == 3, said(ending)
        assert outcomes(world) == {"api": ("ended", "max_time")}
        assert tree(world.fleet.repos["api"], str(world.record().runs[0].branch)) == EDITED


def heads(world: World) -> Mapping[str, str]:
    return {name: git(repository, "rev-parse", "main") for name, repository in world.fleet.repos.items()}


def test_accepted_results_are_on_main_and_nothing_else_is_left(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        assert world.acp("run", PROMPT, "--all").exit_code == 0
        record = world.record()
        batch_id = record.batches[0].id
        ending = world.acp("accept", batch_id)
        assert ending.exit_code == 0, said(ending)
        assert heads(world) == {run.project: run.commit_sha for run in record.runs}
        for name, repository in world.fleet.repos.items():
            assert git(repository, "status", "--porcelain") == ""
            assert (repository / "limits.py").read_text("utf-8") == EDITED["limits.py"]
            assert branches(world, name) == {}
            assert len(git(repository, "worktree", "list").splitlines()) == 1
        assert {run.landed for run in world.record().runs} == {"accepted"}
        assert world.acp("accept", batch_id).exit_code == 5
        rejected = world.acp("reject", f"{batch_id}/api")
        assert rejected.exit_code == 5, said(rejected)
        assert heads(world) == {run.project: run.commit_sha for run in record.runs}


def test_rejected_results_are_gone_but_their_commits_are_kept(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        assert world.acp("run", PROMPT, "--all").exit_code == 0
        record = world.record()
        batch_id = record.batches[0].id
        ending = world.acp("reject", batch_id, "-m", "not like this")
        assert ending.exit_code == 0, said(ending)
        for run in record.runs:
            repository = world.fleet.repos[run.project]
            assert branches(world, run.project) == {}
            assert git(repository, "rev-parse", f"refs/acp/rejected/{run.id}") == run.commit_sha
            assert not Path(str(run.worktree)).exists()
        assert_untouched(world)
        accepted = world.acp("accept", batch_id)
        assert accepted.exit_code == 5, said(accepted)


def test_a_conflict_changes_nothing_and_the_others_are_merged(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        assert world.acp("run", PROMPT, "--all").exit_code == 0
        record = world.record()
        runs = {run.project: run for run in record.runs}
        web = world.fleet.repos["web"]
        write_files(web, {"limits.py": "LIMIT = 15\n"})
        ours = commit(web, "another limit")
        api = world.fleet.repos["api"]
        write_files(api, {"other.py": "raise SystemExit\n"})
        beside = commit(api, "something else")
        ending = world.acp("accept", record.batches[0].id)
        assert ending.exit_code == 1, said(ending)
        assert "limits.py" in ending.errors
        assert (git(web, "rev-parse", "HEAD"), git(web, "status", "--porcelain")) == (ours, "")
        assert branches(world, "web") != {}
        assert not (web / ".git" / "MERGE_HEAD").exists()
        parents = git(api, "log", "-1", "--format=%P", "main").split()
        assert parents == [beside, runs["api"].commit_sha]
        assert tree(api) == {**EDITED, "other.py": "raise SystemExit\n"}
        assert git(world.fleet.repos["worker"], "rev-parse", "main") == runs["worker"].commit_sha
        assert {run.project: run.landed for run in world.record().runs} == {
            "api": "accepted",
            "web": None,
            "worker": "accepted",
        }


@pytest.mark.parametrize("dirty", [{"limits.py": "LIMIT = 11\n"}, {"other.py": "x = 1\n"}])
def test_a_dirty_checkout_is_not_merged_into(tmp_path: Path, dirty: dict[str, str]) -> None:
    with world_of(tmp_path, names=("api",)) as world:
        assert world.acp("run", PROMPT, "--all").exit_code == 0
        api = world.fleet.repos["api"]
        write_files(api, dirty)
        before = git(api, "status", "--porcelain")
        ending = world.acp("accept", world.record().batches[0].id)
        assert ending.exit_code == 6, said(ending)
        assert next(iter(dirty)) in ending.errors
        assert (git(api, "rev-parse", "HEAD"), git(api, "status", "--porcelain")) == (world.bases["api"], before)


def test_a_dirty_checkout_is_no_hindrance_to_a_run_and_stays_as_it_is(tmp_path: Path) -> None:
    with world_of(tmp_path, names=("api",)) as world:
        api = world.fleet.repos["api"]
        write_files(api, {"limits.py": "LIMIT = 99\n", "draft.txt": "mine\n"})
        ending = world.acp("run", PROMPT, "--all")
        assert ending.exit_code == 0, said(ending)
        assert tree(api, str(world.record().runs[0].branch)) == EDITED
        assert (api / "limits.py").read_text("utf-8") == "LIMIT = 99\n"
        assert git(api, "status", "--porcelain").split() == ["M", "limits.py", "??", "draft.txt"]
