"""A sample of the campaign `protocol_fuzz`: everything a client can say to a real agent, and one who does not read."""

from pathlib import Path

from tests.campaigns.protocol_fuzz import fuzz, slow_reader


async def test_whatever_is_said_is_answered_once_and_costs_no_memory(tmp_path: Path) -> None:
    problems, _ = await fuzz(tmp_path, seed=1, count=1500, megabytes=40)
    assert problems == []


def test_a_client_that_does_not_read_holds_no_run_up(tmp_path: Path) -> None:
    problems, _ = slow_reader(tmp_path, seconds=0)
    assert problems == []
