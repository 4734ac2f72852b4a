"""How numbers are written for a person: money, tokens, durations, ages."""

import time


def money(cost: float, known: bool = True, *, at_least: str = "≥") -> str:
    """US dollars; an unknown price is `?`, a sum with unknown parts a lower bound, neither is ever 0."""
    if not known and not cost:
        return "?"
    digits = 4 if 0 < cost < 0.1 else 2
    return ("" if known else at_least) + f"${cost:,.{digits}f}"


def price_range(low: float | None, high: float | None) -> str:
    """The cost of a plan: `$0.02 to $0.31`, `?` where nobody knows a price."""
    if high is None:
        return "?" if not low else f"{money(low)} or more"
    if low is None or low == high:
        return money(high) if high == 0 else f"at most {money(high)}"
    return f"{money(low)} to {money(high)}"


def count(number: int) -> str:
    """A number of tokens: `940`, `12.3k`, `4.1M`."""
    if number < 1000:
        return str(number)
    if number < 999_950:
        return f"{number / 1000:.1f}k"
    return f"{number / 1_000_000:.1f}M"


def duration(seconds: float | None) -> str:
    """`0.4s`, `42s`, `3m07s`, `2h05m`, `3d04h`; empty for None."""
    if seconds is None:
        return ""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def age(ts: float, now: float) -> str:
    """How long ago `ts` (Unix seconds) was, in its largest unit: `12s`, `5m`, `3h`, `9d`."""
    seconds = max(int(now - ts), 0)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def some(number: int, noun: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def changes(files: int, added: int, removed: int) -> str:
    """`+10 -2` where files changed, else nothing."""
    return f"+{added} -{removed}" if files else ""


def clock(ts: float) -> str:
    """The local time of day of `ts`."""
    return time.strftime("%H:%M:%S", time.localtime(ts))


def moment(ts: float) -> str:
    """The local day and time of `ts`."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ts))


def stamp(ts: float) -> str:
    """`ts` as ISO 8601 in UTC with microseconds, for machines."""
    whole, part = divmod(round(ts * 1_000_000), 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{part:06d}Z"
