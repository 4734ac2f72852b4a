"""A plan spends nothing, and refuses what could not be kept."""

from pathlib import Path

import pytest

from acp_agent.domain.budget import Limits
from acp_agent.domain.errors import Refused
from acp_agent.domain.policy import Mode
from acp_agent.fleet.plan import Agent, Job, Plan, Price, Target, build, dollars, streams
from acp_agent.fleet.resolve import Site

CHEAP = Price(1e-6, 2e-6)
PRICES = {"openai/cheap": CHEAP, "openai/dear": Price(1e-5, 1e-4), "openai/odd": Price(None, None)}


def target(name: str = "api", model: str = "openai/cheap", max_cost: float | None = None, **site: object) -> Target:
    agent = Agent(models=(model,), limits=Limits(max_cost=max_cost))
    place = Site(project=name, root=Path("/r"), base="0" * 40, branch_from="main")
    return Target(agent, place if not site else Site(project=name, root=Path("/r"), inplace=bool(site.get("inplace"))))


def plan(*targets: Target, job: Job | None = None) -> Plan:
    return build(job or Job(prompt="x"), targets or (target(),), PRICES.__getitem__, "why", Path("/w"))


def test_each_project_gets_a_worktree_and_a_branch_of_its_own() -> None:
    made = plan(target("api"), target("web"))
    places = [item.request.workplace for item in made.items]
    assert [place.branch for place in places] == [f"acp/{made.batch_id}/api", f"acp/{made.batch_id}/web"]
    assert [place.worktree for place in places] == [f"/w/{made.batch_id}/api", f"/w/{made.batch_id}/web"]
    assert {place.target for place in places} == {"main"}


def test_a_read_only_job_works_in_place_in_plan_mode() -> None:
    request = plan(job=Job(prompt="x", read_only=True)).items[0].request
    assert (request.workplace.kind, request.mode, request.gates) == ("inplace", Mode.PLAN, ())


def test_an_unknown_price_is_no_estimate_and_refused_under_a_cap() -> None:
    odd = target(model="openai/odd")
    assert (plan(odd).low, plan(odd).high) == (None, None)
    with pytest.raises(Refused, match="price of openai/odd is unknown"):
        plan(odd, job=Job(prompt="x", max_cost=1.0))
    with pytest.raises(Refused, match="price of openai/odd is unknown"):
        plan(target(model="openai/odd", max_cost=1.0))


def test_an_estimate_over_the_budget_is_refused_before_anything_starts() -> None:
    with pytest.raises(Refused, match="over the budget"):
        plan(*(target(f"p{n}", "openai/dear") for n in range(100)), job=Job(prompt="x", max_cost=5.0))


def test_a_cap_without_room_for_one_call_is_refused_with_the_least_that_would_do() -> None:
    with pytest.raises(Refused, match="no room for one call") as refused:
        plan(target(model="openai/dear", max_cost=0.05))
    assert refused.value.hint is not None
    assert "$0.36" in refused.value.hint


def test_replies_are_bounded_only_under_a_cap_and_by_its_size() -> None:
    def output(max_cost: float | None, model: str = "openai/cheap") -> int | None:
        return plan(target(model=model, max_cost=max_cost)).items[0].request.limits.max_output

    assert output(None) is None
    assert output(1.0) == 8192
    assert output(0.8, "openai/dear") == 2000


def test_a_batch_and_its_runs_are_opened_together_and_share_its_budget() -> None:
    made = plan(target("api"), target("web"), job=Job(prompt="x", max_cost=2.0))
    opened = streams(made)
    assert [stream.kind for stream in opened] == ["batch", "run", "run"]
    scopes = [cap for stream in opened for cap in stream.caps if cap.scope == f"batch:{made.batch_id}"]
    assert [(cap.scope, cap.cap) for cap in scopes] == [(f"batch:{made.batch_id}", 2.0)]


def test_small_amounts_keep_their_digits() -> None:
    assert (dollars(0.0101), dollars(0.0099), dollars(12.345)) == ("$0.0101", "$0.0099", "$12.35")
