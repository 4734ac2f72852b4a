"""Real repositories and places for the git half of fleet."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from acp_agent.domain.confinement import Confinement
from acp_agent.domain.request import Workplace
from acp_agent.fleet.worktree import GitWorkplaces
from acp_agent.testing.repos import git


@dataclass(frozen=True)
class Outcome:
    """How a command of a test ended."""

    exit_status: int | None
    seconds: float
    output: str
    confinement: Confinement | None = None


async def run_command(command: str, cwd: str, seconds: float, protect: tuple[str, ...] = ()) -> Outcome:
    """A runner without a sandbox."""
    try:
        ended = subprocess.run(command, shell=True, cwd=cwd, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return Outcome(None, seconds, "")
    return Outcome(ended.returncode, 0.5, ended.stdout + ended.stderr)


@pytest.fixture
def workplaces() -> GitWorkplaces:
    """Workplaces whose commands run without a sandbox."""
    return GitWorkplaces(run_command, run_command)


@pytest.fixture
def place_in(tmp_path: Path) -> Callable[..., Workplace]:
    """Makes the worktree place of a repository, as a plan would."""

    def place_in(repo: Path, name: str = "one", *, subdir: str = "", target: str | None = "main") -> Workplace:
        return Workplace(
            kind="worktree",
            root=str(repo),
            worktree=str(tmp_path / "worktrees" / name),
            branch=f"acp/b_1/{name}",
            base=git(repo, "rev-parse", "HEAD"),
            target=target,
            subdir=subdir,
        )

    return place_in
