"""`acp stop --all`: nothing begins in any process until `acp resume --all`, restarts included."""

import json
from pathlib import Path

import pytest

from acp_agent.domain.hold import BEGINS
from acp_agent.testing.script import Rule, Step
from tests.crash.checker import Ledger, violations
from tests.crash.story import FILES, PROMPT, Pace, rules
from tests.crash.world import PATIENCE, World

NAMES = ("alpha",)
SLOW = Pace(thinking=1.0, gap=0.002, working=0.1)


def begun_after(world: World, moment: float) -> list[str]:
    """The kinds of intents that were put on record after a moment."""
    events = (event for events in world.record().events.values() for event in events)
    return [event.type for event in events if event.type in BEGINS and event.ts > moment]


def hold_of(world: World) -> dict[str, object]:
    """What `acp ps` says of the hold."""
    found: dict[str, object] = json.loads(world.acp("ps", "-o", "json").output)["hold"]
    return found


@pytest.mark.bwrap
def test_stop_lets_nothing_begin_until_resume(tmp_path: Path) -> None:
    with World(tmp_path, NAMES, rules(NAMES, SLOW), FILES) as world:
        with world.start("run", PROMPT, "--all") as process:
            world.server.wait_for_requests(1)
            stopped = world.acp("stop", "--all", "-m", "the bill")
            assert stopped.exit_code == 0, stopped.errors
            ending = process.wait(PATIENCE)
        assert ending.exit_code == 4
        assert "acp resume --all" in ending.errors
        hold = hold_of(world)
        assert (hold["now"], hold["note"]) == (False, "the bill")
        assert str(hold["actor"]).startswith("cli:")
        # Restarts included: neither the same work nor new work begins.
        assert (world.acp("resume").exit_code, world.acp("run", PROMPT, "--all").exit_code) == (4, 6)
        assert "the bill" in world.acp("doctor").output
        assert begun_after(world, float(str(hold["since"]))) == []
        assert {run.status for run in world.record().runs} == {"queued"}
        resumed = world.acp("resume", "--all")
        assert resumed.exit_code == 0, resumed.errors
        assert hold_of(world) is None
        assert violations(world, Ledger()) == []


@pytest.mark.bwrap
def test_stop_now_ends_the_tools_under_way(tmp_path: Path) -> None:
    long = "echo begun > begun.txt; sleep 4321"
    turns = (Step(tools=[("shell", {"command": long})]), Step(text="Done."))
    with World(tmp_path, NAMES, [Rule(turns=turns)], FILES) as world:
        with world.start("run", PROMPT, "--all") as process:
            process.wait_until(lambda: any("4321" in line for line in world.processes()), PATIENCE)
            assert world.acp("stop", "--all", "--now").exit_code == 0
            assert process.wait(PATIENCE).exit_code == 4
        assert [line for line in world.processes() if "4321" in line] == []
        run = world.record().runs[0]
        finished = [event for event in world.record().events[run.id] if event.type == "tool_finished"]
        assert [event.data["result"]["status"] for event in finished] == ["cancelled"]
        assert "everything was stopped" in finished[0].data["result"]["output"]
        assert world.acp("resume", "--all").exit_code == 0
        assert world.record().runs[0].reason == "end_turn"


def test_stop_alone_says_what_it_would_stop(tmp_path: Path) -> None:
    with World(tmp_path, NAMES, [], FILES) as world:
        refused = world.acp("stop")
        assert (refused.exit_code, refused.output) == (2, "")
        assert "acp cancel ID" in refused.errors
