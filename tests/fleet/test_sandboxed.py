"""What the agent did to git inside its sandbox, and what becomes of it outside."""

from collections.abc import Callable
from pathlib import Path

import pytest

from acp_agent.domain.redact import Redactor
from acp_agent.domain.request import Gate, Workplace
from acp_agent.fleet.commands import SandboxedCommands
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


async def test_what_a_gate_runs_changes_nothing_protected(tmp_path: Path, place_in: PlaceIn) -> None:
    repo = make_repo(tmp_path / "repo", {"app.sh": "true\n", "tests/a": "strict\n"})
    place = place_in(repo)
    commands = SandboxedCommands(Sandbox(state=tmp_path / "state"), Redactor(()))
    workplaces = GitWorkplaces(commands, commands)
    path = Path(await workplaces.prepare(RUN, place, None))
    # What the agent wrote, and the gate runs.
    (path / "app.sh").write_text("echo lax > tests/a; rm -rf tests; echo new > tests/b; touch built\n")
    assert not (await workplaces.check(place, Gate(name="t", run="sh app.sh; test ! -d tests"), ("tests/**",))).passed
    await workplaces.commit(RUN, place, "m")
    changed = tree(repo, str(place.branch))
    assert (changed["tests/a"], "built" in changed) == ("strict\n", True)
