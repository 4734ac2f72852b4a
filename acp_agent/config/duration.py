"""Durations as people write them: `30m`, `8h`, `90s`, `1h30m`."""

import re

UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
DURATION = re.compile("".join(rf"(?:(?P<{unit}>[0-9]{{1,9}}(?:\.[0-9]{{1,3}})?){unit})?" for unit in UNITS))
EXPECTED = 'should be a duration such as "90s", "30m", "8h" or "1h30m"'
LONGEST = 366 * 86400.0


def parse_duration(text: str) -> float:
    """Seconds. Units are d, h, m, s, each at most once and in this order. Raises ValueError with what is expected."""
    match = DURATION.fullmatch(text.strip())
    if match is None or not text.strip():
        raise ValueError(EXPECTED)
    seconds = sum(float(amount) * UNITS[unit] for unit, amount in match.groupdict().items() if amount)
    if not 0 < seconds <= LONGEST:
        raise ValueError("should be longer than nothing and at most 366 days")
    return seconds


def show_duration(seconds: float) -> str:
    """The shortest text that reads back as `seconds`, to the millisecond: `1h30m`."""
    rest = round(seconds * 1000)
    parts: list[str] = []
    for unit, size in UNITS.items():
        amount, rest = divmod(rest, int(size * 1000)) if unit != "s" else (rest / 1000, 0)
        if amount:
            parts.append(f"{amount:.10g}{unit}")
    return "".join(parts) or "0s"
