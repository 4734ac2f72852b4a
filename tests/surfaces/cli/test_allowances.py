"""What is allowed always, as a person manages it: --always, --list and --revoke of `acp approve`."""

import os
import re
from pathlib import Path

import anyio
import pytest

from acp_agent.app import open_app
from acp_agent.domain.always import AllowedAlways
from acp_agent.domain.events import ApprovalAsked
from acp_agent.domain.policy import Mode
from acp_agent.domain.request import RunRequest, Workplace
from acp_agent.domain.run import RunState
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.script import Rule, Step
from tests.surfaces.cli.conftest import Acp

pytestmark = pytest.mark.bwrap
COMMANDS = [
    Step(tools=[("shell", {"command": "echo one"})]),
    Step(tools=[("shell", {"command": "echo two > out.txt"})]),
    Step(tools=[("shell", {"command": "echo $HOME"})]),
    Step(text="Done."),
]


def asks(state: RunState) -> ApprovalAsked:
    assert state.asked is not None
    return state.asked


def test_always_is_listed_and_taken_back_by_name(acp: Acp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    project.mkdir()
    place = Workplace(kind="inplace", root=str(project))
    request = RunRequest(prompt="go", workplace=place, models=("openai/m",), mode=Mode.ASK, batch_id=None)

    async def go_on(run_id: str | None) -> RunState:
        async with open_app(os.environ, tmp_path) as app:
            started = run_id or await app.runner.start(request)
            await app.engine.work(None, 1)
            return await app.runner.state(started)

    async def answer(run_id: str, *, always: bool) -> None:
        async with open_app(os.environ, tmp_path) as app:
            asked = asks(await app.runner.state(run_id))
            if always:
                allowed = AllowedAlways(
                    name=asked.name, tool=asked.tool, role="coder", root=str(project), patterns=asked.patterns
                )
                await app.allowances.add(allowed, "test")
            await app.runner.answer(app.engine, run_id, "allow", binding=asked.binding, actor="test")

    with ModelServer([Rule(turns=COMMANDS)]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
        state = anyio.run(go_on, None)
        assert (asks(state).name, asks(state).patterns) == ("shell: echo *", ("echo *",))
        anyio.run(lambda: answer(state.run_id, always=True))
        state = anyio.run(go_on, state.run_id)
        # The redirection is not what was allowed, and neither is a line that hides what it does.
        assert asks(state).title == "echo two > out.txt"
        anyio.run(lambda: answer(state.run_id, always=False))
        state = anyio.run(go_on, state.run_id)
        assert (asks(state).title, asks(state).name) == ("echo $HOME", "")
        listed = acp("approve", "--list")
        line = rf"^allowed always +role +project\nshell: echo \* +coder +{project}$"
        assert re.search(line, listed.stdout, re.MULTILINE)
        assert acp("approve", "--revoke", "shell: nothing").code == 5
        revoked = acp("approve", "--revoke", "shell: echo *")
        assert (revoked.code, revoked.stderr) == (0, f"revoked: shell: echo * (role coder, {project})\n")
        assert "allowed always" not in acp("approve", "--list").stdout
        state = anyio.run(go_on, None)
        assert asks(state).title == "echo one"


def test_always_cannot_stand_beside_another_answer(acp: Acp) -> None:
    said = acp("approve", "--always", "--deny")
    assert (said.code, said.stderr.splitlines()[0]) == (
        2,
        "acp: --always allows: it cannot stand beside another answer",
    )
