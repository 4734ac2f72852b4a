"""Tools that a person configured, in whole runs: declared in config.toml, or offered by MCP servers."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from acp_agent.app import App
from acp_agent.domain.events import ApprovalAsked, ToolStarted
from acp_agent.domain.request import RunRequest
from acp_agent.domain.tool import call_key
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.script import Rule, Step

OpenAgent = Callable[..., AbstractAsyncContextManager[App]]
MakeRequest = Callable[..., RunRequest]
PRICED = "[providers.openai.prices.test-model]\ninput = 1.0\noutput = 2.0\n"
DEPLOY = """
[tools.deploy]
description = "Deploy."
risk = 3
parameters = "place: str"
command = ["sh", "-c", 'echo "to $0 with $ACP_CALL_KEY" >> log', "{place}"]
dry_run = ["echo", "would deploy to {place}"]
compensate = ["rm", "log"]
"""


@pytest.mark.bwrap
async def test_a_declared_effect_is_rehearsed_asked_about_and_done_once_with_the_key_on_record(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    call = Step(tools=[("deploy", {"place": "test"})])
    with ModelServer([Rule(turns=[call, Step(text="Deployed.")])]) as server:
        async with open_agent(server, PRICED + DEPLOY) as app:
            run_id = await app.runner.start(request_in())
            await app.engine.work(None, 1)
            waiting = await app.runner.state(run_id)
            assert waiting.waiting_for == "approval"
            asked = next(
                event.data for event in await app.journal.events(run_id) if isinstance(event.data, ApprovalAsked)
            )
            assert (asked.tool, asked.risk, asked.dry_run) == ("deploy", 3, "would deploy to test\n")
            assert asked.title == 'deploy {"place": "test"}'
            assert not (project / "log").exists()
            await app.runner.answer(app.engine, run_id, "allow")
            await app.engine.work(None, 1)
            state = await app.runner.state(run_id)
            events = await app.journal.events(run_id)
    assert (state.reason, state.text) == ("end_turn", "Deployed.")
    started = [event.data for event in events if isinstance(event.data, ToolStarted)]
    key = call_key(run_id, started[0].call_id)
    assert [(one.intent.key, one.intent.compensates) for one in started] == [(key, True)]
    assert (project / "log").read_text() == f"to test with {key}\n"
