"""A limit of calls over two workers in processes of their own: it holds, and a killed one leaves no permit behind."""

import json
import signal
from pathlib import Path

import pytest

from acp_agent.domain.location import ServerLocation
from acp_agent.store.reads import Reads
from acp_agent.testing.script import Rule, Step
from tests.crash.world import CONFIG, PATIENCE, World

HELD = 3600.0
ONE = CONFIG + '\n[concurrency]\n"openai" = 1\n'
RULES = (
    Rule(contains="the first part", reply=Step(text="Done.", stall_at=1, stall_for=HELD)),
    Rule(contains="part", reply=Step(text="Done.")),
)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A world whose record is in either database, and where one call of the provider may be under way."""
    location: ServerLocation | None = request.getfixturevalue("postgres") if request.param == "postgres" else None
    return World(tmp_path, ["alpha"], RULES, {"a.txt": "a\n"}, config=ONE, url=location.url if location else "")


def test_two_workers_share_a_limit_and_one_that_is_killed_gives_its_permits_back(world: World) -> None:
    def queue(prompt: str) -> None:
        asked = world.acp("run", prompt, "code/alpha", "--read-only", "--yes", "--detach")
        assert asked.exit_code == 0, asked.errors

    def permits() -> list[tuple[int, int]]:
        with Reads(world.database) as reads:
            return sorted((permit.held, permit.most) for permit in reads.permits())

    with world:
        queue("the first part")
        with world.start("worker", "-j", "1") as first:
            world.server.wait_for_requests(1)
            queue("the second part")
            with world.start("worker", "-j", "1") as second:
                second.wait_until(lambda: permits() == [(0, 1), (1, 1)], PATIENCE)
                # One call is under way, and the other worker's is not sent.
                assert len(world.server.requests) == 1
                [limiter] = json.loads(world.acp("ps", "-o", "json").output)["limiters"]
                assert limiter == {
                    "limiter": "openai", "under_way": 1, "most": 1, "waiting": {"batch": 1}, "rests": False,
                }  # fmt: skip
                assert "limit openai: 1 of 1 calls under way, waiting: 1 batch" in world.acp("ps").errors
                first.signal(signal.SIGKILL)
                world.wait_until(second, lambda record: [run.status for run in record.runs].count("ended") == 1)
                assert "the second part" in json.dumps(world.server.requests[1].body)
