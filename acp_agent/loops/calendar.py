"""When a loop runs by itself: `Mon..Fri 02:00` or five cron fields, and the same for systemd, launchd and cron.

The only importer of cronsim.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from acp_agent.domain.errors import UsageError

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_CRON_DAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\Z")
_PART = re.compile(r"(\*|\w+(?:-\w+)?)(?:/(\d+))?\Z")
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
HINT = "write 'Mon..Fri 02:00', 'daily 06:30,18:30', or five cron fields such as '0 2 * * 1-5'"


@dataclass(frozen=True, slots=True)
class Calendar:
    """Slots that come again and again, in local time; `fields` are cron's: minute, hour, day, month, day of week."""

    text: str
    fields: tuple[str, ...]

    @property
    def cron(self) -> str:
        """The five fields."""
        return " ".join(self.fields)

    def before(self, moment: datetime) -> datetime | None:
        """The last slot at or before `moment` (within a year), or None."""
        from cronsim import CronSim

        found = CronSim(self.cron, moment + timedelta(minutes=1), reverse=True)
        slot = next(found, None)
        while slot is not None and slot > moment:
            slot = next(found, None)
        return slot if slot is not None and moment - slot < timedelta(days=366) else None

    def after(self, moment: datetime) -> datetime | None:
        """The next slot after `moment`."""
        from cronsim import CronSim

        return next(CronSim(self.cron, moment), None)

    def on_calendar(self) -> tuple[str, ...]:
        """systemd's words: one line, or two where cron would fire on a day of the month or of the week."""
        minute, hour, day, month, weekday = self.fields
        clock = f"{_systemd(hour, 23)}:{_systemd(minute, 59)}:00"
        date = f"*-{_systemd(month, 12)}-{{}} {clock}"
        days = _weekdays(weekday)
        if day != "*" and weekday != "*":
            return (date.format(_systemd(day, 31)), f"{days} {date.format('*')}")
        return (f"{days} {date.format(_systemd(day, 31))}" if weekday != "*" else date.format(_systemd(day, 31)),)

    def intervals(self) -> list[dict[str, int]]:
        """launchd's StartCalendarInterval. Raises UsageError where it would take more than 366 of them."""
        minute, hour, day, month, weekday = self.fields
        keys = ("Month", "Day", "Weekday", "Hour", "Minute")
        fields = ((month, 3), (day, 2), (weekday, 4), (hour, 1), (minute, 0))
        found: list[dict[str, int]] = [{}]
        for key, (field, index) in zip(keys, fields, strict=True):
            if field != "*":
                values = sorted({value % 7 if index == 4 else value for value in _values(field, index)})
                found = [{**entry, key: value} for entry in found for value in values]
            if len(found) > 366:
                raise UsageError(f"{self.text!r}: too many slots for launchd", hint=HINT)
        return found


def calendar(text: str) -> Calendar:
    """Read either form. Raises UsageError."""
    words = text.split()
    fields = tuple(words) if len(words) == 5 else _from_words(text, words)
    try:
        for index, field in enumerate(fields):
            list(_values(field, index))
        from cronsim import CronSim, CronSimError
    except ValueError:
        raise UsageError(f"{text!r} is no time that comes again", hint=HINT) from None
    try:
        if next(CronSim(" ".join(fields), datetime(2024, 1, 1)), None) is None:
            raise UsageError(f"{text!r} never comes", hint=HINT)
    except CronSimError:
        raise UsageError(f"{text!r} is no time that comes again", hint=HINT) from None
    return Calendar(" ".join(words), fields)


def _from_words(text: str, words: list[str]) -> tuple[str, ...]:
    """`[DAYS] HH:MM[,HH:MM]` as cron's fields; several times of a day need the same minute."""
    times = [_TIME.match(part) for part in words[-1].split(",")] if words else []
    if len(words) not in (1, 2) or not times or not all(times):
        raise UsageError(f"{text!r} is no time that comes again", hint=HINT)
    found = [(int(time[1]), int(time[2])) for time in times if time]
    if len({minute for _, minute in found}) > 1:
        raise UsageError(f"{text!r}: several times of a day must have the same minute", hint=HINT)
    hours = ",".join(str(hour) for hour, _ in sorted(found))
    return (str(found[0][1]), hours, "*", "*", _days(text, words[0]) if len(words) == 2 else "*")


def _days(text: str, word: str) -> str:
    if word.lower() in ("daily", "*"):
        return "*"
    parts = []
    for part in word.split(","):
        ends = [end.strip().capitalize()[:3] for end in part.split("..")]
        if len(ends) > 2 or not all(end in DAYS for end in ends):
            raise UsageError(f"{text!r}: no day of the week {part!r}", hint=HINT)
        first, last = DAYS.index(ends[0]), DAYS.index(ends[-1])
        span = [DAYS[day % 7] for day in range(first, last + (7 if last < first else 0) + 1)]
        parts += [str(_CRON_DAYS[day.lower()]) for day in span]
    return ",".join(dict.fromkeys(parts))


def _number(word: str, index: int) -> int:
    names = {name: number for number, name in enumerate(_MONTHS, 1)} if index == 3 else _CRON_DAYS
    return int(word) if word.isdecimal() else names[word.lower()] if index in (3, 4) else int(word)


def _values(field: str, index: int) -> Iterator[int]:
    """Every value of a field. Raises ValueError."""
    low, high = _BOUNDS[index]
    for part in field.split(","):
        match = _PART.match(part)
        if match is None:
            raise ValueError(part)
        step = int(match[2] or 1)
        try:
            ends = (low, high) if match[1] == "*" else tuple(_number(end, index) for end in match[1].split("-"))
        except KeyError:
            raise ValueError(part) from None
        first, last = ends[0], ends[-1] if "-" in match[1] or match[1] == "*" else (high if match[2] else ends[0])
        if not (low <= first <= last <= high and step):
            raise ValueError(part)
        yield from range(first, last + 1, step)


def _systemd(field: str, most: int) -> str:
    if field == "*":
        return "*"
    index = {59: 0, 23: 1, 31: 2, 12: 3}[most]
    return ",".join(f"{value:02d}" for value in sorted(set(_values(field, index))))


def _weekdays(field: str) -> str:
    values = sorted({(value - 1) % 7 for value in _values(field, 4)})
    return ",".join(DAYS[value] for value in values)
