"""Numbers as people read them."""

import pytest

from acp_agent.surfaces.cli.formats import age, changes, count, duration, money, price_range, stamp


@pytest.mark.parametrize(
    ("cost", "known", "text"),
    [
        (0.0, True, "$0.00"),
        (0.0012, True, "$0.0012"),
        (0.25, True, "$0.25"),
        (1234.5, True, "$1,234.50"),
        (0.0, False, "?"),
        (0.25, False, "≥$0.25"),
    ],
)
def test_an_unknown_price_is_never_zero(cost: float, known: bool, text: str) -> None:
    assert money(cost, known) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (None, None, "?"),
        (0.0, 0.0, "$0.00"),
        (0.02, 0.31, "$0.0200 to $0.31"),
        (0.5, None, "$0.50 or more"),
        (None, 1.0, "at most $1.00"),
    ],
)
def test_a_cost_range(low: float | None, high: float | None, text: str) -> None:
    assert price_range(low, high) == text


def test_counts_and_times() -> None:
    assert [count(number) for number in (0, 999, 12_345, 999_999, 4_100_000)] == ["0", "999", "12.3k", "1.0M", "4.1M"]
    times = (None, 0.42, 9.99, 59.7, 187, 7500, 273_600)
    assert [duration(seconds) for seconds in times] == ["", "0.4s", "10s", "1m00s", "3m07s", "2h05m", "3d04h"]
    assert [age(100.0, 100.0 + seconds) for seconds in (-5, 12, 300, 10_800, 800_000)] == [
        "0s",
        "12s",
        "5m",
        "3h",
        "9d",
    ]
    assert (changes(0, 0, 0), changes(1, 10, 2)) == ("", "+10 -2")
    assert stamp(1_700_000_000.25) == "2023-11-14T22:13:20.250000Z"
