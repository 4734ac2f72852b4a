"""Plain aligned columns: the table of the fast commands, which cannot wait for rich."""

from collections.abc import Collection, Sequence

from acp_agent.surfaces.cli.text import cells, cut, one_line

GAP = "  "


def aligned(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = (), width: int | None = None
) -> str:
    """Rows under `head`, each cell made harmless; columns in `right` are right-aligned, empty columns are left out.

    Lines longer than `width` are cut; None never cuts, so that a script sees everything.
    """
    table = [tuple(one_line(cell) for cell in row) for row in rows]
    shown = [column for column in range(len(head)) if any(row[column] for row in table)]
    widths = {column: max(cells(row[column]) for row in [tuple(head), *table]) for column in shown}
    lines = (
        GAP.join(_padded(row[column], widths[column], column in right) for column in shown).rstrip()
        for row in [tuple(head), *table]
    )
    return "\n".join(line if width is None else cut(line, width) for line in lines)


def _padded(cell: str, width: int, right: bool) -> str:
    space = " " * (width - cells(cell))
    return space + cell if right else cell + space
