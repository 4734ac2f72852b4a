"""Hooks around the steps of a run: real scripts, in the sandbox, and none that cannot answer lets anything pass."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import pytest

from acp_agent.app import App
from acp_agent.config.trust import trust
from acp_agent.domain.budget import Limits
from acp_agent.domain.errors import Refused
from acp_agent.domain.events import (
    ApprovalAsked,
    CancelAsked,
    Event,
    Parked,
    RunEnded,
    ToolFinished,
    ToolRefused,
)
from acp_agent.domain.events_hooks import HookRan
from acp_agent.domain.events_session import SessionStarted
from acp_agent.domain.hook import Hook
from acp_agent.domain.request import RunRequest
from acp_agent.domain.run import RunState
from acp_agent.runs.hooks import Hooks
from acp_agent.runs.people import Person, Turn
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.script import Rule, Step

OpenAgent = Callable[..., AbstractAsyncContextManager[App]]
MakeRequest = Callable[..., RunRequest]
pytestmark = pytest.mark.bwrap
READ = Step(tools=[("read_file", {"path": "a.txt"})])
WRITE = Step(tools=[("write_file", {"path": "new.txt", "content": "new\n"})])
DONE = Step(text="Done.")


def hook(event: str, run: str, **more: Any) -> str:
    """The table of a hook as a person writes it."""
    rest = "".join(f"{key} = {json.dumps(value)}\n" for key, value in more.items())
    return f"[[hooks.{event}]]\nrun = '''{run}'''\n{rest}"


async def driven(app: App, request: RunRequest) -> tuple[RunState, list[Event]]:
    run_id = await app.runner.start(request)
    await app.engine.work(None, 4)
    return await app.runner.state(run_id), await app.journal.events(run_id)


def ran(events: list[Event]) -> list[tuple[str, str, str, str]]:
    found = [event.data for event in events if isinstance(event.data, HookRan)]
    return [(one.event, one.outcome, one.reason, one.note) for one in found]


def refusals(events: list[Event]) -> list[str]:
    return [event.data.result.output for event in events if isinstance(event.data, ToolRefused)]


NO_PUSH = """grep -q '"git push' && { echo "pushes are for people" >&2; exit 2; } || exit 0"""


async def test_a_hook_that_blocks_git_push_under_whatever_name_it_comes(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    steps = [
        Step(tools=[("shell", {"command": "git push origin main"})]),
        Step(tools=[("shell", {"cmd": "git push -f", "timeout": "30"})]),
        Step(tools=[("shell", "{'command': 'git push',}")]),
        Step(tools=[("shell", {"command": "echo kept"})]),
    ]
    with ModelServer([Rule(turns=[*steps, DONE])]) as server:
        async with open_agent(server, hook("before_tool", NO_PUSH, match="shell")) as app:
            state, events = await driven(app, request_in())
    why = "The hook config.toml: hooks.before_tool[0] blocks this: pushes are for people"
    assert refusals(events) == [why, why, why]
    assert [one[1] for one in ran(events)] == ["blocked", "blocked", "blocked", "passed"]
    results = [event.data.result for event in events if isinstance(event.data, ToolFinished)]
    assert [one.output for one in results] == ["kept\n"]
    assert f"refused (hook): {why}" in state.messages[2].text


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        ("exit 1", "exit status 1"),
        ("no-such-program", "exit status 127: "),
        ("kill -9 $$", "exit status 137"),
        ("echo yes", "its output is no JSON: yes"),
        ('echo \'{"decision": "allow"}\'', "it may not decide 'allow' here"),
        ("echo '[]'", "its output should be an object"),
        ("head -c 1000000 /dev/zero | tr '\\0' x", "its output is no JSON"),
        ("sleep 60", "it took longer than 1 seconds"),
        ("kill -9 $PPID; sleep 60", ""),
    ],
)
async def test_a_hook_that_crashes_hangs_or_says_junk_blocks(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path, run: str, reason: str
) -> None:
    timeout = "1s" if "sleep" in run else "10s"
    with ModelServer([Rule(turns=[WRITE, DONE])]) as server:
        async with open_agent(server, hook("before_tool", run, timeout=timeout)) as app:
            _, events = await driven(app, request_in())
    ((_, outcome, told, _),) = ran(events)
    assert outcome == "failed"
    assert reason in told
    assert "what a hook cannot judge does not happen" in refusals(events)[0]
    assert not (project / "new.txt").exists()


async def test_what_a_hook_reads_and_that_it_is_masked(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    (project / "key.txt").write_text("key sk-test-0123456789")
    call = ("write_file", {"file": "new.txt", "content": "a word"})
    config = hook("before_tool", "cat > said.json", match="write_*") + hook("after_tool", "cat > result.json")
    look = Step(tools=[("read_file", {"path": "key.txt"})])
    with ModelServer([Rule(turns=[look, DONE])]) as server:
        async with open_agent(server, config) as app:
            await driven(app, request_in())
    assert json.loads((project / "result.json").read_text())["output"] == "1\tkey [redacted]"
    with ModelServer([Rule(turns=[Step(tools=[call]), DONE])]) as server:
        async with open_agent(server, config) as app:
            state, events = await driven(app, request_in())
    said = json.loads((project / "said.json").read_text())
    about = {
        "v": 1,
        "run": state.run_id,
        "session": state.request.session_id if state.request else "",
        "project": "project",
        "cwd": str(project),
        "call": said["call"],
        "tool": "write_file",
    }
    assert said == {
        **about,
        "event": "before_tool",
        "arguments": {"path": "new.txt", "content": "a word"},
        "risk": 1,
        "commands": [],
        "opaque": False,
        "reads": [],
        "writes": ["new.txt"],
    }
    result = json.loads((project / "result.json").read_text())
    assert {**result, "output": ""} == {
        **about,
        "event": "after_tool",
        "status": "ok",
        "kind": None,
        "exit_status": None,
        "output": "",
        "changed": ["new.txt"],
    }
    facts = [event.data for event in events if isinstance(event.data, HookRan)]
    assert [(fact.outcome, fact.sandbox) for fact in facts] == [("passed", "bwrap"), ("passed", "bwrap")]
    assert (project / "new.txt").read_text() == "a word"


async def test_an_after_hook_cannot_block_but_is_heard(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    config = hook("after_tool", "echo 'two lint errors' >&2; exit 2", match="write_*")
    config += hook("after_tool", 'echo \'{"note": "formatted"}\'', match="write_*") + hook("after_tool", "exit 9")
    with ModelServer([Rule(turns=[READ, WRITE, DONE])]) as server:
        async with open_agent(server, config) as app:
            state, events = await driven(app, request_in())
    assert state.reason == "end_turn"
    assert (project / "new.txt").read_text() == "new\n"
    assert state.messages[2].text.endswith("alpha")
    notes = "\n\n[note of the hook config.toml: hooks.after_tool[{}]]\n{}"
    assert state.messages[4].text.endswith(notes.format(0, "two lint errors") + notes.format(1, "formatted"))
    assert [one[1] for one in ran(events)] == ["failed", "passed", "passed", "failed"]


async def test_before_run_blocks_or_adds_to_the_prompt_and_after_run_hears_the_end(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    config = hook("before_run", 'echo \'{"note": "mind the freeze"}\'') + hook("after_run", "cat > end.json; exit 2")
    with ModelServer([Rule(turns=[READ, DONE])]) as server:
        async with open_agent(server, config) as app:
            state, events = await driven(app, request_in("look"))
            seen = server.requests[0].body["messages"][1]["content"]
    assert seen == "look\n\n[note of the hook config.toml: hooks.before_run[0]]\nmind the freeze"
    end = json.loads((project / "end.json").read_text())
    assert (end["event"], end["reason"], end["answer"]) == ("after_run", "end_turn", "Done.")
    assert [one[:2] for one in ran(events)] == [("before_run", "passed"), ("after_run", "passed")]
    assert events[-1].data.type == "run_ended"
    assert state.reason == "end_turn"
    blocking = hook("before_run", "echo frozen >&2; exit 2") + hook("after_run", "touch ended")
    with ModelServer([]) as server:
        async with open_agent(server, blocking) as app:
            state, events = await driven(app, request_in())
            assert server.requests == ()
    assert isinstance(events[-1].data, RunEnded)
    assert events[-1].data.message == "The hook config.toml: hooks.before_run[0] blocks this: frozen"
    assert state.reason == "error"


ASKS = """grep -q -E "a.txt|new.txt" && echo '{"decision": "ask", "reason": "sure?"}'; exit 0"""


async def test_a_hook_asks_a_person_even_where_the_policy_does_not(
    open_agent: OpenAgent, request_in: MakeRequest, project: Path
) -> None:
    both = Step(tools=[("read_file", {"path": "b.txt"}), ("write_file", WRITE.tools[0][1])])
    with ModelServer([Rule(turns=[both, DONE])]) as server:
        async with open_agent(server, hook("before_tool", ASKS)) as app:
            state, events = await driven(app, request_in())
            assert state.waiting_for == "approval"
            asked = next(event.data for event in events if isinstance(event.data, ApprovalAsked))
            assert asked.reasons == ("The hook config.toml: hooks.before_tool[0] asks: sure?",)
            assert not (project / "new.txt").exists()
            await app.runner.answer(app.engine, state.run_id, "allow")
            await app.engine.work(None, 4)
            state = await app.runner.state(state.run_id)
    assert state.reason == "end_turn"
    assert (project / "new.txt").read_text() == "new\n"


async def test_reads_that_passed_go_on_before_a_question_is_put(open_agent: OpenAgent, request_in: MakeRequest) -> None:
    calls = [("read_file", {"path": name}) for name in ("b.txt", "a.txt", "b.txt")]
    with ModelServer([Rule(turns=[Step(tools=calls), DONE])]) as server:
        async with open_agent(server, hook("before_tool", ASKS)) as app:
            state, events = await driven(app, request_in())
            assert [call.phase for call in state.calls] == ["asked", "proposed"]
            await app.runner.answer(app.engine, state.run_id, "deny")
            await app.engine.work(None, 4)
            state = await app.runner.state(state.run_id)
    kinds = [event.data.type for event in events]
    assert kinds[kinds.index("tool_finished") :] == ["tool_finished", "hook_ran", "approval_asked", "parked"]
    assert state.reason == "end_turn"
    assert [message.text.startswith("refused") for message in state.messages if message.role == "tool"] == [
        False,
        True,
        False,
    ]


async def test_a_blocked_call_is_not_asked_about(open_agent: OpenAgent, request_in: MakeRequest) -> None:
    with ModelServer([Rule(turns=[WRITE, DONE])]) as server:
        async with open_agent(server, hook("before_tool", "echo never >&2; exit 2")) as app:
            state, events = await driven(app, request_in(mode="ask"))
    assert state.reason == "end_turn"
    assert not any(isinstance(event.data, ApprovalAsked | Parked) for event in events)


async def test_hooks_run_in_the_sandbox_unless_their_owner_says_otherwise(
    open_agent: OpenAgent, request_in: MakeRequest, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    scripts = tmp_path / "hooks"
    scripts.mkdir()
    (scripts / "check.sh").write_text('echo \'{"note": "from a script"}\'\n', encoding="utf-8")
    config = hook("after_tool", f"touch {outside}; true") + hook("after_tool", f"sh {scripts}/check.sh")
    with ModelServer([Rule(turns=[READ, DONE])]) as server:
        async with open_agent(server, config) as app:
            _, events = await driven(app, request_in())
    assert [(one[1], one[3]) for one in ran(events)] == [("passed", ""), ("passed", "from a script")]
    assert not outside.exists()
    with ModelServer([Rule(turns=[READ, DONE])]) as server:
        async with open_agent(server, hook("after_tool", f"touch {outside}", sandbox=False)) as app:
            _, events = await driven(app, request_in())
    assert outside.exists()
    (fact,) = [event.data for event in events if isinstance(event.data, HookRan)]
    assert fact.sandbox == "none"


async def test_hooks_of_a_project_come_after_the_users_and_only_forbid(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    theirs = Hook(event="before_tool", name="projects.toml: hooks.before_tool[0]", run="echo theirs >&2; exit 2")
    with ModelServer([Rule(turns=[READ, DONE])]) as server:
        async with open_agent(server, hook("before_tool", "exit 0")) as app:
            _, events = await driven(app, request_in(hooks=(theirs,)))
    assert [one[:3] for one in ran(events)] == [("before_tool", "passed", ""), ("before_tool", "blocked", "theirs")]
    with ModelServer([Rule(turns=[READ, DONE])]) as server:
        async with open_agent(server, hook("before_tool", "echo ours >&2; exit 2")) as app:
            _, events = await driven(app, request_in(hooks=(theirs.model_copy(update={"run": "exit 0"}),)))
    assert [one[:3] for one in ran(events)] == [("before_tool", "blocked", "ours")]


async def test_a_cancellation_stops_a_hook(open_agent: OpenAgent, request_in: MakeRequest, project: Path) -> None:
    config = hook("before_tool", "touch begun; sleep 60", timeout="1m") + hook("after_run", "touch ended")
    with ModelServer([Rule(turns=[WRITE, DONE])]) as server:
        async with open_agent(server, config) as app, anyio.create_task_group() as group:
            run_id = await app.runner.start(request_in())
            group.start_soon(app.engine.work, None, 1)
            with anyio.fail_after(60):
                while not (project / "begun").exists():
                    await anyio.sleep(0.02)
            await app.journal.note(run_id, [CancelAsked()], "test")
            await app.engine.poke(run_id)
    async with open_agent(server, "") as app:
        state = await app.runner.state(run_id)
    assert state.reason == "cancelled"
    assert not (project / "new.txt").exists()
    assert (project / "ended").exists()


async def test_a_hook_for_a_result_on_record_runs_when_the_run_goes_on(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    both = Step(tools=[("read_file", {"path": "b.txt"}), WRITE.tools[0]])
    with ModelServer([Rule(turns=[both, DONE])]) as server:
        async with open_agent(server, "") as app:
            # As a kill leaves it that came between a result and its hooks.
            state, events = await driven(app, request_in(mode="ask"))
            assert (state.waiting_for, [one.tool for one in state.finished]) == ("approval", ["read_file"])
        async with open_agent(server, hook("after_tool", "echo heard >&2; exit 2")) as app:
            await app.runner.answer(app.engine, state.run_id, "allow")
            await app.engine.work(None, 4)
            state = await app.runner.state(state.run_id)
            events = await app.journal.events(state.run_id)
    assert state.reason == "end_turn"
    assert [one[3] for one in ran(events)] == ["heard", "heard"]
    assert [message.text.count("[note of the hook") for message in state.messages if message.role == "tool"] == [1, 1]


async def test_no_model_is_asked_before_the_yes_of_a_hook_that_outlasts_the_time_of_the_run(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    config = hook("before_run", "sleep 0.5; echo too late >&2; exit 2")
    with ModelServer([]) as server:
        async with open_agent(server, config) as app:
            state, events = await driven(app, request_in(limits=Limits(max_time=0.1)))
            assert server.requests == ()
    assert [one[1] for one in ran(events)] == ["blocked"]
    assert state.reason == "error"


async def test_hooks_around_an_iteration_are_heard_by_whoever_asks(project: Path) -> None:
    own = Hook(
        event="before_iteration", name="h", run="grep -q '\"iteration\": 7' && echo enough >&2 && exit 2 || exit 0"
    )
    hooks = Hooks((own,))
    passed = await hooks.hear("before_iteration", {"loop": "fast", "iteration": 6}, str(project))
    assert (passed.refusal, [fact.outcome for fact in passed.facts]) == ("", ["passed"])
    blocked = await hooks.hear("before_iteration", {"loop": "fast", "iteration": 7}, str(project))
    assert blocked.refusal == "The hook h blocks this: enough"
    assert (await hooks.hear("after_iteration", {"loop": "fast", "iteration": 7}, str(project))).facts == ()


async def test_a_session_in_a_project_hears_its_hooks(open_agent: OpenAgent, project: Path, tmp_path: Path) -> None:
    text = 'version = 1\n[projects.p]\npath = "project"\n[[hooks.before_tool]]\nrun = "echo theirs >&2; exit 2"\n'
    (tmp_path / "projects.toml").write_text(text, encoding="utf-8")
    trust(tmp_path / "projects.toml", tmp_path / "state")
    with ModelServer([Rule(turns=[READ, DONE])], strict=False) as server:
        async with open_agent(server) as app:
            session = await app.sessions.state(await app.sessions.start(SessionStarted(cwd=str(project)), "test"))
            state = await app.conversations.prompt(session, "look", Turn(), lambda item: None, Person(_nobody))
            assert "projects.toml: hooks.before_tool[0] blocks this: theirs" in state.messages[2].text
            (tmp_path / "projects.toml").write_text(text.replace("exit 2", "exit 0"), encoding="utf-8")
            with pytest.raises(Refused, match=r"hooks.before_tool\[0\]"):
                await app.conversations.prompt(session, "look", Turn(), lambda item: None, Person(_nobody))


async def _nobody(asked: object) -> Any:
    raise AssertionError("nobody should be asked")
