"""Crash points, in real processes that die at them."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from acp_agent.testing.crash import CrashPoints
from acp_agent.testing.killer import Victim

PROGRAM = """
import os
from acp_agent.testing.crash import CrashPoints
points = CrashPoints.from_env(os.environ)
for number in range(1, 4):
    for name in ("journal.before", "journal.after"):
        points.hit(name)
        print(f"{name} {number}", flush=True)
"""
ALL = [f"{name} {number}" for number in (1, 2, 3) for name in ("journal.before", "journal.after")]


def passed(environment: dict[str, str]) -> tuple[int, Sequence[str]]:
    """The exit code, and the points that were survived."""
    with Victim([sys.executable, "-c", PROGRAM], environment=environment) as victim:
        ending = victim.wait()
    assert ending.errors == ""
    return ending.exit_code, ending.output.splitlines()


@pytest.mark.crash
@pytest.mark.parametrize(
    ("specification", "survived"),
    [
        ("journal.after:2", ALL[:3]),
        ("journal.before", []),
        ("*:5", ALL[:4]),
        ("journal.after:3, journal.before:2", ALL[:2]),
    ],
)
def test_a_process_dies_at_the_asked_pass_of_a_point(specification: str, survived: list[str]) -> None:
    assert passed({"ACP_CRASH_AT": specification}) == (-signal.SIGKILL, survived)


def test_a_point_never_reached_changes_nothing() -> None:
    assert passed({"ACP_CRASH_AT": "journal.after:4,other:1"}) == (0, ALL)
    assert passed({"ACP_CRASH_AT": ""}) == (0, ALL)


@pytest.mark.crash
def test_the_log_tells_all_points_passed_the_last_one_too(tmp_path: Path) -> None:
    log = tmp_path / "points"
    passed({"ACP_CRASH_LOG": str(log), "ACP_CRASH_AT": "*:3"})
    assert log.read_text().splitlines() == ["journal.before", "journal.after", "journal.before"]


@pytest.mark.crash
def test_a_process_can_freeze_at_a_point_and_go_on_later() -> None:
    with Victim([sys.executable, "-c", PROGRAM], environment={"ACP_CRASH_AT": "journal.after:2:stop"}) as victim:
        victim.wait_for_line("journal.before 2")
        _, status = os.waitpid(victim.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert victim.alive
        victim.signal(signal.SIGCONT)
        ending = victim.wait()
    assert (ending.exit_code, ending.killed, ending.output.splitlines()) == (0, False, ALL)


def test_passes_are_counted() -> None:
    points = CrashPoints()
    for name in ("a", "b", "a"):
        points.hit(name)
    assert points.counts == {"a": 2, "b": 1, "*": 3}


@pytest.mark.parametrize("specification", [":3", "a:0", "a:0:stop", ":"])
def test_a_specification_that_names_no_point_is_refused(specification: str) -> None:
    with pytest.raises(ValueError, match="is not NAME, NAME:COUNT"):
        CrashPoints(specification)
