"""Iterations are transactions: checked by us, kept or put aside, on record, and never on the person's own checkout."""

import re
from typing import Any

import anyio
import pytest

from acp_agent.domain.errors import NothingSelected, Refused
from acp_agent.testing.repos import git, tree, write_files
from acp_agent.testing.request import Request
from acp_agent.testing.script import Step
from tests.loops.conftest import MakeWorld, drive, honest, iteration_of, told, turns

NOTHING = turns("All tests pass. Nothing to do.")


async def test_each_accepted_iteration_is_one_commit_with_its_run_its_number_and_its_cost(world: MakeWorld) -> None:
    with world(honest) as w:
        found = await w.drive()
        assert (found.code, found.reason, found.outcomes) == (3, "max_iter", ["accepted"] * 4)
        branch = found.state.work.branch
        assert w.log(branch) == [f"Raised n to {number}." for number in (1, 2, 3, 4)]
        message = git(w.repo, "log", "-1", "--format=%B", branch)
        turn = found.view.turns[4]
        assert f"Acp-Loop: {found.state.loop_id}\nAcp-Run: {turn.run_id}\nAcp-Iteration: 4\n" in message
        assert float(re.findall(r"Acp-Cost: (\S+)", message)[0]) == pytest.approx(turn.cost, abs=1e-6)
        assert tree(w.repo, branch)["n.txt"] == "4\n"
        assert found.state.cost == pytest.approx(found.view.cost) != 0
        assert git(w.repo, "branch", "--list", "acp/judge/*") == ""


async def test_the_ratchet_keeps_only_what_measures_better(world: MakeWorld) -> None:
    values = {1: "5", 2: "3", 3: "7", 4: "x"}

    def agent(request: Request) -> Step:
        number = values[iteration_of(request)]
        say = [[("read_file", {"path": "n.txt"})], [("write_file", {"path": "n.txt", "content": f"{number}\n"})]]
        turn = request.turn_since_prompt
        return Step(tools=say[turn]) if turn < 2 else Step(text=f"n is {number}")

    with world(agent) as w:
        found = await w.drive()
        assert found.outcomes == ["accepted", "metric", "accepted", "gate"]
        assert found.view.turns[2].detail == "n is 3, not better than 5"
        assert "gate check failed (exit status 1)" in found.view.turns[4].detail
        assert tree(w.repo, found.state.work.branch)["n.txt"] == "7\n"
        assert {name: tree(w.repo, commit)["n.txt"] for name, commit in w.refs("rejected").items()} == {
            "2": "3\n",
            "4": "x\n",
        }


async def test_a_dirty_checkout_is_neither_touched_nor_swept_into_a_commit(world: MakeWorld) -> None:
    with world(honest) as w:
        write_files(w.repo, {"README.md": "mine\n", "notes.txt": "mine too\n"})
        git(w.repo, "add", "notes.txt")
        before = git(w.repo, "status", "--porcelain"), git(w.repo, "rev-parse", "HEAD")
        found = await w.drive()
        assert (git(w.repo, "status", "--porcelain"), git(w.repo, "rev-parse", "HEAD")) == before
        kept = tree(w.repo, found.state.work.branch)
        assert kept["README.md"] == "# sample\n"
        assert "notes.txt" not in kept


async def test_a_loop_goes_on_where_it_stood_and_keeps_its_counters(world: MakeWorld) -> None:
    with world(honest) as w:
        first = await w.drive(turns=1)
        assert (first.code, first.why, first.state.iterations) == (0, "once", 1)
        second = await w.drive(max_iter=3)
        assert second.state.loop_id == first.state.loop_id
        assert (second.code, second.outcomes) == (3, ["accepted"] * 3)
        assert second.state.cost > first.state.cost > 0
        # What was said once stays said; asked again it costs nothing.
        again = await w.drive()
        assert (again.code, again.reason, again.state.cost) == (3, "max_iter", second.state.cost)
        assert (await w.drive(max_iter=4)).outcomes == ["accepted"] * 4
        fresh = await w.drive(fresh=True, turns=1)
        assert fresh.state.loop_id != first.state.loop_id


