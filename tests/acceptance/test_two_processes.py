"""Several processes on one record: who comes second is refused or waits, and nothing is done twice."""

import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from acp_agent.testing.killer import Victim
from acp_agent.testing.repos import tree
from acp_agent.testing.script import Rule, Step
from tests.crash.checker import Ledger, violations
from tests.crash.story import FILES, PROMPT, Pace, rules
from tests.crash.trial import Trial, Window
from tests.crash.world import PATIENCE, Record, World

NAMES = ("alpha", "beta")
READS = {"read_file", "list_files", "search"}
CALM = Pace(thinking=0.15, gap=0.002, working=0.1)
SLOW = Pace(thinking=2.0, gap=0.002, working=0.1)
"""So slow that another process has time to start and to say something."""


def world_of(root: Path, pace: Pace = CALM) -> World:
    return World(root, NAMES, rules(NAMES, pace), FILES)


def in_a(kind: str, tool: str | None = None) -> Callable[[Record], bool]:
    """Whether some run is in the middle of a call."""

    def is_open(record: Record) -> bool:
        calls = [event for run in record.runs for event in record.open_calls(run)]
        return any(call.type == kind and tool in (None, call.data.get("tool")) for call in calls)

    return is_open


def all_started(record: Record) -> bool:
    """Whether every run has asked its model."""
    return len(record.runs) == len(NAMES) and all(run.steps > 0 for run in record.runs)


@pytest.mark.bwrap
def test_resume_is_refused_while_another_process_works(tmp_path: Path) -> None:
    with world_of(tmp_path, SLOW) as world, world.start("run", PROMPT, "--all") as process:
        world.wait_until(process, all_started)
        batch_id = world.record().batches[0].id
        named, newest = world.acp("resume", batch_id), world.acp("resume")
        assert process.wait(PATIENCE).exit_code == 0
        assert (named.exit_code, newest.exit_code) == (6, 5)
        assert "another process" in named.errors
        assert violations(world, Ledger()) == []


@pytest.mark.bwrap
@pytest.mark.crash
def test_of_several_that_resume_at_once_each_run_has_one_driver(tmp_path: Path) -> None:
    with world_of(tmp_path, Pace(thinking=0.05, gap=0.0, working=0.05)) as world:
        with world.start("run", PROMPT, "--all") as process:
            world.wait_until(process, all_started)
            process.kill()
        batch_id = world.record().batches[0].id
        crowd = [world.start("resume", batch_id, "-o", "quiet") for _ in range(4)]
        codes = sorted(member.wait(PATIENCE).exit_code for member in crowd)
        errors = [member.wait().errors for member in crowd]
        for member in crowd:
            member.close()
        assert set(codes) <= {0, 4, 5, 6}, errors
        assert codes[0] in (0, 4), errors
        trial = Trial(world, Random(1), Window(0.0, 0.0), most_kills=0)
        trial.ledger.kills = 1
        while (words := trial.next_command(world.record())) is not None:
            world.acp(*words)
        assert violations(world, trial.ledger) == []


@pytest.mark.bwrap
@pytest.mark.parametrize(
    ("during", "number", "code"),
    [(in_a("model_called"), signal.SIGINT, 130), (in_a("tool_started", "shell"), signal.SIGTERM, 143)],
    ids=["ctrl-c in a model call", "term in a command"],
)
def test_an_interrupted_batch_can_be_resumed(
    tmp_path: Path, during: Callable[[Record], bool], number: signal.Signals, code: int
) -> None:
    with world_of(tmp_path) as world:
        with world.start("run", PROMPT, "--all") as process:
            world.wait_until(process, lambda record: all_started(record) and during(record))
            process.signal(number)
            interrupted = process.wait(PATIENCE)
        assert interrupted.exit_code == code, interrupted
        assert world.processes() == []
        record = world.record()
        assert record.owned == ()
        assert {run.status for run in record.runs} == {"queued"}
        # What only looks may stay open and is done again; nothing else is left in the air.
        assert {call.data.get("tool") for run in record.runs for call in record.open_calls(run)} <= READS
        assert f"acp resume {record.batches[0].id}" in interrupted.errors
        resumed = world.acp("resume")
        assert resumed.exit_code == 0, resumed
        after = world.record()
        assert {run.reason for run in after.runs} == {"end_turn"}
        for run in after.runs:
            found = tree(world.fleet.repos[run.project], str(run.branch))
            effects = found["effects.log"].split() if "effects.log" in found else []
            stopped = [event for event in after.events[run.id] if _was_stopped(event.data)]
            assert len(effects) == len(set(effects))
            assert len(effects) >= 2 - len(stopped)
            # What is repeatable or can be verified goes on as after a kill; only a command cannot.
            assert [event.data["tool"] for event in stopped] in ([], ["shell"])


@pytest.mark.bwrap
def test_a_search_that_ctrl_c_cut_off_is_done_again(tmp_path: Path) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\ncase "$*" in *" grep "*) sleep 5;; esac\nexec {shutil.which("git")} "$@"\n', "utf-8")
    slow.chmod(0o755)
    path = f"{slow.parent}:{os.environ['PATH']}"
    with World(tmp_path / "world", NAMES[:1], rules(NAMES[:1], CALM), FILES) as world:
        with world.start("run", PROMPT, "--all", environment={"PATH": path}) as process:
            world.wait_until(process, in_a("tool_started", "search"))
            process.signal(signal.SIGINT)
            assert process.wait(PATIENCE).exit_code == 130
        resumed = world.acp("resume")
        assert resumed.exit_code == 0, resumed
        assert violations(world, Ledger(kills=1)) == []


