"""Durations as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_agent.config.duration import LONGEST, parse_duration, show_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("8h", 28800), ("1h30m", 5400), (" 2d ", 172800), ("1.5h", 5400), ("0.5s", 0.5)],
)
def test_a_duration_reads_as_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "30", "m", "30 m", "-1m", "30m1h", "1h1h", "1e3s", "0s", "0h0m", "999999d", "1H", "٣m", "1h\n2m"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="should be"):
        parse_duration(text)


@given(st.integers(min_value=1, max_value=int(LONGEST * 1000)))
def test_what_is_shown_reads_back(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(show_duration(seconds)) == pytest.approx(seconds, abs=1e-6)


@given(st.text(alphabet="0123456789.dhms -"))
def test_no_text_does_anything_but_read_or_be_refused(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert 0 < seconds <= LONGEST
