"""A table as data, painted plainly into a pipe and with rich on a terminal."""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from acp_agent.surfaces.cli.columns import aligned
from acp_agent.surfaces.cli.text import cells, one_line, plain

GAP = 2
"""Spaces between two columns."""
NAME = 28
"""Columns that a first column keeps where the window is too narrow for all; longer names are folded."""


@dataclass(frozen=True)
class Grid:
    """Rows under `head`. Columns in `right` are right-aligned; `colours` has one per row, for its column `state`.

    A window that is too narrow loses the columns in `spare`, the first named first.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: frozenset[int] = frozenset()
    state: int | None = None
    colours: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()


def painted(grid: Grid, *, terminal: bool) -> str:
    """The table as text: uncut columns for a pipe, fitted to the width of the window for a terminal."""
    if not terminal or not grid.rows:
        return aligned(grid.head, grid.rows, right=grid.right)
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=sys.stdout)
    shown = _fitting(grid, console.width)
    table = Table(box=None, pad_edge=False, show_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for index, most in shown.items():
        table.add_column(
            Text(grid.head[index]), justify="right" if index in grid.right else "left", overflow="fold", max_width=most
        )
    for number, row in enumerate(grid.rows):
        styles = {grid.state: grid.colours[number]} if grid.state is not None else {}
        table.add_row(*(Text(one_line(row[index]), style=styles.get(index, "")) for index in shown))
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _fitting(grid: Grid, width: int) -> dict[int, int | None]:
    """The columns to show, those with anything in them, as many as fit; with the most that one may take."""
    shown = [index for index in range(len(grid.head)) if any(row[index] for row in grid.rows)]
    needs = {index: max(cells(one_line(row[index])) for row in (grid.head, *grid.rows)) + GAP for index in shown}
    most: dict[int, int | None] = dict.fromkeys(shown)
    if sum(needs.values()) - GAP > width and needs.get(0, 0) > NAME + GAP:
        needs[0], most[0] = NAME + GAP, NAME
    for name in grid.spare:
        index = grid.head.index(name)
        if sum(needs[column] for column in most) - GAP > width and index in most:
            del most[index]
    return most


def is_terminal(stream: Any) -> bool:
    """Whether a person looks at `stream` through a terminal."""
    return bool(getattr(stream, "isatty", lambda: False)())


def terminal_width() -> int | None:
    """The width of the window stdout writes to; None where nothing limits a line."""
    return width_of(sys.stdout)


def width_of(stream: Any) -> int | None:
    """The width of the window `stream` writes to; None where nothing limits a line."""
    return shutil.get_terminal_size().columns if is_terminal(stream) else None


def to_json(value: Any) -> str:
    """`value` as JSON in ASCII: safe for every terminal and every encoding."""
    return json.dumps(value, ensure_ascii=True, default=str)


def print_json(value: Any) -> None:
    """One JSON document, indented, on stdout."""
    click.echo(json.dumps(value, ensure_ascii=True, indent=2, default=str))


def field_text(value: Any) -> str:
    """A value of a structured answer in a cell."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case str():
            return value
        case list() if not any(isinstance(item, (dict, list)) for item in value):
            return ", ".join(map(field_text, value))
        case _:
            return json.dumps(value, ensure_ascii=False, default=str)


def indented(text: str, by: str = "  ") -> str:
    """Harmless lines of `text`, each after `by`."""
    return "\n".join(f"{by}{line}".rstrip() for line in plain(text).splitlines())


def names_of(names: Sequence[str], most: int = 12) -> str:
    """`a, b, c and 9 more`."""
    shown = ", ".join(map(one_line, names[:most]))
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
