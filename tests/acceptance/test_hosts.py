"""Hosts that share a record and no files: what one queues, another clones, does, and gives back."""

import signal
import subprocess
from pathlib import Path

import pytest

from acp_agent.domain.location import ServerLocation
from acp_agent.testing.repos import git, tree
from acp_agent.testing.script import Rule, Step
from tests.crash.story import EDITED, FILES, PROMPT, Pace, rules
from tests.crash.world import PATIENCE, World

CALM = Pace(thinking=0.05, gap=0.001, working=0.02)
QUEUED = ("--all", "--yes", "--detach", "--queue", "any")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A world of one project, whose record is in either database."""
    location: ServerLocation | None = request.getfixturevalue("postgres") if request.param == "postgres" else None
    return World(tmp_path, ["alpha"], rules(["alpha"], CALM), FILES, url=location.url if location else "")


def publish(world: World) -> Path:
    """Put the project's repository where every host can clone it from; returns where that is."""
    origin = world.root / "origin" / "alpha.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", str(world.fleet.repos["alpha"]), str(origin)], check=True)
    text = world.fleet.projects_file.read_text("utf-8")
    world.fleet.projects_file.write_text(text.replace('path = "alpha"', f'path = "alpha"\nurl = "{origin}"'), "utf-8")
    return origin


def other_host(world: World) -> dict[str, str]:
    """The environment of a second host: with a server its own state directory, else only its own name."""
    home = {"ACP_HOME": str(world.root / "state-b")} if world.url else {}
    return {"ACP_HOST": "host-b", **home}


def work_elsewhere(world: World, until: str = "ended") -> None:
    """Have a worker that has no checkout drive what is queued until the newest run is `until`, then tell it to end."""
    checkout, aside = world.fleet.repos["alpha"], world.root / "aside"
    checkout.rename(aside)
    with world.start("worker", environment=other_host(world)) as worker:
        world.wait_until(worker, lambda record: until in (record.runs[0].status, record.runs[0].last_type))
        worker.signal(signal.SIGTERM)
        assert worker.wait(PATIENCE).exit_code == 0
    aside.rename(checkout)


