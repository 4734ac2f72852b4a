"""The checker itself: it finds each kind of broken promise, so that its silence means something."""

import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from acp_agent.store.reads import EventRow, RunRow
from acp_agent.testing.killer import MARKER_VARIABLE
from acp_agent.testing.repos import git
from acp_agent.testing.script import Rule, Step
from tests.crash.checker import Ledger, violations
from tests.crash.story import EFFECTS, FILES, PROMPT, rules, turns
from tests.crash.world import Record, World
from tests.crash.writes import FAST, NAMES

pytestmark = [pytest.mark.crash, pytest.mark.bwrap]


@pytest.fixture(scope="module")
def done(clean_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world whose batch has ended, undisturbed."""
    with World(tmp_path_factory.mktemp("done") / "world", NAMES, rules(NAMES, FAST), FILES) as world:
        assert world.acp("run", PROMPT, "--all", "--yes").exit_code == 0
        yield world


def test_an_undisturbed_run_breaks_no_promise(done: World) -> None:
    assert violations(done, Ledger()) == []


def with_events(record: Record, change: Callable[[list[EventRow]], list[EventRow]]) -> Record:
    """The record with other events of its one run, numbered anew."""
    run = record.runs[0]
    events = [row._replace(seq=seq) for seq, row in enumerate(change(list(record.events[run.id])), 1)]
    return replace(record, events={**record.events, run.id: tuple(events)})


def doubled(kind: str, tool: str | None = None) -> Callable[[Record], Record]:
    """The first event of a kind (and tool), recorded twice."""

    def change(events: list[EventRow]) -> list[EventRow]:
        at = next(i for i, row in enumerate(events) if row.type == kind and tool in (None, row.data.get("tool")))
        return [*events[: at + 1], *events[at:]]

    return lambda record: with_events(record, change)


def without(kind: str) -> Callable[[Record], Record]:
    """No events of a kind."""
    return lambda record: with_events(record, lambda events: [row for row in events if row.type != kind])


def taken_over_within(tool: str) -> Callable[[Record], Record]:
    """A driver change between the beginning and the end of a tool."""

    def change(events: list[EventRow]) -> list[EventRow]:
        at = next(i for i, row in enumerate(events) if row.type == "tool_finished" and row.data["tool"] == tool)
        return [*events[:at], events[at]._replace(type="resumed", data={"type": "resumed", "fence": 2}), *events[at:]]

    return lambda record: with_events(record, change)


def called_again(*, as_lost: bool) -> Callable[[Record], Record]:
    """A second intent for a reply, with or without the booking of the first as lost."""

    def change(events: list[EventRow]) -> list[EventRow]:
        at = next(i for i, row in enumerate(events) if row.type == "model_called")
        call = events[at].data
        lost = {"type": "model_failed", "call_id": call["call_id"], "model": call["model"], "fault": "lost"}
        failed = events[at]._replace(type="model_failed", data={**lost, "message": "", "cost": 0.0})
        return [*events[: at + 1], *([failed] if as_lost else []), *events[at:]]

    return lambda record: with_events(record, change)


def column(**values: Any) -> Callable[[Record], Record]:
    """Other columns in the run's row."""

    def tamper(record: Record) -> Record:
        row: RunRow = record.runs[0]._replace(**values)
        return replace(record, runs=(row,))

    return tamper


def budget(**values: Any) -> Callable[[Record], Record]:
    """Other money in the batch's budget."""

    def tamper(record: Record) -> Record:
        scope = f"batch:{record.batches[0].id}"
        return replace(record, budgets={**record.budgets, scope: record.budgets[scope]._replace(**values)})

    return tamper


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (doubled("run_ended"), "2 run_ended"),
        (doubled("tool_started", "shell"), "began 2 times"),
        (doubled("tool_finished", "shell"), "was closed 2 times"),
        (doubled("tool_started", "read_file"), "began 2 times"),
        (doubled("committed"), "2 committed"),
        (without("run_ended"), "0 run_ended"),
        (taken_over_within("shell"), "finished by a driver that did not start it"),
        (called_again(as_lost=False), "7 model calls, 6 replies, 0 lost"),
        (called_again(as_lost=True), "1 calls lost by 0 kills"),
        (called_again(as_lost=True), "booked as lost after model_called"),
        (column(steps=5), "column steps says 5"),
        (column(status="running"), "column status says alive"),
        (column(cost=0.0), "column cost says 0.0"),
        (column(driven=True), "somebody drives it"),
        (budget(reserved=0.01), "set aside"),
        (budget(spent=99.0), "has spent 99.0"),
        (lambda record: replace(record, integrity=("wrong # of entries in index",)), "integrity check"),
        (lambda record: replace(record, owned=("b_x",)), "streams with a driver"),
        (lambda record: replace(record, runs=()), "not one of each project"),
    ],
)
def test_a_tampered_record_is_reported(done: World, tamper: Callable[[Record], Record], said: str) -> None:
    problems = violations(done, Ledger(), tamper(done.record()))
    assert [problem for problem in problems if said in problem], problems