async def test_the_goal_ends_a_loop_and_the_agents_word_does_not(world: MakeWorld) -> None:
    with world(NOTHING, 'done_when = { metric = "n >= 2" }') as w:
        found = await w.drive()
        assert (found.code, found.reason, found.outcomes) == (3, "max_iter", ["nothing_changed"] * 4)
    assert found.state.accepted == 0


async def test_a_goal_that_holds_already_costs_nothing(world: MakeWorld) -> None:
    with world(honest, 'done_when = { run = "test -s n.txt", confirm = 2 }') as w:
        found = await w.drive()
        assert (found.code, found.reason, found.state.attempts) == (0, "done", 0)
        assert w.server.requests == ()


async def test_a_goal_is_found_reached_by_us(world: MakeWorld) -> None:
    with world(honest, 'done_when = { metric = "n >= 2", confirm = 3 }') as w:
        found = await w.drive()
        assert (found.code, found.reason, found.outcomes) == (0, "done", ["accepted"] * 2)
        assert found.state.ended.message == "n >= 2 (3 times): 2, 2, 2"


async def test_stagnation_climbs_the_ladder_and_says_so(world: MakeWorld) -> None:
    more = 'max_iter = 20\n[on]\nstagnate = ["rotate", "ask"]\n'
    text = LOOP_WITHOUT_LIMITS.replace("{more}", more)
    with world(NOTHING, text=text) as w:
        found = await w.drive()
        assert (found.code, found.why, found.state.parked.waiting) == (4, "parked", "answer")
        assert [step["step"] for step in found.view.stagnations] == ["rotate", "ask"]
        assert (found.state.iterations, found.state.rotation) == (4, 2)
        # Started again without a word it costs nothing.
        assert (await w.drive()).state.attempts == 4
        async with w.app() as app:
            await app.loops().steer(found.state.loop_id, "Look at n.txt")
            await drive(app, turns=1)
        assert "The person you work for says: Look at n.txt" in w.server.requests[-1].prompt


LOOP_WITHOUT_LIMITS = """\
+++
project = "app"
goal = "A large n"
patience = 2
{more}
+++
Raise n.
"""


async def test_a_loop_that_ran_dry_is_not_paid_for_again_until_something_changes(world: MakeWorld) -> None:
    with world(NOTHING, text=LOOP_WITHOUT_LIMITS) as w:
        found = await w.drive()
        assert (found.code, found.reason) == (1, "stagnation")
        with pytest.raises(NothingSelected, match="nothing has changed since"):
            await w.drive()
        assert (await w.drive(patience=3)).state.iterations == 5


async def test_another_role_takes_over_when_the_ladder_says_so(world: MakeWorld) -> None:
    more = 'max_iter = 5\n[on]\nstagnate = ["escalate:planner"]\n'
    with world(NOTHING, text=LOOP_WITHOUT_LIMITS.replace("{more}", more)) as w:
        config = w.root / "config.toml"
        config.write_text(config.read_text() + '[roles.planner]\nmodel = "openai/other"\nprompt = "You plan."\n')
        found = await w.drive()
        models = [request.model for request in w.server.requests]
        assert models == ["test-model"] * 2 + ["other"] * 2
        assert found.reason == "stagnation"


