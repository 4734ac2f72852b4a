"""A warm `acp` is what a cold one is: the same words, environment, directory, exit codes and signals."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from acp_agent.testing import warm
from acp_agent.testing.agent_process import AgentProcess

ROOT = Path(__file__).parents[2]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


@pytest.mark.parametrize("words", [("--version",), ("no-such-command",), ("run", "x", "--task", "y"), ("trust", "add")])
def test_it_answers_as_a_cold_one(words: tuple[str, ...], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "acp_agent.main", *words]
    cold = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    warmed = warm.run(*words, cwd=tmp_path, environment=environment())
    assert (warmed.returncode, warmed.stdout, warmed.stderr) == (cold.returncode, cold.stdout, cold.stderr)


def test_its_environment_and_its_directory_are_those_given_and_no_others(tmp_path: Path) -> None:
    here, other = tmp_path / "here", tmp_path / "other"
    for folder in (here, other):
        folder.mkdir()
    (here / "projects.toml").write_text("version = 1\n[projects.here]\npath = 'x'\nnonsense = 1\n", "utf-8")
    said = warm.run("projects", "ls", cwd=here, environment=environment())
    assert (said.returncode, "nonsense" in said.stderr) == (2, True)
    assert "nonsense" not in warm.run("projects", "ls", cwd=other, environment=environment()).stderr
    named = environment(ACP_PROJECTS=str(here / "projects.toml"))
    assert "nonsense" in warm.run("projects", "ls", cwd=other, environment=named).stderr
    assert "nonsense" not in warm.run("projects", "ls", cwd=other, environment=environment()).stderr


async def test_one_that_serves_is_a_process_of_its_own_and_can_be_killed(tmp_path: Path) -> None:
    agents = [await AgentProcess.start((warm.PROGRAM, "serve"), environment(), tmp_path) for _ in range(2)]
    pids = [agent.process.pid for agent in agents]
    assert len({*pids, os.getpid()}) == 3
    assert [os.getsid(pid) for pid in pids] == pids
    agents[0].signal(signal.SIGKILL)
    assert await agents[0].exited() == -signal.SIGKILL
    agents[1].close_stdin()
    assert await agents[1].exited() == 0
    for agent in agents:
        assert await agent.close() == []


def test_one_that_does_not_end_in_time_is_killed(tmp_path: Path) -> None:
    waiting, writes = os.pipe()
    with os.fdopen(waiting), os.fdopen(writes), (tmp_path / "out").open("wb") as out:
        pid, said = warm.nursery().start(["serve"], environment(), tmp_path, (waiting, out.fileno(), out.fileno()))
        assert warm.exit_code(said, 0.0) is None
        os.killpg(pid, signal.SIGKILL)
        assert warm.exit_code(said) == -signal.SIGKILL