@contextmanager
def a_second_effect(world: World) -> Iterator[None]:
    run = world.record().runs[0]
    place, before = str(run.worktree), git(str(run.worktree), "rev-parse", "HEAD")
    with (Path(place) / EFFECTS).open("a", encoding="utf-8") as effects:
        effects.write("call_2_0\n")
    git(place, "commit", "--quiet", "--all", "--amend", "--no-edit")
    yield
    git(place, "reset", "--quiet", "--hard", before)


@contextmanager
def a_second_commit(world: World) -> Iterator[None]:
    place = str(world.record().runs[0].worktree)
    git(place, "commit", "--quiet", "--allow-empty", "-m", "again")
    yield
    git(place, "reset", "--quiet", "--hard", "HEAD~")


@contextmanager
def a_file(path: Callable[[World], Path], world: World) -> Iterator[None]:
    path(world).write_text("", "utf-8")
    yield
    path(world).unlink()


@contextmanager
def a_process(world: World) -> Iterator[None]:
    environment = {**os.environ, MARKER_VARIABLE: world.marker}
    with subprocess.Popen(["cat"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"it is up\n")
        process.stdin.flush()
        process.stdout.readline()
        yield
        process.kill()


@contextmanager
def a_second_question(world: World) -> Iterator[None]:
    import json

    body = json.dumps(dict(world.requests(NAMES[0])[2].body)).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{world.server.url}/chat/completions", body)) as reply:
        reply.read()
    yield


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (a_second_effect, "has ['call_2_0', 'call_4_1', 'call_2_0'], expected ['call_2_0', 'call_4_1']"),
        (a_second_commit, "commits on acp/"),
        (lambda world: a_file(lambda it: it.fleet.repos["solo"] / "stray.txt", world), "the checkout is not clean"),
        (lambda world: a_file(lambda it: it.fleet.repos["solo"] / ".git" / "x.lock", world), "lock files are left"),
        (
            lambda world: a_file(lambda it: Path(str(it.record().runs[0].worktree)) / "x", world),
            "worktree is not clean",
        ),
        (a_process, "processes are left"),
        (a_second_question, "turn 2 was asked 2 times"),
    ],
)
def test_a_tampered_world_is_reported(done: World, tamper: Callable[[World], object], said: str) -> None:
    with tamper(done):  # type: ignore[attr-defined]
        problems = violations(done, Ledger())
    assert [problem for problem in problems if said in problem], problems


def test_a_command_that_really_runs_twice_is_reported(tmp_path: Path) -> None:
    steps = [
        replace(step, tools=[(name, _twice(given)) for name, given in step.tools]) if step.tools else step
        for step in turns(FAST)
    ]
    assert steps != [Step()]
    with World(tmp_path, NAMES, [Rule(contains=PROMPT, turns=steps)], FILES) as world:
        assert world.acp("run", PROMPT, "--all", "--yes").exit_code == 0
        problems = violations(world, Ledger())
    doubled_lines = "has ['call_2_0', 'call_2_0', 'call_4_1', 'call_4_1'], expected ['call_2_0', 'call_4_1']"
    assert [problem for problem in problems if doubled_lines in problem], problems


def _twice(given: object) -> dict[str, object]:
    assert isinstance(given, dict)
    return {**given, "command": f"{given['command']}; {given['command']}"} if "command" in given else given