async def test_a_rate_limit_repeats_the_same_iteration_and_counts_nothing(
    world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acp_agent.loops.decide.FIRST_PAUSE", 0.05)
    limited = Step(status=429, error={"message": "slow down", "type": "rate_limit", "code": "rate_limit"})

    def agent(request: Request) -> Step:
        seen = [other for other in w.server.requests if iteration_of(other) == 2]
        return limited if iteration_of(request) == 2 and len(seen) <= 3 else honest(request)

    with world(agent) as w:
        found = await w.drive(max_iter=2)
        assert found.outcomes == ["accepted", "accepted"]
        assert [each["why"].partition(":")[0] for each in found.view.salvages] == ["rate_limit"]
        assert (found.state.iterations, found.view.turns[2].attempts, found.state.salvaged) == (2, 2, 1)


async def test_a_wait_that_is_longer_than_allowed_parks_the_loop(world: MakeWorld) -> None:
    step = Step(status=429, headers={"Retry-After": "7200"}, error={"message": "tomorrow", "type": "x", "code": "y"})
    with world(lambda request: step, '[on]\nrate_limit = ["fallback", "wait:1h"]') as w:
        found = await w.drive()
        assert (found.code, found.why, found.state.parked.waiting) == (3, "parked", "timer")
        assert found.state.iterations == 0


async def test_an_edit_of_the_loops_file_holds_from_the_next_iteration_and_untrusted_commands_do_not(
    world: MakeWorld,
) -> None:
    def agent(request: Request) -> Step:
        path = w.root / "loops" / "up.md"
        if iteration_of(request) == 1 and request.turn_since_prompt == 0:
            path.write_text(path.read_text().replace("max_iter = 4", "max_iter = 2"))
        if iteration_of(request) == 2 and request.turn_since_prompt == 0:
            path.write_text(path.read_text().replace("cat n.txt", "echo 99"))
        return honest(request)

    with world(agent) as w:
        found = await w.drive()
        assert (found.reason, found.outcomes) == ("max_iter", ["accepted", "accepted"])
    assert found.state.spec.metrics[0].run == "cat n.txt"


async def test_a_session_rotates_with_a_hand_over_from_the_record(world: MakeWorld) -> None:
    with world(honest) as w:
        found = await w.drive(rotate="2")
        assert [(each.number, each.why) for each in found.view.rotations] == [(1, ""), (2, "2 iterations")]
        text = found.view.rotations[1].handover
        assert "Accepted (2 of 2):" in text
        assert "Raised n to 2., n 2" in text
        assert "Left: 2 of 4 iterations" in text
        prompts = [request for request in w.server.requests if request.turn_since_prompt == 0]
        assert [len(request.messages) > 2 for request in prompts] == [False, True, False, True]
        assert text in prompts[2].prompt


async def test_pause_and_stop_reach_a_loop_that_another_process_drives(world: MakeWorld) -> None:
    def agent(request: Request) -> Step:
        if iteration_of(request) == 2:
            return Step(text="slow", delay=30.0)
        return honest(request)

    with world(agent) as w:
        async with w.app() as app, w.app() as other:
            results: dict[str, Any] = {}

            async def work() -> None:
                results["told"] = await drive(app)

            async with anyio.create_task_group() as group:
                group.start_soon(work)
                await w.server.requests_arrived(1, 20.0, where=lambda request: iteration_of(request) == 2)
                row = await _loop_id(other)
                with pytest.raises(Refused, match="another process"):
                    await drive(other)
                await other.loops().stop(row, now=True, note="enough")
        found = results["told"]
        assert (found.code, found.reason) == (1, "cancelled")
        assert found.outcomes == ["accepted", "cancelled"]


async def _loop_id(app: Any) -> str:
    from acp_agent.config.paths import database_path
    from acp_agent.store.reads import Reads

    with Reads(database_path(app.environ)) as reads:
        return reads.loops(1)[0].id


async def test_what_a_loop_accepted_is_merged_by_a_person(world: MakeWorld) -> None:
    with world(honest) as w:
        found = await w.drive()
        async with w.app() as app:
            loops = app.loops()
            assert "+4" in await loops.diff(found.state.loop_id)
            head = await loops.accept(found.state.loop_id)
            # Nothing was left, so nothing is kept besides what was accepted.
            assert git(w.repo, "for-each-ref", "refs/acp") == ""
            assert git(w.repo, "rev-parse", "main") == head
            assert (w.repo / "n.txt").read_text() == "4\n"
            assert (await told(app, found.state.loop_id)).view.landed == "accepted"
            with pytest.raises(NothingSelected, match="accepted already"):
                await loops.accept(found.state.loop_id)
        assert git(w.repo, "worktree", "list").count("\n") == 0
        # A loop of that name begins anew.
        assert (await w.drive(turns=1)).state.loop_id != found.state.loop_id


async def test_a_money_cap_is_never_overshot_and_work_so_far_is_safe(world: MakeWorld) -> None:
    with world(honest) as w:
        with pytest.raises(Refused, match="no room for one call"):
            await w.drive(max_cost=0.01)
        found = await w.drive(max_cost=0.06, max_iter=50)
        assert (found.code, found.reason) == (3, "max_cost")
        assert 0 < found.state.cost <= 0.06
        assert found.state.accepted >= 1
