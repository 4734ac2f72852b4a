"""Plain aligned columns: the table of the fast commands, which cannot wait for rich."""

from collections.abc import Collection, Mapping, Sequence

from acp_agent.surfaces.cli.text import cells, cut, one_line

GAP = "  "
LEAST = 14
"""A column of words is cut to no less than this; an id fits."""


def aligned(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[int] = (),
    width: int | None = None,
    spare: Sequence[str] = (),
) -> str:
    """Rows under `head`, each cell made harmless; columns in `right` are right-aligned, empty columns are left out.

    Where lines would be longer than `width`, the widest columns of words are cut, then the columns in `spare` are left
    out, the first named first; None never cuts, so that a script sees everything. Spaces before a first cell stay.
    """
    table = [tuple(_harmless(cell, column) for column, cell in enumerate(row)) for row in rows]
    shown = [column for column in range(len(head)) if any(row[column] for row in table)]
    widths = {column: max(cells(row[column]) for row in [tuple(head), *table]) for column in shown}
    if width is not None:
        widths = _fitted(widths, width, right, [head.index(name) for name in spare])
    lines = (
        GAP.join(_padded(row[column], wide, column in right) for column, wide in widths.items()).rstrip()
        for row in [tuple(head), *table]
    )
    return "\n".join(line if width is None else cut(line, width) for line in lines)


def _harmless(cell: str, column: int) -> str:
    indent = len(cell) - len(cell.lstrip(" ")) if column == 0 else 0
    return " " * indent + one_line(cell)


def _fitted(widths: Mapping[int, int], width: int, right: Collection[int], spare: Sequence[int]) -> dict[int, int]:
    """The widths of the columns that fit into `width`."""
    kept = dict(widths)
    for gone in (None, *spare):
        if gone is not None:
            kept.pop(gone, None)
        fitted = _narrowed(kept, width - len(GAP) * (len(kept) - 1), right)
        if sum(fitted.values()) + len(GAP) * (len(fitted) - 1) <= width:
            return fitted
    return _narrowed(kept, width - len(GAP) * (len(kept) - 1), right)


def _narrowed(widths: Mapping[int, int], room: int, right: Collection[int]) -> dict[int, int]:
    """`widths` with the widest columns of words made narrower together, as far as needed and allowed."""
    narrowed = dict(widths)
    words = [column for column in widths if column not in right]
    for _ in range(max(sum(widths.values()) - room, 0)):
        widest = max(words, key=narrowed.__getitem__, default=None)
        if widest is None or narrowed[widest] <= LEAST:
            break
        narrowed[widest] -= 1
    return narrowed


def _padded(cell: str, width: int, right: bool) -> str:
    shown = cut(cell, width)
    space = " " * (width - cells(shown))
    return space + shown if right else shown + space
