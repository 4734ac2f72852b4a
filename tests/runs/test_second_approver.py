"""What cannot be taken back waits for two approvers: both on record before the effect, and never the same one twice."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from acp_agent.app import App
from acp_agent.domain.approving import approver, is_enough, needed
from acp_agent.domain.errors import Refused
from acp_agent.domain.events import ApprovalAsked, ApprovalGiven, CallReviewed, ToolStarted
from acp_agent.domain.events_session import SessionStarted
from acp_agent.domain.policy import Mode
from acp_agent.domain.request import RunRequest
from acp_agent.domain.run import RunState
from acp_agent.domain.tool import Risk
from acp_agent.runs.people import Person, Turn, Verdict
from acp_agent.runs.reviewing import verdict_of
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.script import Rule, Step

OpenAgent = Callable[..., AbstractAsyncContextManager[App]]
MakeRequest = Callable[..., RunRequest]

pytestmark = pytest.mark.bwrap

CONFIG = """\
[tools.drop]
description = "Drop the database."
risk = 4
parameters = "name: str"
command = ["touch", "{name}"]
"""
REVIEWER = CONFIG + '[roles.reviewer]\nmodel = "openai/careful"\n'
DROP = [Step(tools=[("drop", {"name": "dropped"})]), Step(text="Done.")]


def rules(review: Step | None = None) -> list[Rule]:
    told = [] if review is None else [Rule(model="careful", reply=review)]
    return [*told, Rule(model="test-model", turns=DROP)]


async def driven(app: App, run_id: str) -> RunState:
    await app.engine.work(None, 1)
    return await app.runner.state(run_id)


async def test_two_persons_approve_and_one_of_them_twice_does_not_count(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    with ModelServer(rules()) as server:
        async with open_agent(server, CONFIG) as app:
            run_id = await app.runner.start(request_in())
            state = await driven(app, run_id)
            assert state.asked is not None
            assert (state.asked.risk, state.asked.needed, state.asked.approved) == (Risk.IRREVERSIBLE, 2, ())
            assert state.asked.name == ""
            await app.runner.answer(app.engine, run_id, "allow", actor="cli:ann")
            state = await driven(app, run_id)
            assert state.asked is not None
            assert (state.waiting_for, state.asked.approved) == ("approval", ("cli:ann",))
            assert not (project / "dropped").exists()
            for same in ("cli:ann", "person:ann"):
                with pytest.raises(Refused, match="you have approved this call already"):
                    await app.runner.answer(app.engine, run_id, "allow", actor=same)
            await app.runner.answer(app.engine, run_id, "allow", actor="cli:bob")
            state = await driven(app, run_id)
            assert (state.reason, (project / "dropped").exists()) == ("end_turn", True)
            events = await app.journal.events(run_id)
    facts = [event.data for event in events]
    began = next(index for index, fact in enumerate(facts) if isinstance(fact, ToolStarted))
    given = [event for event in events[:began] if isinstance(event.data, ApprovalGiven)]
    assert [event.actor for event in given] == ["cli:ann", "cli:bob"]
    assert {event.data.binding for event in given if isinstance(event.data, ApprovalGiven)} == {facts[began].binding}  # type: ignore[union-attr]


async def test_the_reviewer_is_the_second_but_never_the_only_one(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    with ModelServer(rules(Step(text="APPROVE\nThe task asks for it."))) as server:
        async with open_agent(server, REVIEWER) as app:
            run_id = await app.runner.start(request_in("drop it"))
            state = await driven(app, run_id)
            assert state.asked is not None
            assert (state.waiting_for, state.asked.approved) == ("approval", ("role:reviewer",))
            assert "the reviewer (openai/careful): approve: The task asks for it." in state.asked.reasons
            assert not (project / "dropped").exists()
            await app.runner.answer(app.engine, run_id, "allow", actor="cli:ann")
            assert (await driven(app, run_id)).reason == "end_turn"
        asked = next(request for request in server.requests if request.body["model"] == "careful")
    assert (project / "dropped").exists()
    # It has read nothing of the run but the task and the call.
    assert len(asked.body["messages"]) == 2
    assert "tools" not in asked.body


@pytest.mark.parametrize(
    ("review", "verdict"),
    [
        (Step(text="DENY\nNobody asked for that."), "deny"),
        (Step(text="I would rather not say."), "failed"),
        (Step(status=500, error={"message": "down"}), "failed"),
    ],
)
async def test_a_reviewer_that_denies_ends_it_and_one_that_fails_leaves_it_to_persons(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path, review: Step, verdict: str
) -> None:
    with ModelServer(rules(review)) as server:
        async with open_agent(server, REVIEWER) as app:
            run_id = await app.runner.start(request_in())
            state = await driven(app, run_id)
            (reviewed,) = [
                event.data for event in await app.journal.events(run_id) if isinstance(event.data, CallReviewed)
            ]
    assert reviewed.verdict == verdict
    assert not (project / "dropped").exists()
    if verdict == "deny":
        assert (state.reason, state.waiting) == ("end_turn", None)
    else:
        assert state.asked is not None
        assert (state.waiting_for, state.asked.needed, state.asked.approved) == ("approval", 2, ())


async def test_a_reviewer_of_the_same_model_is_none(open_agent: OpenAgent, request_in: MakeRequest) -> None:
    with ModelServer([Rule(turns=DROP)]) as server:
        async with open_agent(server, REVIEWER) as app:
            run_id = await app.runner.start(request_in(models=("openai/careful",)))
            state = await driven(app, run_id)
            facts = [event.data for event in await app.journal.events(run_id)]
    assert state.waiting_for == "approval"
    assert not any(isinstance(fact, CallReviewed) for fact in facts)


async def test_who_watches_is_asked_once_and_it_is_never_allowed_always(open_agent: OpenAgent, project: Path) -> None:
    asked: list[ApprovalAsked] = []

    async def ask(question: ApprovalAsked) -> Verdict:
        asked.append(question)
        return "always"

    twice = [*DROP[:1], Step(tools=[("drop", {"name": "again"})]), DROP[1]]
    with ModelServer([Rule(turns=twice)]) as server:
        async with open_agent(server, CONFIG) as app:
            session_id = await app.sessions.start(
                SessionStarted(cwd=str(project), mode=Mode.AUTO, model="openai/test-model"), "test"
            )
            session = await app.sessions.state(session_id)
            state = await app.conversations.prompt(session, "drop", Turn(), lambda item: None, Person(ask))
            assert await app.allowances.listed() == ()
    assert (state.reason, [question.needed for question in asked]) == ("end_turn", [1, 1])
    assert (project / "again").exists()


def test_who_counts_as_one() -> None:
    assert approver("cli:ann") == approver("person:ann") != approver("cli:bob")
    assert approver("cli") == approver("person") == approver("editor")
    assert not is_enough(("cli:ann", "person:ann"), 2)
    assert not is_enough(("role:reviewer", "role:reviewer"), 1)
    assert is_enough(("cli:ann", "role:reviewer"), 2)


@pytest.mark.parametrize(
    ("attended", "tags", "reviewed", "count"),
    [
        (True, (), False, 1),
        (True, ("prod",), False, 2),
        (True, (), True, 2),
        (False, (), False, 2),
        (False, (), True, 2),
    ],
)
def test_how_many_are_needed(attended: bool, tags: tuple[str, ...], reviewed: bool, count: int) -> None:
    assert needed(Risk.IRREVERSIBLE, attended=attended, tags=tags, reviewed=reviewed) == count
    assert needed(Risk.EXTERNAL, attended=attended, tags=tags, reviewed=reviewed) == 1


def test_only_a_plain_yes_is_one() -> None:
    said = [verdict_of(text)[0] for text in ("APPROVE\nfine", "**Approve**", "Deny: no", "APPROVE, but", "", "yes")]
    assert said == ["approve", "approve", "deny", "failed", "failed", "failed"]
