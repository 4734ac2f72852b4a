"""`acp take` and `acp give`: a person works in the workplace of a run, and the run goes on with what they did."""

from pathlib import Path

import pytest

from acp_agent.testing.script import Rule, Step
from tests.crash.world import PATIENCE, Record, World

READ = ("read_file", {"path": "a.txt"})
WAIT = ("shell", {"command": "until [ -e go ]; do sleep 0.05; done; rm go"})
EDIT = ("edit_file", {"path": "a.txt", "edits": [{"old": "person", "new": "agent"}]})
FILES = {"a.txt": "one\n", "b.txt": "two\n"}
AGENT = [Rule(turns=(Step(tools=[READ, WAIT]), Step(tools=[READ]), Step(tools=[EDIT]), Step(text="Done.")))]
TOLD = "[A person changed files: a.txt. They say: mind the line. Read these files again before you change them.]"


def kinds(record: Record) -> list[str]:
    """What is on record of the one run."""
    return [event.type for events in record.events.values() for event in events]


@pytest.mark.bwrap
def test_a_person_takes_a_run_that_another_process_drives_and_gives_it_back(tmp_path: Path) -> None:
    with World(tmp_path, ("alpha",), AGENT, FILES) as world:
        with world.start("run", "mend", "--all", "-o", "quiet") as process:
            world.wait_until(process, lambda record: kinds(record).count("tool_started") == 2)
            batch_id = world.record().batches[0].id
            with world.start("take", batch_id) as taking:
                world.wait_until(taking, lambda record: "taken" in kinds(record))
                place = world.state / "worktrees" / batch_id / "alpha"
                # What it does ends by itself, and take waits for that.
                (place / "go").touch()
                taken = taking.wait(PATIENCE)
            assert process.wait(PATIENCE).exit_code == 4
        assert (taken.exit_code, taken.output.strip()) == (0, str(place)), taken.errors
        assert kinds(world.record()).count("model_called") == len(world.server.requests) == 1
        assert (world.acp("resume").exit_code, world.acp("ps").output.count("paused")) == (5, 2)
        (place / "a.txt").write_text("person\n", "utf-8")
        given = world.acp("give", batch_id, "-m", "mind the line.", "-o", "quiet")
        assert given.exit_code == 0, given.errors
        assert "given back: 1 file changed +1 -1" in given.errors
        assert world.server.requests[1].prompt == TOLD
        (run,) = world.record().runs
        assert (run.reason, run.files, "+agent" in world.acp("diff", batch_id).output) == ("end_turn", 1, True)
        assert world.acp("take", batch_id).exit_code == 6
