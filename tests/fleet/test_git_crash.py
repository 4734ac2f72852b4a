"""Cut short between any two git processes, and by real kills, the git half of a run is finished by doing it again."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acp_agent.domain.events import Accepted, Rejected
from acp_agent.domain.request import Workplace
from acp_agent.fleet.land import accept, reject
from acp_agent.fleet.worktree import GitWorkplaces
from acp_agent.testing.repos import commit as commit_all
from acp_agent.testing.repos import git, make_repo, tree, write_files

pytestmark = [pytest.mark.anyio, pytest.mark.crash]

RUN = "r_1"
EDIT = {"a": "2\n", "new": "n\n", "gone": None}
RESULT = {"a": "2\n", "b": "2\n", "new": "n\n"}
REAL = subprocess.run


class Killed(BaseException):
    """What the cut raises: nothing of ours catches it."""


class Cut:
    """Stands for `subprocess.run`: the n-th git never runs, or runs and is the last thing that happens."""

    def __init__(self, number: int, *, ran: bool) -> None:
        self.left = number
        self.ran = ran

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.left -= 1
        if self.left == 0 and not self.ran:
            raise Killed
        ended = REAL(*arguments, **options)
        if self.left == 0:
            raise Killed
        return ended


async def whole_run(workplaces: GitWorkplaces, place: Workplace, landing: str) -> Accepted | Rejected:
    path = Path(await workplaces.prepare(RUN, place, "true"))
    if (path / "gone").exists():
        write_files(path, EDIT)
    await workplaces.commit(RUN, place, "m")
    return await (accept if landing == "accept" else reject)(RUN, place)


@pytest.mark.parametrize("landing", ["accept", "reject"])
@pytest.mark.parametrize("ran", [False, True])
async def test_cut_at_every_git_process_and_done_again(
    tmp_path: Path,
    workplaces: GitWorkplaces,
    place_in: Callable[..., Workplace],
    monkeypatch: pytest.MonkeyPatch,
    ran: bool,
    landing: str,
) -> None:
    cuts = 0
    for number in range(1, 60):
        repo = make_repo(tmp_path / str(number), {"a": "1\n", "b": "1\n", "gone": "x\n"})
        place = place_in(repo, str(number))
        write_files(repo, {"b": "2\n"})
        commit_all(repo, "moved on")
        landed: Accepted | Rejected | None = None
        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            patch.setattr(subprocess, "run", Cut(number, ran=ran))
            landed = await whole_run(workplaces, place, landing)
        if landed is not None:
            break
        cuts += 1
        await again(workplaces, place, landing)
        check_end(repo, place, landing)
    assert cuts >= 12


async def again(workplaces: GitWorkplaces, place: Workplace, landing: str) -> None:
    """As a driver would: what is on record as begun is asked for again."""
    land = accept if landing == "accept" else reject
    if Path(str(place.worktree)).exists() or not refs_of(place, landing):
        await whole_run(workplaces, place, landing)
    else:
        await land(RUN, place)


def refs_of(place: Workplace, landing: str) -> bool:
    """Whether the landing had begun: its mark is on the repository already."""
    if landing == "reject":
        return bool(git(place.root, "for-each-ref", "refs/acp/rejected"))
    return "new" in tree(place.root, "main")


def check_end(repo: Path, place: Workplace, landing: str) -> None:
    assert git(repo, "status", "--porcelain") == ""
    assert git(repo, "worktree", "list", "--porcelain").count("worktree ") == 1
    assert not Path(str(place.worktree)).exists()
    if landing == "accept":
        assert tree(repo, "main") == RESULT
        assert git(repo, "rev-list", "--count", "--no-merges", "main") == "3"
        assert git(repo, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
    else:
        assert tree(repo, "refs/acp/rejected/r_1") == {**RESULT, "b": "1\n"}
        assert git(repo, "rev-list", "--count", "refs/acp/rejected/r_1") == "2"
        assert git(repo, "for-each-ref", "--format=%(refname)").split() == ["refs/acp/rejected/r_1", "refs/heads/main"]


CHILD = """
import sys, anyio
from pathlib import Path
from acp_agent.domain.request import Workplace
from acp_agent.fleet.land import accept
from acp_agent.fleet.worktree import GitWorkplaces

class Ended:
    exit_status, seconds, output = 0, 0.0, ""

async def run_command(command, cwd, seconds):
    return Ended()

async def main():
    place = Workplace.model_validate_json(sys.argv[1])
    workplaces = GitWorkplaces(run_command, run_command)
    print("started", flush=True)
    path = Path(await workplaces.prepare("r_1", place, None))
    for number in range(40):
        (path / f"many{number}").write_text("x" * 10_000)
    await workplaces.commit("r_1", place, "m")
    await accept("r_1", place)

anyio.run(main)
"""


def kill_whole_tree(process: int) -> None:
    """SIGKILL the process and the gits it started, as a machine that dies would."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            parent = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry))
    doomed = [process]
    for one in doomed:
        doomed += children.get(one, [])
    for one in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds child processes in /proc")
@pytest.mark.parametrize("whole", [False, True])
async def test_killed_at_random_and_done_again(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: Callable[..., Workplace], whole: bool
) -> None:
    # ACP_TEST_KILLS: how many; the suite runs a sample.
    chance = random.Random(7)
    for number in range(int(os.environ.get("ACP_TEST_KILLS", "3"))):
        repo = make_repo(tmp_path / str(number), {f"f{index}": "1\n" for index in range(60)})
        place = place_in(repo, str(number))
        write_files(repo, {"f0": "2\n"})
        commit_all(repo, "moved on")
        command = [sys.executable, "-c", CHILD, place.model_dump_json()]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(chance.uniform(0, 0.08))
            kill_whole_tree(child.pid) if whole else child.kill()
        if "many39" not in tree(repo, "main"):
            path = Path(await workplaces.prepare(RUN, place, None))
            write_files(path, {f"many{index}": "x" * 10_000 for index in range(40)})
            await workplaces.commit(RUN, place, "m")
        await accept(RUN, place)
        assert git(repo, "status", "--porcelain") == ""
        assert len(tree(repo, "main")) == 100
        assert git(repo, "rev-list", "--count", "--no-merges", "main") == "3"
        assert git(repo, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
        assert git(repo, "worktree", "list", "--porcelain").count("worktree ") == 1
