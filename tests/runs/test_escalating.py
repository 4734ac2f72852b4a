"""An approval that nobody gives goes to the next channel, and a channel is told once, whoever dies over it."""

import json
import os
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import pytest

from acp_agent.app import App, open_app
from acp_agent.config.paths import database_location
from acp_agent.config.settings import load_settings
from acp_agent.domain.errors import UsageError
from acp_agent.domain.events import ApprovalGiven, Parked
from acp_agent.domain.events_handover import GivenBack, Taken
from acp_agent.domain.notify import NotifyFinished, NotifyStarted
from acp_agent.domain.policy import Mode
from acp_agent.domain.request import RunRequest
from acp_agent.runs.escalating import CUT_OFF, NOBODY, Escalating
from acp_agent.store.journal import StoredJournal
from acp_agent.store.owner import owner_of_this_process
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.script import Rule, Step

pytestmark = pytest.mark.anyio
OpenAgent = Callable[..., AbstractAsyncContextManager[App]]
MakeRequest = Callable[..., RunRequest]
WRITE = Step(tools=[("write_file", {"path": "new.txt", "content": "x\n"})])
SCRIPT = [Rule(turns=[WRITE, Step(text="Then not.")])]
STEPS = (NotifyStarted, NotifyFinished, Parked, ApprovalGiven)


def config(then: str, **channels: str) -> str:
    """A config.toml with these steps, each after a hundredth of a second, and channels that run these commands."""
    tables = "".join(f'[notify.{name}]\nrun = """{run}"""\n' for name, run in channels.items())
    return f'[policy]\nanswer_within = "0.01s"\nthen = {then}\n{tables}'


async def waiting(app: App, request_in: MakeRequest) -> str:
    """A run that waits for an approval."""
    run_id = await app.runner.start(request_in(mode=Mode.ASK))
    await app.engine.drive(run_id)
    return run_id


async def steps(app: App, run_id: str) -> list[Any]:
    return [event.data for event in await app.journal.events(run_id) if isinstance(event.data, STEPS)]


async def lapse_until(app: App, run_id: str, so: Callable[[list[Any]], bool]) -> list[Any]:
    """Keep the deadlines until the steps are so."""
    with anyio.fail_after(60):
        while not so(found := await steps(app, run_id)):
            await app.engine.lapse()
    return found


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


