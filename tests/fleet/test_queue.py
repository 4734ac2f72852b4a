"""More work than may wait is refused before anything is spent."""

from pathlib import Path

from acp_agent.testing.script import Rule, Step
from tests.crash.world import World


def test_a_full_queue_refuses_new_work(tmp_path: Path) -> None:
    config = "[queue]\nmax_runs = 1\n"
    with World(tmp_path, ("alpha", "beta"), [Rule(reply=Step(text="Done."))], {"a": "a\n"}, config=config) as world:
        refused = world.acp("run", "look", "--all", "--read-only")
        assert (refused.exit_code, "max_runs under [queue]" in refused.errors) == (6, True)
        assert world.record().runs == ()
        assert world.acp("run", "look", "-p", "alpha", "--read-only", "-o", "quiet").exit_code == 0