def _was_stopped(data: dict[str, object]) -> bool:
    result = data.get("result")
    return isinstance(result, dict) and result["status"] == "cancelled"


@pytest.mark.bwrap
def test_cancel_from_another_process_ends_the_run_with_what_it_has(tmp_path: Path) -> None:
    with world_of(tmp_path, SLOW) as world, world.start("run", PROMPT, "--all") as process:
        world.wait_until(process, lambda record: all(run.steps >= 3 for run in record.runs) and bool(record.runs))
        batch_id = world.record().batches[0].id
        assert world.acp("cancel", f"{batch_id}/beta", "-m", "changed my mind").exit_code == 0
        assert process.wait(PATIENCE).exit_code == 1
        runs = {run.project: run for run in world.record().runs}
        assert {name: run.reason for name, run in runs.items()} == {"alpha": "end_turn", "beta": "cancelled"}
        kept = tree(world.fleet.repos["beta"], str(runs["beta"].commit_sha))
        assert "return 11" in kept["a.py"]


@pytest.mark.bwrap
def test_cancel_ends_what_nobody_drives(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        with world.start("run", PROMPT, "--all") as process:
            world.wait_until(process, all_started)
            process.kill()
        batch_id = world.record().batches[0].id
        assert world.acp("cancel", batch_id).exit_code == 0
        ended = world.acp("resume", batch_id)
        record = world.record()
        assert ended.exit_code in (1, 5), ended
        assert {(run.status, run.reason) for run in record.runs} == {("ended", "cancelled")}


ASKING = Rule(system="Project: alpha\n", turns=[Step(tools=[("shell", {"command": "sleep 0.3"})]), Step(text="Done.")])
LONG = Rule(system="Project: beta\n", turns=[Step(text="Never.", delay=3600.0)])


@pytest.mark.bwrap
def test_an_answer_from_another_process_is_taken_up(tmp_path: Path) -> None:
    config = '[roles.careful]\npolicy = "ask"\n'
    with World(tmp_path, NAMES, [ASKING, LONG], FILES, config=config) as world:
        with world.start("run", PROMPT, "--all", "--role", "careful") as process:
            world.wait_until(process, lambda record: any(run.waiting_for == "approval" for run in record.runs))
            batch_id = world.record().batches[0].id
            answered = world.acp("approve", f"{batch_id}/alpha")
            # The other run never ends by itself: an answer that waited for it would never be heard.
            world.wait_until(process, lambda record: any(run.status == "ended" for run in record.runs))
            assert world.acp("cancel", f"{batch_id}/beta").exit_code == 0
            worked = process.wait(PATIENCE)
        assert answered.exit_code == 0, answered
        assert worked.exit_code == 1, worked
        ends = {run.project: run.reason for run in world.record().runs}
        assert ends == {"alpha": "end_turn", "beta": "cancelled"}


def freeze(world: World, process: Victim) -> None:
    """Stop it within a model call; not within a write, when it would hold SQLite's lock as long as it is frozen."""
    while True:
        world.wait_until(process, lambda record: all_started(record) and in_a("model_called")(record))
        process.signal(signal.SIGSTOP, whole_group=False)
        if is_writable(world) and in_a("model_called")(world.record()):
            return
        process.signal(signal.SIGCONT, whole_group=False)


def is_writable(world: World) -> bool:
    """Whether nobody holds the database's lock."""
    with closing(sqlite3.connect(world.database, timeout=0.0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return False
        return True


@pytest.mark.bwrap
@pytest.mark.crash
@pytest.mark.slow
def test_a_frozen_process_that_wakes_after_another_took_over_changes_nothing(tmp_path: Path) -> None:
    slow = Pace(thinking=0.6, gap=0.0, working=0.02)
    with world_of(tmp_path, slow) as world, world.start("run", PROMPT, "--all", "-o", "quiet") as zombie:
        freeze(world, zombie)
        batch_id = world.record().batches[0].id
        early = world.acp("resume", batch_id)
        assert early.exit_code == 6, early
        deadline = time.monotonic() + PATIENCE
        while world.record().owned and any(run.driven for run in world.record().runs):
            assert time.monotonic() < deadline, "the lease does not run out"
            time.sleep(0.1)
        resumed = world.acp("resume", batch_id)
        assert resumed.exit_code == 0, resumed
        before = world.record()
        zombie.signal(signal.SIGCONT, whole_group=False)
        woken = zombie.wait(PATIENCE)
        after = world.record()
        assert "Traceback" not in woken.errors, woken
        for run in after.runs:
            late = after.events[run.id][len(before.events[run.id]) :]
            assert {event.type for event in late} <= {"late_result"}
            assert [event.type for event in after.events[run.id]].count("run_ended") == 1
            assert tree(world.fleet.repos[run.project], str(run.branch))["effects.log"].split() == [
                "call_2_0",
                "call_4_1",
            ]
        assert after.runs[0]._replace(updated_at=0) == before.runs[0]._replace(updated_at=0)
