"""A sample of the campaign `budget_kills`."""

from pathlib import Path

import pytest

from tests.crash.budget_trial import trial

CAP = 6.0


@pytest.mark.crash
def test_a_budget_is_not_overshot_by_parallel_calls_lies_and_kills(tmp_path: Path) -> None:
    spent = trial(tmp_path / "trial", 7, 2, parallel=16, cap=CAP)
    assert spent.problems == []
    assert spent.booked is not None
    assert (spent.kills, spent.booked.cap) == (2, CAP)