@pytest.mark.bwrap
def test_a_host_without_the_checkout_clones_it_and_its_commit_is_accepted_where_it_was_asked_for(world: World) -> None:
    with world:
        origin = publish(world)
        assert world.acp("run", PROMPT, *QUEUED).exit_code == 0
        work_elsewhere(world)
        [run] = world.record().runs
        assert (run.reason, run.message) == ("end_turn", "")
        home = Path(other_host(world).get("ACP_HOME", world.state))
        assert list(home.glob("worktrees/*/*")) == []
        [clone] = home.glob("clones/*/.git")
        assert git(clone, "for-each-ref", "--format=%(refname)") == "refs/remotes/origin/main"
        assert git(origin, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
        checkout = world.fleet.repos["alpha"]
        assert git(checkout, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
        assert "return 22" in world.acp("diff", run.id).output
        accepted = world.acp("accept", run.id)
        assert accepted.exit_code == 0, accepted.errors
        assert git(checkout, "rev-parse", "main") == run.commit_sha
        landed = tree(checkout)
        assert {name: landed[name] for name in EDITED} == EDITED
        assert git(checkout, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
        again = world.acp("accept", run.id)
        assert (again.exit_code, "accepted already" in again.errors) == (5, True)


def test_a_read_only_run_reads_a_clone(tmp_path: Path) -> None:
    say = [
        Rule(turn=0, reply=Step(tools=[("read_file", {"path": "b.py"})])),
        Rule(turn=1, reply=Step(text="It is 10.")),
    ]
    with World(tmp_path, ["alpha"], say, FILES) as world:
        publish(world)
        assert world.acp("run", "what is the limit?", "--read-only", *QUEUED).exit_code == 0
        work_elsewhere(world)
        [run] = world.record().runs
        results = [event.data["result"] for event in world.record().events[run.id] if event.type == "tool_finished"]
        assert [("LIMIT = 10" in result["output"], result["status"]) for result in results] == [(True, "ok")]
        assert list(world.state.glob("worktrees/read/*")) == []


def test_a_commit_that_is_not_at_the_url_ends_the_run_with_its_name(tmp_path: Path) -> None:
    with World(tmp_path, ["alpha"], [], FILES) as world:
        publish(world)
        checkout = world.fleet.repos["alpha"]
        git(checkout, "commit", "--quiet", "--allow-empty", "-m", "not pushed")
        assert world.acp("run", PROMPT, "--read-only", *QUEUED).exit_code == 0
        work_elsewhere(world)
        [run] = world.record().runs
        assert (run.reason, git(checkout, "rev-parse", "--short=10", "HEAD") in run.message) == ("error", True)


def test_a_run_that_no_worker_can_place_stays_queued_and_ps_says_why(tmp_path: Path) -> None:
    with World(tmp_path, ["alpha"], [Rule(reply=Step(text="Done."))], FILES) as world:
        assert world.acp("run", PROMPT, "--read-only", *QUEUED).exit_code == 0
        work_elsewhere(world, until="passed_over")
        [run] = world.record().runs
        checkout = world.fleet.repos["alpha"]
        why = f"host-b leaves it: {checkout} is not here, and project alpha has no url to clone"
        assert (run.status, run.last_text) == ("queued", f"queued; {why}"[:160])
        assert "host-b leaves it" in world.acp("ps").output
        # Where the checkout is, the next worker takes it.
        with world.start("worker") as worker:
            world.wait_until(worker, lambda record: record.runs[0].status == "ended")
            worker.signal(signal.SIGTERM)
            assert worker.wait(PATIENCE).exit_code == 0


STRICT = '[[policy.rules]]\nverdict = "deny"\ncommand = "git push *"\n'


def test_a_host_with_another_policy_leaves_a_run_and_one_with_its_own_keys_takes_it(tmp_path: Path) -> None:
    config = STRICT + '[providers.openai]\nkeys = ["env:OPENAI_API_KEY"]\n'
    with World(tmp_path, ["alpha"], [Rule(reply=Step(text="Done."))], FILES, config=config) as world:
        assert world.acp("run", PROMPT, "--read-only", *QUEUED).exit_code == 0
        other = world.root / "other.toml"
        environment = {"ACP_HOST": "host-b", "ACP_CONFIG": str(other)}
        other.write_text(config.replace("deny", "ask"), "utf-8")
        with world.start("worker", environment=environment) as worker:
            world.wait_until(worker, lambda record: record.runs[0].last_type == "passed_over")
            worker.signal(signal.SIGTERM)
            assert worker.wait(PATIENCE).exit_code == 0
        [run] = world.record().runs
        why = "host-b leaves it: config.toml says other policy here than where it was queued"
        assert (run.status, run.last_text) == ("queued", f"queued; {why}")
        assert why in " ".join(world.acp("ps").output.split())
        other.write_text(f'# the same, elsewhere\n{STRICT}[sandbox]\nlevel = "prefer"\n', "utf-8")
        with world.start("worker", environment=environment) as worker:
            world.wait_until(worker, lambda record: record.runs[0].status == "ended")
            worker.signal(signal.SIGTERM)
            assert worker.wait(PATIENCE).exit_code == 0


def test_a_url_with_a_password_is_not_put_on_record(tmp_path: Path) -> None:
    with World(tmp_path, ["alpha"], [], FILES) as world:
        text = world.fleet.projects_file.read_text("utf-8")
        url = "https://me:" + "word@example.org/alpha.git"
        world.fleet.projects_file.write_text(text.replace('path = "alpha"', f'path = "alpha"\nurl = "{url}"'), "utf-8")
        refused = world.acp("run", PROMPT, "--read-only", *QUEUED)
        assert (refused.exit_code, "its url holds a password" in refused.errors) == (2, True)
        assert world.record().runs == ()
