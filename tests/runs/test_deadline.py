"""An approval that nobody gives in its time is refused, and the run goes on."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
import pytest

from acp_agent.app import App
from acp_agent.domain.errors import Refused
from acp_agent.domain.events import ApprovalGiven
from acp_agent.domain.policy import Mode
from acp_agent.domain.request import RunRequest
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.script import Rule, Step

OpenAgent = Callable[..., AbstractAsyncContextManager[App]]
MakeRequest = Callable[..., RunRequest]
WRITE = Step(tools=[("write_file", {"path": "new.txt", "content": "x\n"})])


@pytest.mark.parametrize(("within", "lapses"), [("0.01s", True), ("300h", False)])
async def test_an_approval_has_its_time(
    open_agent: OpenAgent, request_in: MakeRequest, within: str, lapses: bool
) -> None:
    with ModelServer([Rule(turns=[WRITE, Step(text="Then not.")])], strict=False) as server:
        async with open_agent(server, f'[policy]\nanswer_within = "{within}"\n') as app:
            run_id = await app.runner.start(request_in(mode=Mode.ASK))
            await app.engine.drive(run_id)
            state = await app.runner.state(run_id)
            assert (state.waiting_for, state.waiting.within) == ("approval", 0.01 if lapses else 300 * 3600)
            if not lapses:
                await app.engine.lapse()
                assert (await app.runner.state(run_id)).waiting_for == "approval"
                return
            with anyio.fail_after(60):
                while (await app.runner.state(run_id)).waiting:
                    await app.engine.lapse()
            with pytest.raises(Refused):
                await app.runner.answer(app.engine, run_id, "allow", actor="ann")
            await app.engine.work(None, 1)
            state = await app.runner.state(run_id)
            given = [event for event in await app.journal.events(run_id) if isinstance(event.data, ApprovalGiven)]
            assert [(event.actor, event.data.decision) for event in given] == [("deadline", "deny")]
            assert (state.reason, state.text) == ("end_turn", "Then not.")
