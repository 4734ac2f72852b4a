"""Who watches a batch while it works: a live table, plain lines, event rows, or nobody."""

import sys
import time
from collections.abc import Callable
from typing import Protocol

import click

from acp_agent.fleet.view import BatchView, Row
from acp_agent.surfaces.cli.document import event_document
from acp_agent.surfaces.cli.formats import clock
from acp_agent.surfaces.cli.glyphs import label, speaks_unicode
from acp_agent.surfaces.cli.grid import is_terminal, to_json
from acp_agent.surfaces.cli.phrases import is_change, phrase
from acp_agent.surfaces.cli.records import Record
from acp_agent.surfaces.cli.text import one_line


class Watcher(Protocol):
    """Told of every new event; `tick` comes several times a second, `close` once at the end."""

    def seen(self, record: Record, row: Row) -> None:
        """A fact happened; `row` has it folded in."""
        ...

    def tick(self) -> None:
        """Time passes."""
        ...

    def say(self, line: str) -> None:
        """Tell whoever watches, beside what is shown."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


class Silent:
    """Nobody watches."""

    def seen(self, record: Record, row: Row) -> None:
        """Say nothing."""

    def tick(self) -> None:
        """Say nothing."""

    def say(self, line: str) -> None:
        """On stderr, on a line of its own: the terminal may have written `^C` there."""
        click.echo(f"\n{line}", err=True)

    def close(self) -> None:
        """Say nothing."""


class Lines(Silent):
    """One plain line per change on stderr."""

    def __init__(self) -> None:
        self._unicode = speaks_unicode(sys.stderr)

    def seen(self, record: Record, row: Row) -> None:
        """`12:03:44 api ● running  Edit src/app.py`."""
        if is_change(record.data):
            state = label(row.outcome, self._unicode)
            name = one_line(row.project or row.run_id)
            click.echo(f"{clock(record.ts)} {name} {state}  {phrase(record.data)}", err=True)


class EventRows(Silent):
    """The rows of the event log on stdout (or `write`) as they happen."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def seen(self, record: Record, row: Row) -> None:
        """One JSON line."""
        self._write(to_json(event_document(*record[:3], row.project, record.data)))


def watcher_for(output: str, view: BatchView, write: Callable[[str], None]) -> Watcher:
    """The watcher that `-o` and the terminal ask for."""
    match output:
        case "quiet":
            return Silent()
        case "jsonl":
            return EventRows(write)
        case "stream":
            return Lines()
        case _ if is_terminal(sys.stderr) and can_move_the_cursor():
            from acp_agent.surfaces.cli.live import LiveTable

            return LiveTable(view, time.time)
        case _:
            return Lines()


def can_move_the_cursor() -> bool:
    """Whether the terminal can draw over what it has drawn."""
    import os

    return os.environ.get("TERM", "") not in ("dumb", "unknown")
