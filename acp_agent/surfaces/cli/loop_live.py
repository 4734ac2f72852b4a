"""A loop on a terminal while it works: iteration, scores, money, and what it does now."""

import time
from collections.abc import Callable

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from acp_agent.loops.view import LoopView
from acp_agent.surfaces.cli.formats import duration
from acp_agent.surfaces.cli.glyphs import colour, label, speaks_unicode
from acp_agent.surfaces.cli.loop_report import sparkline, total_line
from acp_agent.surfaces.cli.phrases import phrase
from acp_agent.surfaces.cli.records import Record
from acp_agent.surfaces.cli.text import cut, one_line

SHOWN = 6
"""Iterations shown, the newest."""


class LiveLoop:
    """Redraws on `tick`; gone from the screen when closed, since the report follows on stdout."""

    def __init__(self, view: LoopView, now: Callable[[], float] = time.time, console: Console | None = None) -> None:
        self._view = view
        self._now = now
        self._console = console or Console(stderr=True)
        self._doing = ""
        self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)
        self._live.start()

    def seen(self, record: Record) -> None:
        """The view is up to date already; of the run under way its last step is shown."""
        if record.stream_id.startswith("r_"):
            self._doing = phrase(record.data)

    def tick(self) -> None:
        """Draw the view as it stands."""
        self._live.update(live_view(self._view, self._console, self._now(), self._doing), refresh=True)

    def say(self, line: str) -> None:
        """Print above the view."""
        self._console.print(Text(line))

    def close(self) -> None:
        """Take the view off the screen."""
        self._live.update(Text(""), refresh=True)
        self._live.stop()


def live_view(view: LoopView, console: Console, now: float, doing: str = "") -> Group:
    """What fits into the window."""
    unicode = speaks_unicode(console.file)
    width = max(console.width, 20)
    lines = [Text(cut(f"loop {one_line(view.name)} on {one_line(view.project)}  {total_line(view, unicode)}", width))]
    lines[0].stylize("bold")
    for name, values in view.scores().items():
        room = max(width - len(name) - 30, 10)
        lines.append(Text(cut(f"{one_line(name)}  {sparkline(values, unicode, room)}  {values[-1]:g}", width)))
    turns = list(view.turns.values())
    for turn in turns[-SHOWN:]:
        what = turn.subject if turn.outcome == "accepted" else f"{turn.why} {turn.detail}"
        if turn.outcome == "running":
            what = f"{view.step}, {duration(now - turn.started_at)}  {doing}"
        line = Text(f"{turn.iteration:>4}  ")
        line.append(label(turn.outcome, unicode), style=colour(turn.outcome))
        line.append("  " + cut(one_line(what), max(width - 24, 8)))
        lines.append(line)
    return Group(*lines)
