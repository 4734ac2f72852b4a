"""Which projects are meant: by tags, an expression or names. Nothing given means nothing, never all.

Standard library only: `acp projects ls` uses it before anything heavy is imported.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from acp_agent.domain.errors import NothingSelected, UsageError
from acp_agent.fleet.expression import parse

HOW = "Select with --tags a,b or -e 'python && !legacy' or -p NAME, or name them all with --all; see acp projects ls"


class Entry(Protocol):
    """Anything that can be selected."""

    @property
    def name(self) -> str:
        """Its unique name."""
        ...

    @property
    def tags(self) -> Collection[str]:
        """Its tags."""
        ...


AnyEntry = TypeVar("AnyEntry", bound=Entry)


@dataclass(frozen=True)
class Selection:
    """What a person selected. Every part narrows what the others leave; names are alternatives of one another.

    `tags` are the values of `--tags` as given: a comma within one, and a second option, both mean AND. `limit` keeps
    the first so many, in the order of the file.
    """

    tags: tuple[str, ...] = ()
    expression: str | None = None
    names: tuple[str, ...] = ()
    limit: int | None = None
    all: bool = False

    @property
    def given(self) -> bool:
        """Whether anything selects at all; a limit alone does not."""
        return bool(self.all or self.tags or self.names or self.expression is not None)


def select(entries: Sequence[AnyEntry], selection: Selection) -> list[AnyEntry]:
    """The entries meant, in their own order.

    Raises NothingSelected when none is, or for a name or tag nobody has (a tag only ever negated may be absent, unless
    it looks like a misspelt one); UsageError for an expression that does not parse, an empty `--tags`, a limit below 1.
    """
    wanted_tags = _tags(selection.tags)
    expression = None if selection.expression is None else parse(selection.expression)
    if selection.limit is not None and selection.limit < 1:
        raise UsageError(f"--limit: expected 1 or more, got {selection.limit}")
    if not selection.given:
        raise NothingSelected("nothing is selected", hint=HOW)
    if not entries:
        raise NothingSelected("there are no projects", hint="acp init finds repositories and writes projects.toml")
    _check_known("project is called", selection.names, [entry.name for entry in entries])
    carried = sorted({tag for entry in entries for tag in entry.tags})
    _check_known("project has the tag", sorted(wanted_tags), carried)
    if expression is not None:
        _check_known("project has the tag", sorted(expression.wanted), carried)
        misspelt = [tag for tag in expression.unwanted if tag not in carried and _nearest(tag, carried)]
        _check_known("project has the tag", sorted(misspelt), carried)
    chosen = [
        entry
        for entry in entries
        if (not selection.names or entry.name in selection.names)
        and wanted_tags.issubset(entry.tags)
        and (expression is None or expression.matches(entry.tags))
    ]
    if not chosen:
        raise NothingSelected("no project fits the selection", hint=HOW)
    return chosen[: selection.limit]


def _tags(options: Iterable[str]) -> set[str]:
    wanted: set[str] = set()
    for option in options:
        tags = {tag.strip() for tag in option.split(",")} - {""}
        if not tags:
            raise UsageError("--tags: expected at least one tag", hint=HOW)
        wanted |= tags
    return wanted


def _check_known(what: str, wanted: Sequence[str], known: Collection[str]) -> None:
    present = set(known)
    unknown = [name for name in wanted if name not in present]
    if not unknown:
        return
    near = list(dict.fromkeys(found for name in unknown for found in _nearest(name, known)))
    shown = " or ".join(ascii(name) if not name.isprintable() else f'"{name}"' for name in unknown[:5])
    raise NothingSelected(f"no {what} {shown}", hint=f"Did you mean {', '.join(near[:5])}?" if near else HOW)


def _nearest(name: str, known: Collection[str]) -> list[str]:
    from difflib import get_close_matches  # only on the way to an error

    return get_close_matches(name, known, n=3, cutoff=0.7)
