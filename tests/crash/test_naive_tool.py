"""The control of the kill campaigns: what a tool repeats that wrongly calls itself repeatable, the rig does see."""

from collections import Counter
from pathlib import Path

import pytest

from acp_agent.testing.script import Rule, Step
from tests.crash.story import EFFECTS, FILES
from tests.crash.world import CONFIG, PATIENCE, Record, World

NAIVE, HONEST = "call_0_0", "call_1_0"
# The first try of each call hangs once its effect is there, until it is killed.
TOOL = """
[tools.{name}]
description = "Append a line to a log."
risk = 1
repeatable = {repeatable}
parameters = "line: str"
command = ["sh", "-c", "echo $1 >> {log}; test -e $1.seen || {{ touch $1.seen; exec sleep 600; }}", "sh", "{{line}}"]
"""
TOOLS = "".join(
    TOOL.format(name=name, repeatable=repeatable, log=EFFECTS)
    for name, repeatable in (("naive", "true"), ("honest", "false"))
)
RULE = Rule(
    turns=[
        Step(tools=[("naive", {"line": NAIVE})]),
        Step(tools=[("honest", {"line": HONEST})]),
        Step(text="Done."),
    ]
)


@pytest.mark.crash
@pytest.mark.bwrap
def test_the_effect_of_a_naive_tool_repeats_where_that_of_an_honest_one_waits_for_a_person(tmp_path: Path) -> None:
    with World(tmp_path, ["alpha"], [RULE], FILES, config=CONFIG + TOOLS) as world:
        _kill_after_the_effect(world, NAIVE, "run", "note it", "--all", "--yes")
        _kill_after_the_effect(world, HONEST, "resume")
        ending = world.acp("resume")
        record = world.record()
        assert (ending.exit_code, _effects(world)) == (4, {NAIVE: 2, HONEST: 1}), ending.errors
        (run,) = record.runs
        assert run.waiting_for == "outcome_unknown"
        assert world.acp("approve", f"{record.batches[0].id}/alpha", "--done").exit_code == 0
        assert _effects(world) == {NAIVE: 2, HONEST: 1}


def _kill_after_the_effect(world: World, call_id: str, *words: str) -> None:
    with world.start(*words) as process:
        process.close_input()
        world.wait_until(process, lambda record: any(run.worktree for run in record.runs))
        # It is touched once the line is in the log.
        seen = _worktree(world.record()) / f"{call_id}.seen"
        process.wait_until(seen.exists, PATIENCE)
        process.kill()
        process.wait()


def _effects(world: World) -> Counter[str]:
    record = world.record()
    log = _worktree(record) / EFFECTS if record.runs and record.runs[0].worktree else None
    return Counter(log.read_text("utf-8").split() if log is not None and log.exists() else ())


def _worktree(record: Record) -> Path:
    return Path(str(record.runs[0].worktree))
