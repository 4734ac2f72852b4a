"""Option groups that several commands share, and the words people write amounts in."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from acp_agent.surfaces.cli import complete

if TYPE_CHECKING:
    from acp_agent.fleet.select import Selection

F = TypeVar("F", bound=Callable[..., Any])


class Duration(click.ParamType[float]):
    """`90s`, `30m`, `1h30m`, or seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds, more than 0; a bare number is seconds."""
        from acp_agent.config.duration import parse_duration

        text = str(value).strip()
        try:
            return parse_duration(text + "s" if text[-1:].isdigit() else text)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


class Money(click.ParamType[float]):
    """US dollars: `5`, `0.50`, `$2`."""

    name = "usd"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """US dollars, 0 or more."""
        try:
            amount = float(str(value).strip().removeprefix("$"))
        except ValueError:
            self.fail(f"{value!r} is no amount; write US dollars, as 0.50", param, ctx)
        if not math.isfinite(amount) or amount < 0:
            self.fail(f"{value!r} is no amount of money", param, ctx)
        return amount


def stacked(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator that applies several, listed in the order of the help."""

    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


selection = stacked(
    click.option(
        "-t", "--tags", multiple=True, metavar="A,B", shell_complete=complete.tags, help="Projects with all these tags."
    ),
    click.option("-e", "--expr", metavar="EXPR", help="Tag expression: '(python || rust) && !legacy'."),
    click.option(
        "-p", "--project", multiple=True, metavar="NAME", shell_complete=complete.projects, help="A project by name."
    ),
    click.option("--all", "everything", is_flag=True, help="Every project."),
    click.option(
        "--limit", type=click.IntRange(min=1), metavar="N", help="At most N projects, in the order of the file."
    ),
)


def selection_of(given: Mapping[str, Any]) -> "Selection":
    """What the options of `selection` select."""
    from acp_agent.fleet.select import Selection

    return Selection(
        tags=given["tags"],
        expression=given["expr"],
        names=given["project"],
        limit=given["limit"],
        all=given["everything"],
    )


projects_file = click.option(
    "--projects",
    "projects_file",
    metavar="FILE",
    type=click.Path(),
    help="The projects.toml to use (default: $ACP_PROJECTS, upward from here, then the user's).",
)

OUTPUTS = ("auto", "stream", "table", "json", "jsonl", "quiet")

output = stacked(
    click.option(
        "-o", "--output", type=click.Choice(OUTPUTS), default="auto", show_default=True, help="Form of the result."
    ),
    click.option(
        "--out", metavar="FILE", type=click.Path(dir_okay=False), help="Write the result there, not to stdout."
    ),
)

jobs = click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 256),
    default=4,
    show_default=True,
    metavar="N",
    help="Runs at the same time.",
)

as_json = click.option(
    "-o",
    "--output",
    type=click.Choice(("table", "json")),
    default="table",
    show_default=True,
    help="Form of the result.",
)
