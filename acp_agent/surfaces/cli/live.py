"""The live table of a batch on a terminal: what every project does now, and the totals, fitted to the window."""

from collections.abc import Callable, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from acp_agent.fleet.view import BatchView, Row
from acp_agent.surfaces.cli.formats import changes, count, duration
from acp_agent.surfaces.cli.glyphs import colour, label, speaks_unicode
from acp_agent.surfaces.cli.records import Record
from acp_agent.surfaces.cli.report import elapsed, question, row_cost, total_line
from acp_agent.surfaces.cli.text import one_line

NARROW = 64
"""Below this width only project, state, step and cost are shown."""
_ORDER = {"running": 0, "waiting": 1, "failed": 2, "limit": 3, "cancelled": 4, "ok": 5, "queued": 6}


class LiveTable:
    """Redraws on `tick`; gone from the screen when closed, since the result follows on stdout."""

    def __init__(self, view: BatchView, now: Callable[[], float], console: Console | None = None) -> None:
        self._view = view
        self._now = now
        self._console = console or Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)
        self._live.start()

    def seen(self, record: Record, row: Row) -> None:
        """The view is up to date already."""

    def tick(self) -> None:
        """Draw the view as it stands."""
        self._live.update(live_table(self._view, self._console, self._now()), refresh=True)

    def say(self, line: str) -> None:
        """Print above the table."""
        self._console.print(Text(line))

    def close(self) -> None:
        """Take the table off the screen."""
        self._live.update(Text(""), refresh=True)
        self._live.stop()


def live_table(view: BatchView, console: Console, now: float) -> Group:
    """The table for the size of `console`; rows that do not fit are counted by state."""
    unicode = speaks_unicode(console.file)
    narrow = console.width < NARROW
    table = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0), header_style="bold", expand=True)
    table.add_column(
        "project", no_wrap=True, overflow="ellipsis" if unicode else "crop", max_width=12 if narrow else 28
    )
    table.add_column("state", no_wrap=True, width=11)
    table.add_column("step now", no_wrap=True, overflow="ellipsis" if unicode else "crop", ratio=1)
    for name in ("cost",) if narrow else ("tokens", "cost", "elapsed", "+/-"):
        table.add_column(name, no_wrap=True, justify="right")
    shown, hidden = _fitting(list(view.rows.values()), max(console.height - 4, 3))
    for row in shown:
        table.add_row(*_cells(row, unicode, narrow, now))
    lines = [Text(f"... {hidden}")] if hidden else []
    return Group(table, *lines, Text(total_line(view, unicode, now), style="bold", no_wrap=True, overflow="crop"))


def _cells(row: Row, unicode: bool, narrow: bool, now: float) -> list[Text]:
    cost = Text(row_cost(row, unicode))
    state = Text(label(row.outcome, unicode), style=colour(row.outcome))
    cells = [Text(one_line(row.project or row.run_id)), state, Text(_doing(row))]
    if narrow:
        return [*cells, cost]
    tokens = count(row.tokens_in + row.tokens_out) if row.steps else ""
    lines = changes(row.files, row.added, row.removed)
    return [*cells, Text(tokens), cost, Text(duration(elapsed(row, now))), Text(lines)]


def _doing(row: Row) -> str:
    return question(row) if row.status == "waiting" else one_line(row.step or row.message)


def _fitting(rows: Sequence[Row], room: int) -> tuple[list[Row], str]:
    """The rows that matter most in the order of the plan, and the others as `12 queued, 3 ok`."""
    if len(rows) <= room:
        return list(rows), ""
    ranked = sorted(rows, key=lambda row: _ORDER.get(row.outcome, 7))
    kept = {row.run_id for row in ranked[: room - 1]}
    rest: dict[str, int] = {}
    for row in ranked[room - 1 :]:
        rest[row.outcome] = rest.get(row.outcome, 0) + 1
    summary = ", ".join(f"{number} {outcome}" for outcome, number in rest.items())
    return [row for row in rows if row.run_id in kept], summary
