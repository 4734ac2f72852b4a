"""What the agent did to git inside its sandbox, and what becomes of it outside."""

from collections.abc import Callable
from pathlib import Path

import pytest

from acp_agent.domain.request import Workplace
from acp_agent.fleet.worktree import GitWorkplaces
from acp_agent.testing.repos import git, make_repo, tree
from acp_agent.tools.sandbox.model import Sandbox
from acp_agent.tools.shell import run_command

pytestmark = [pytest.mark.anyio, pytest.mark.bwrap]

PlaceIn = Callable[..., Workplace]
RUN = "r_1"


async def test_commits_made_in_the_sandbox_are_folded_into_one(
    tmp_path: Path, workplaces: GitWorkplaces, place_in: PlaceIn
) -> None:
    repo = make_repo(tmp_path / "repo", {"a": "1\n"})
    place = place_in(repo)
    path = Path(await workplaces.prepare(RUN, place, None))
    commands = "echo 1 > b; git add b; git commit -qm mine; echo 2 > c; git add c; git commit -qm more; echo 3 > d"
    ended = await run_command(commands, workspace=path, timeout=20, sandbox=Sandbox(state=tmp_path / "state"))
    assert (ended.exit_status, ended.output, ended.confinement.tampered) == (0, "", ())
    await workplaces.commit(RUN, place, "m")
    assert git(repo, "log", "--format=%P", f"{place.base}..{place.branch}") == place.base
    assert tree(repo, str(place.branch)) == {"a": "1\n", "b": "1\n", "c": "2\n", "d": "3\n"}
