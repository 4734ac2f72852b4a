"""A projects.toml around a session's directory tightens what is allowed there, and never widens it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from acp_agent.app import App
from acp_agent.domain.errors import UsageError
from acp_agent.domain.events import ApprovalAsked, ToolRefused
from acp_agent.domain.events_session import SessionStarted
from acp_agent.domain.policy import Mode
from acp_agent.domain.run import RunState
from acp_agent.runs.people import Person, Turn, Verdict
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.script import Rule, Step

OpenAgent = Callable[..., AbstractAsyncContextManager[App]]

PROJECTS = """\
version = 1
[projects.here]
path = "."
tags = ["prod"]
[[policy.rules]]
verdict = "deny"
path = "infra/**"
why = "infrastructure is changed by its own team"
"""
WRITES = [
    Step(tools=[("write_file", {"path": "infra/main.tf", "content": "x"})]),
    Step(tools=[("write_file", {"path": "src/main.py", "content": "x"})]),
    Step(text="Done."),
]


async def talk(app: App, project: Path) -> tuple[RunState, list[ApprovalAsked]]:
    asked: list[ApprovalAsked] = []

    async def ask(question: ApprovalAsked) -> Verdict:
        asked.append(question)
        return "allow"

    started = SessionStarted(cwd=str(project), mode=Mode.AUTO, model="openai/test-model")
    session = await app.sessions.state(await app.sessions.start(started, "test"))
    return await app.conversations.prompt(session, "go", Turn(), lambda item: None, Person(ask)), asked


async def test_its_rules_hold_in_a_conversation_whatever_the_user_allows(open_agent: OpenAgent, project: Path) -> None:
    (project / "projects.toml").write_text(PROJECTS)
    allowed = '[[policy.rules]]\nverdict = "allow"\ntool = "write_file"\n'
    with ModelServer([Rule(turns=WRITES)]) as server:
        async with open_agent(server, allowed) as app:
            state, asked = await talk(app, project)
            facts = [event.data for event in await app.journal.events(state.run_id)]
    assert (state.reason, asked) == ("end_turn", [])
    assert state.request is not None
    assert state.request.tags == ("prod",)
    (refused,) = [fact for fact in facts if isinstance(fact, ToolRefused)]
    assert refused.result.kind == "denied"
    assert refused.result.output == f"infrastructure is changed by its own team ({project}/projects.toml:5)"
    assert not (project / "infra").exists()
    assert (project / "src" / "main.py").exists()


@pytest.mark.bwrap
async def test_a_path_that_is_denied_to_every_tool_is_read_only_for_commands(
    open_agent: OpenAgent, project: Path
) -> None:
    (project / "projects.toml").write_text(PROJECTS)
    (project / "infra").mkdir()
    (project / "infra/main.tf").write_text("mine")
    command = "cat infra/main.tf; echo x > infra/main.tf; echo x > infra/new.tf; mv infra away; true"
    steps = [Step(tools=[("shell", {"command": command})]), Step(text="Done.")]
    with ModelServer([Rule(turns=steps)]) as server:
        async with open_agent(server) as app:
            state, _ = await talk(app, project)
    (told,) = (message.text for message in state.messages if message.role == "tool")
    assert told.count("Read-only file system") == 2
    assert told.startswith("mine")
    assert [path.name for path in (project / "infra").iterdir()] == ["main.tf"]


PROTECTING = """\
version = 1
[defaults]
protect = ["infra/**"]
[projects.here]
path = "."
"""


async def test_what_it_protects_is_asked_about_in_a_conversation_whatever_the_user_allows(
    open_agent: OpenAgent, project: Path
) -> None:
    (project / "projects.toml").write_text(PROTECTING)
    allowed = '[[policy.rules]]\nverdict = "allow"\ntool = "write_file"\n'
    with ModelServer([Rule(turns=WRITES)]) as server:
        async with open_agent(server, allowed) as app:
            state, asked = await talk(app, project)
    assert state.reason == "end_turn"
    assert [(question.title, int(question.risk)) for question in asked] == [("Write infra/main.tf", 4)]


async def test_what_it_protects_reads_as_it_does_in_the_directory_of_the_conversation(
    open_agent: OpenAgent, project: Path
) -> None:
    (project / "projects.toml").write_text(PROTECTING.replace('"infra/**"', '"sub/infra/**", "*.lock", "docs/x"'))
    (project / "sub").mkdir()
    with ModelServer([Rule(turns=WRITES)]) as server:
        async with open_agent(server) as app:
            state, asked = await talk(app, project / "sub")
    assert state.request is not None
    assert state.request.protect == ("/infra/**", "*.lock")
    assert [question.title for question in asked] == ["Write infra/main.tf"]


async def test_rules_that_cannot_be_read_stop_the_turn(open_agent: OpenAgent, project: Path) -> None:
    (project / "projects.toml").write_text(PROJECTS.replace("deny", "allow"))
    with ModelServer([Rule(turns=WRITES)]) as server:
        async with open_agent(server) as app:
            with pytest.raises(UsageError, match="a project's file can only tighten"):
                await talk(app, project)
    assert not (project / "infra").exists()