async def test_each_step_has_its_time_and_its_facts_and_the_last_one_is_no(
    open_agent: OpenAgent, request_in: MakeRequest, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    then = '["notify:pager", "notify:lead:0.02s", "deny"]'
    with ModelServer(SCRIPT, strict=False) as server:
        text = config(then, pager=f"cat >>{told}", lead=f"cat >>{told}; echo busy; exit 3")
        async with open_agent(server, text) as app:
            run_id = await waiting(app, request_in)
            found = await lapse_until(app, run_id, lambda found: isinstance(found[-1], ApprovalGiven))
            assert [fact.type for fact in found] == [
                *("parked", "notify_started", "notify_finished"),
                *("parked", "notify_started", "notify_finished"),
                *("parked", "approval_given"),
            ]
            parked = [fact for fact in found if isinstance(fact, Parked)]
            times = [(fact.step, fact.within, len(fact.then)) for fact in parked]
            assert times == [(0, 0.01, 2), (1, 0.01, 1), (2, 0.02, 0)]
            outcomes = [fact.failed for fact in found if isinstance(fact, NotifyFinished)]
            assert outcomes == [{}, {"lead": "exit status 3: busy"}]
            first, second = lines(told)
            assert (first["channel"], first["then"], second["channel"], second["then"]) == (
                *("pager", "notify:lead"),
                *("lead", "deny"),
            )
            assert (first["v"], first["run"], first["waiting"], first["answer"]) == (
                *(1, run_id, "approval"),
                f"acp approve {run_id}",
            )
            assert first["question"] == parked[0].detail and first["answer_by"] > 0
            await app.engine.work(None, 1)
            assert (await app.runner.state(run_id)).text == "Then not."


async def test_the_last_step_may_be_to_wait_on_and_an_answer_ends_it_all(
    open_agent: OpenAgent, request_in: MakeRequest, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    with ModelServer(SCRIPT, strict=False) as server:
        async with open_agent(server, config('["notify:pager", "park"]', pager=f"cat >>{told}")) as app:
            run_id = await waiting(app, request_in)
            found = await lapse_until(app, run_id, lambda found: len(found) == 4)
            assert (found[-1].within, found[-1].then, found[-1].last) == (None, (), "park")
            assert (await app.journal.overdue(), len(lines(told))) == ([], 1)
            await app.runner.answer(app.engine, run_id, "allow", actor="ann")
            await app.engine.work(None, 1)
            assert (await app.runner.state(run_id)).reason == "end_turn"


async def test_of_many_processes_one_tells_and_an_answer_meanwhile_is_not_passed_over(
    open_agent: OpenAgent, request_in: MakeRequest, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    with ModelServer(SCRIPT, strict=False) as server:
        async with open_agent(server, config('["notify:pager", "deny"]', pager=f"cat >>{told}")) as app:
            run_id = await waiting(app, request_in)
            keepers = [Escalating(app.journal, app.settings.channels, dict(os.environ)) for _ in range(5)]
            notices: list[Any] = []

            async def begin(keeper: Escalating) -> None:
                notices.extend(await keeper.begin())

            with anyio.fail_after(60):
                while not notices:
                    async with anyio.create_task_group() as group:
                        for keeper in keepers:
                            group.start_soon(begin, keeper)
            assert len(notices) == 1
            await app.runner.answer(app.engine, run_id, "deny", actor="ann")
            await keepers[0].tell(notices[0])
            assert [fact.type for fact in await steps(app, run_id)] == ["parked", "notify_started", "approval_given"]
            assert len(lines(told)) == 1


async def test_who_is_killed_while_it_tells_has_told_once_and_the_chain_goes_on(
    open_agent: OpenAgent, request_in: MakeRequest, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    with ModelServer(SCRIPT, strict=False) as server:
        text = config('["notify:pager", "deny"]', pager=f"cat >>{told}; kill -9 $PPID")
        async with open_agent(server, text) as app:
            run_id = await waiting(app, request_in)
            environ = dict(app.environ)
        given = {**environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        command = [sys.executable, "-m", "acp_agent.main", "resume", "--all"]
        with anyio.fail_after(60):
            while not told.exists():
                done = await anyio.run_process(command, check=False, cwd=tmp_path, env=given)
        assert done.returncode == -9
        again = await anyio.run_process(command, check=False, cwd=tmp_path, env=given)
        assert again.returncode in (4, 5)
        later = 1e6
        async with open_app(environ, tmp_path) as app:
            assert [fact.type for fact in await steps(app, run_id)] == ["parked", "notify_started"]
            now = await app.journal.now()
        async with StoredJournal(database_location(environ), clock=lambda: now + later) as journal:
            assert await Escalating(journal, load_settings(environ).channels, environ).begin() == []
        async with open_app(environ, tmp_path) as app:
            found = await steps(app, run_id)
            assert found[2] == NotifyFinished(channels=("pager",), failed={"pager": CUT_OFF})
            assert (found[3].step, found[3].then) == (1, ())
        assert len(lines(told)) == 1


async def test_a_channel_that_no_process_has_is_waited_for_and_then_passed_over(
    open_agent: OpenAgent, request_in: MakeRequest, tmp_path: Path
) -> None:
    with ModelServer(SCRIPT, strict=False) as server:
        async with open_agent(server, config('["notify:pager:1000h", "deny"]', pager="cat")) as app:
            run_id = await waiting(app, request_in)
            now = await app.journal.now()
            for hours, expected in ((999, ["parked"]), (1001, ["parked", "notify_finished", "parked"])):
                clock = now + hours * 3600
                async with StoredJournal(database_location(app.environ), clock=lambda clock=clock: clock) as journal:
                    assert await Escalating(journal).begin() == []
                assert [fact.type for fact in await steps(app, run_id)] == expected
            assert (await steps(app, run_id))[1].failed == {"pager": NOBODY}


async def test_the_time_in_which_a_person_has_a_run_does_not_count(
    open_agent: OpenAgent, request_in: MakeRequest
) -> None:
    with ModelServer(SCRIPT, strict=False) as server:
        async with open_agent(server, '[policy]\nanswer_within = "1000h"\n') as app:
            run_id = await waiting(app, request_in)
            now = await app.journal.now()

            async def overdue(hours: float, *facts: Any) -> list[str]:
                clock = now + hours * 3600
                async with StoredJournal(database_location(app.environ), clock=lambda: clock) as journal:
                    if facts:
                        await journal.note(run_id, facts, "ann")
                    return [found for found, _ in await journal.overdue()]

            assert await overdue(1001) == [run_id]
            assert await overdue(999, Taken()) == []
            assert await overdue(1001) == []
            assert await overdue(1002, GivenBack()) == []
            assert await overdue(2001) == []
            assert await overdue(2003) == [run_id]


async def test_a_crash_loop_is_told_once_to_who_wants_to_hear_of_it(
    open_agent: OpenAgent, request_in: MakeRequest, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    text = f'[notify.pager]\nrun = "echo $SECRET >>{told}; cat >>{told}"\non = ["crash_loop"]\n'
    with ModelServer(SCRIPT, strict=False) as server:
        async with open_agent(server, text) as app:
            run_id = await app.runner.start(request_in())
            gone = owner_of_this_process().model_copy(update={"pid": 4_000_000, "started": "0"})
            for _ in range(4):
                await app.journal.claim(run_id, gone)
            assert (await app.runner.state(run_id)).waiting_for == "crash_loop"
            for _ in range(2):
                await app.engine.lapse()
            empty, line = told.read_text("utf-8").splitlines()
            said = json.loads(line)
            assert (empty, said["waiting"], said["run"], said["answer"]) == (
                *("", "crash_loop", run_id),
                f"acp retry {run_id}",
            )
            assert [fact.type for fact in await steps(app, run_id)] == ["parked", "notify_started", "notify_finished"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[policy]\nanswer_within = "1h"\nthen = ["notify:pager", "deny"]\n', "no channel named 'pager'"),
        ('[policy]\nthen = ["park"]\n', "needs answer_within"),
        ('[policy]\nanswer_within = "1h"\nthen = ["notify:x"]\n[notify.x]\nrun = "y"\n', 'ends with "deny" or "park"'),
        ('[notify.x]\nrun = "y"\ntimeout = "2m"\n', "should be at most 1m"),
        ('[notify.x]\nrun = "y"\non = ["approval"]\n', "notify.x.on"),
    ],
)
def test_steps_that_lead_nowhere_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(UsageError) as told:
        load_settings({"ACP_CONFIG": str(tmp_path / "config.toml"), "HOME": str(tmp_path)})
    assert said in told.value.what


def test_an_administrators_channel_stands_in_for_the_users(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[policy]\nanswer_within = "2h"\n[notify.pager]\nrun = "mine"\n')
    managed = '[policy]\nanswer_within = "1h"\nthen = ["notify:pager", "park"]\n[notify.pager]\nrun = "theirs"\n'
    (tmp_path / "managed.toml").write_text(managed)
    environ = {"ACP_CONFIG": str(tmp_path / "config.toml"), "ACP_MANAGED_CONFIG": str(tmp_path / "managed.toml")}
    settings = load_settings({**environ, "HOME": str(tmp_path)})
    assert settings.channels["pager"].run == "theirs"
    policy = settings.policy
    assert (policy.answer_within, [step.channel for step in policy.then], policy.last) == (3600.0, ["pager"], "park")
