"""Samples of the campaigns `http_siege` and `http_cuts`."""

from pathlib import Path

from tests.campaigns.http_cuts import cut_off
from tests.campaigns.http_siege import besiege


async def test_a_client_works_while_three_hundred_stall(tmp_path: Path) -> None:
    siege = await besiege(tmp_path, seed=1, stalled=300, requests=60, to_the_end=False)
    assert (siege.problems, len(siege.latencies)) == ([], 60)
    # Of those without a token no more than there is room for are still there.
    assert sum(siege.ended.values()) > 50


async def test_what_is_cut_off_is_told_again_and_nothing_is_lost(tmp_path: Path) -> None:
    done = await cut_off(tmp_path, seed=5, cuts=12)
    assert done.problems == []
    assert done.places["during the turn"] > 0
