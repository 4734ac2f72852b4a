"""The killer, on real processes."""

import os
import signal
import sys
from pathlib import Path
from random import Random

import pytest

from acp_agent.testing.killer import (
    Ending,
    Victim,
    kill_at_random,
    kill_leftovers,
    kill_when,
    leftovers,
    wait_for_no_leftovers,
)

pytestmark = pytest.mark.crash

FOREVER = "import time; print('ready', flush=True); time.sleep(3600)"
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {FOREVER!r}], start_new_session="new" in sys.argv)
child.wait()
"""


def python(program: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", program, *arguments]


def test_a_process_is_killed_after_a_line() -> None:
    with Victim(python(FOREVER)) as victim:
        victim.wait_for_line("^rea(dy)$")
        assert victim.kill()
        ending = victim.wait()
    assert ending == Ending(-signal.SIGKILL, True, ending.elapsed, "ready\n", "")
    assert 0 < ending.elapsed < 10


def test_a_process_that_ended_by_itself_was_not_killed() -> None:
    with Victim(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")) as victim:
        ending = victim.wait()
        assert not victim.kill()
    assert ending == Ending(3, False, ending.elapsed, "out\n", "err\n")


def test_the_instant_comes_from_the_seed() -> None:
    earliest, latest = 0.1, 0.3
    for seed in (1, 2):
        expected = Random(seed).uniform(earliest, latest)
        with Victim(python(FOREVER)) as victim:
            ending = kill_at_random(victim, Random(seed), earliest, latest)
        assert ending.killed
        assert expected <= ending.elapsed < expected + 5


def test_a_process_may_end_before_its_instant() -> None:
    with Victim(python("print('quick')")) as victim:
        ending = kill_at_random(victim, Random(1), 60.0, 61.0)
    assert (ending.exit_code, ending.killed, ending.output) == (0, False, "quick\n")


def test_a_process_is_killed_when_a_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "progress"
    program = f"import time; open({str(path)!r}, 'w').write('half way'); time.sleep(3600)"
    with Victim(python(program)) as victim:
        victim.wait_for_file(path, contains="half")
    with Victim(python(program)) as victim:
        assert kill_when(victim, path.exists).killed


def test_the_whole_group_dies_with_its_leader() -> None:
    with Victim(python(PARENT)) as victim:
        victim.wait_for_line("ready")
        assert len(leftovers(victim.marker)) == 2
        assert victim.kill()
        assert wait_for_no_leftovers(victim.marker) == []


@pytest.mark.parametrize(("argument", "whole_group"), [("same", False), ("new", True)])
def test_orphans_are_found_and_ended(argument: str, whole_group: bool) -> None:
    with Victim(python(PARENT, argument)) as victim:
        victim.wait_for_line("ready")
        assert victim.kill(whole_group=whole_group)
        ending = victim.wait()
        (orphan,) = leftovers(victim.marker)
    assert ending.output == "ready\n"
    assert "time.sleep(3600)" in orphan.command
    assert leftovers(victim.marker) == []


def test_a_shared_marker_leaves_the_end_to_the_test() -> None:
    marker = f"shared-{os.getpid()}"
    with Victim(python(FOREVER), marker=marker) as one, Victim(python(FOREVER), marker=marker) as two:
        one.wait_for_line("ready")
        two.wait_for_line("ready")
        one.close()
        assert [process.pid for process in leftovers(marker)] == [two.pid]
        assert [process.pid for process in kill_leftovers(marker)] == [two.pid]
        assert two.wait().exit_code == -signal.SIGKILL


def test_a_process_reads_what_is_sent() -> None:
    with Victim(python("import sys; print(sys.stdin.read().upper())")) as victim:
        victim.send("hello")
        victim.close_input()
        assert victim.wait().output == "HELLO\n"


def test_waiting_ends_with_the_process_and_shows_what_it_said() -> None:
    with Victim(python("raise SystemExit('broken')")) as victim:
        with pytest.raises(TimeoutError, match=r"no line like 'READY'.*stderr 'broken\\n'"):
            victim.wait_for_line("READY", 60.0)
        with pytest.raises(TimeoutError, match="the process ended before the event"):
            victim.wait_until(lambda: False, 60.0)


def test_waiting_ends_with_the_time() -> None:
    with Victim(python(FOREVER)) as victim:
        victim.wait_for_line("ready")
        with pytest.raises(TimeoutError, match=r"did not come within 0.01 s; stdout 'ready\\n'"):
            victim.wait_until(lambda: False, 0.01)
        with pytest.raises(TimeoutError, match=r"still runs after 0.01 s"):
            victim.wait(0.01)
        with pytest.raises(TimeoutError, match="no line like 'never'"):
            victim.wait_for_line("never", 0.01)
