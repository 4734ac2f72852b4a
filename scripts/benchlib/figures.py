"""From samples to figures: medians, spread, ratios, limits; as a table and as JSON. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

Unit = Literal["us", "ms", "s", "B", "MB"]
HEAD = ("case", "measured", "median", "spread", "ratio", "limit", "load")


@dataclass(frozen=True)
class Limit:
    """The most a median may be (`of` value), its ratio to the baseline (`ratio`), or what it has over it (`over`).

    `instead` is a ratio that will do as well: to the side named by `beside`, else to the baseline.
    """

    most: float
    of: Literal["value", "ratio", "over"] = "value"
    instead: float | None = None
    beside: str = ""

    def document(self) -> dict[str, Any]:
        """The limit for machines."""
        instead = {} if self.instead is None else {"instead": {"ratio": self.instead, "beside": self.beside or None}}
        return {"most": self.most, "of": self.of, **instead}


@dataclass(frozen=True)
class Figure:
    """What one thing measured in `samples`, taken in turn with those of its `baseline`; None for a baseline itself.

    `load` is the machine's load average when its last sample was taken; `rival` has the samples of whom the limit's
    second way to hold is about.
    """

    case: str
    name: str
    unit: Unit
    samples: tuple[float, ...]
    baseline: tuple[float, ...] | None = None
    limit: Limit | None = None
    load: float = 0.0
    rival: tuple[float, ...] | None = None

    @property
    def median(self) -> float:
        """The middle of the samples."""
        return median(self.samples)

    @property
    def ratio(self) -> float | None:
        """The middle of the ratios round by round: the load of one round weighs on both sides of it."""
        return None if self.baseline is None else self._beside(self.baseline)

    @property
    def over(self) -> float | None:
        """The middle of the differences to the baseline, round by round."""
        if self.baseline is None:
            return None
        return median(own - other for own, other in zip(self.samples, self.baseline, strict=True))

    @property
    def passed(self) -> bool | None:
        """Whether the limit holds; None where there is none."""
        if self.limit is None:
            return None
        value = {"value": self.median, "ratio": self.ratio, "over": self.over}[self.limit.of]
        if value is not None and value <= self.limit.most:
            return True
        instead = self.limit.instead
        return instead is not None and self.rival is not None and self._beside(self.rival) <= instead

    def document(self) -> dict[str, Any]:
        """The figure for machines."""
        limit = self.limit and {**self.limit.document(), "passed": self.passed}
        return {
            "case": self.case,
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "samples": list(self.samples),
            "ratio": self.ratio,
            "limit": limit,
            "load": self.load,
        }

    def row(self) -> tuple[str, ...]:
        """The figure for people, in the columns of HEAD."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}x"
        return (
            self.case,
            self.name,
            f"{_number(self.median)} {self.unit}",
            f"{_number(min(self.samples))} - {_number(max(self.samples))}",
            ratio or "baseline",
            self._verdict(),
            f"{self.load:.1f}",
        )

    def _verdict(self) -> str:
        if self.limit is None:
            return ""
        most = f"{self.limit.most:g}x" if self.limit.of == "ratio" else f"{self.limit.most:g} {self.unit}"
        if self.limit.of == "over" and self.over is not None:
            most += f" over the baseline ({self.over:+.1f})"
        if self.limit.instead is not None:
            most += f" or {self.limit.instead:g}x {self.limit.beside}".rstrip()
        return f"{'pass' if self.passed else 'FAIL'} <= {most}"

    def _beside(self, others: tuple[float, ...]) -> float:
        return median(own / other for own, other in zip(self.samples, others, strict=True))


@dataclass(frozen=True)
class Absent:
    """What was not measured, and `why`: a row that cannot fail."""

    case: str
    name: str
    why: str
    passed: None = None

    def document(self) -> dict[str, Any]:
        """The row for machines."""
        return {"case": self.case, "name": self.name, "not_run": self.why}

    def row(self) -> tuple[str, ...]:
        """The row for people, in the columns of HEAD."""
        return (self.case, self.name, "", "", "", f"not run: {self.why}", "")


Row = Figure | Absent


def table(figures: Sequence[Row]) -> str:
    """The figures in aligned columns; a case is named in its first row."""
    rows: list[tuple[str, ...]] = [HEAD]
    for figure in figures:
        row = figure.row()
        same = len(rows) > 1 and any(earlier.case == figure.case for earlier in figures[: len(rows) - 1])
        rows.append(("", *row[1:]) if same else row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
