"""`acp cost` and `acp budget`: what was spent, and how much may be."""

import os
import sys
import time
from typing import TYPE_CHECKING

import click

from acp_agent.config.paths import database_location
from acp_agent.config.person import person_name
from acp_agent.domain.errors import ExitCode, NothingSelected, UsageError
from acp_agent.fleet.costs import BY, Call, spending, whole
from acp_agent.store.reads import BudgetRow, Reads
from acp_agent.surfaces.cli import options
from acp_agent.surfaces.cli.formats import count, money, some
from acp_agent.surfaces.cli.glyphs import at_least, speaks_unicode
from acp_agent.surfaces.cli.grid import Grid, is_terminal, painted, print_json
from acp_agent.surfaces.cli.group import Command, LazyGroup
from acp_agent.surfaces.cli.text import one_line

if TYPE_CHECKING:
    from acp_agent.fleet.costs import Spending

_TABLE = {
    "show": (__name__ + ":show", "Show budgets: cap, spent, set aside, left."),
    "set": (__name__ + ":set_cap", "Cap a budget, or take its cap away."),
}
PLAIN = ("call", "day", "month", "tenant")
NAMED = ("project", "provider", "model")
STREAMS = ("run", "batch", "loop")


@click.command(cls=Command)
@click.option("--by", type=click.Choice(list(BY)), default="project", show_default=True, help="What to sum by.")
@click.option("--since", type=options.Duration(), metavar="DURATION", help="Only the last 24h, 7d, 30m...")
@options.as_json
def cost(by: str, since: float | None, output: str) -> int:
    """Sum up what calls of models cost, by project, model, role, loop or day."""
    after = 0.0 if since is None else time.time() - since
    with Reads(database_location(os.environ)) as reads:
        sums = spending((Call(*row) for row in reads.calls(after)), by)
    if not sums:
        raise NothingSelected("no model was called" + (" since then" if since else " yet"), hint="acp ps --all")
    if output == "json":
        print_json({"v": 1, "by": by, "rows": [_document(one) for one in sums], "all": _document(whole(sums))})
        return int(ExitCode.OK)
    unicode = speaks_unicode(sys.stdout)
    rows = tuple(
        (
            one_line(one.name),
            str(one.calls),
            count(one.tokens_in),
            count(one.tokens_out),
            money(one.cost, one.cost_known, at_least=at_least(unicode)),
        )
        for one in (*sums, *([whole(sums)] if len(sums) > 1 else []))
    )
    grid = Grid((by, "calls", "tokens in", "out", "cost"), rows, right=frozenset({1, 2, 3, 4}))
    click.echo(painted(grid, terminal=is_terminal(sys.stdout)))
    return int(ExitCode.OK)


def _document(one: "Spending") -> dict[str, object]:
    return one._asdict()


@click.command(cls=LazyGroup, table=_TABLE, name="budget")
def budget() -> None:
    """Budgets: what calls, runs, batches, loops, projects, models, providers, days and months may cost."""


@click.command(cls=Command)
@click.option("-a", "--all", "everything", is_flag=True, help="Those of single runs, batches and loops, and past days.")
@options.as_json
def show(everything: bool, output: str) -> int:
    """Show budgets. What is set aside belongs to calls under way, or to ones that were lost until their run goes on."""
    with Reads(database_location(os.environ)) as reads:
        found = [row for row in reads.budgets() if not row.scope.startswith("blast:")]
    rows = [row for row in _with_caps(found) if everything or _is_current(row)]
    if output == "json":
        print_json({"v": 1, "budgets": [row._asdict() for row in rows]})
        return int(ExitCode.OK)
    if not rows:
        raise NothingSelected("there is no budget yet", hint="acp budget set day 20")
    cells = tuple(
        (
            one_line(row.scope),
            "none" if row.cap is None else money(row.cap),
            money(row.spent),
            money(row.reserved),
            "" if row.cap is None else money(max(0.0, row.cap - row.spent - row.reserved)),
        )
        for row in rows
    )
    grid = Grid(("budget", "cap", "spent", "set aside", "left"), cells, right=frozenset({1, 2, 3, 4}))
    click.echo(painted(grid, terminal=is_terminal(sys.stdout)))
    return int(ExitCode.OK)


def _with_caps(rows: list[BudgetRow]) -> list[BudgetRow]:
    """The rows with the cap that holds for them: that of a day is the least of what was set and configured."""
    from acp_agent.config.settings import load_settings
    from acp_agent.config.window_caps import window_caps

    configured = window_caps(load_settings(os.environ).table.budget)
    standing = {row.scope: row.cap for row in rows if row.scope in ("day", "month")}
    return [_with_cap(row, (standing.get(_window(row)), configured.get(_window(row)))) for row in rows]


def _with_cap(row: BudgetRow, others: tuple[float | None, ...]) -> BudgetRow:
    caps = [cap for cap in (row.cap, *others) if cap is not None]
    return row._replace(cap=min(caps, default=None))


def _window(row: BudgetRow) -> str:
    return row.scope.partition(":")[0] if row.scope.startswith(("day:", "month:")) else ""


def _is_current(row: BudgetRow) -> bool:
    today = time.strftime("%Y-%m-%d", time.localtime())
    kind, _, name = row.scope.partition(":")
    if kind in ("day", "month"):
        return name in ("", today, today[:7])
    return kind not in STREAMS or row.reserved > 0


@click.command(cls=Command)
@click.argument("scope")
@click.argument("amount")
def set_cap(scope: str, amount: str) -> int:
    """Cap SCOPE at AMOUNT in US dollars; `none` takes the cap away.

    SCOPE: call, day, month, tenant (everything), project:NAME, provider:NAME, model:PROVIDER/MODEL, or the ID of a run,
    batch or loop. What was spent stays. Runs that wait for a budget go on with acp resume.
    """
    import anyio

    cap = None if amount.strip().lower() == "none" else options.Money().convert(amount, None, None)
    meant = _meant(scope)
    waiting = anyio.run(_set, meant, cap)
    click.echo(f"{one_line(meant)}: {'no cap' if cap is None else money(cap)}")
    if waiting:
        click.echo(f"{some(waiting, 'run')} waiting for a budget: acp resume --all", err=True)
    return int(ExitCode.OK)


async def _set(scope: str, cap: float | None) -> int:
    from acp_agent.app import open_journal
    from acp_agent.domain.events_budget import BUDGETS, BudgetSet
    from acp_agent.runs.standing import tell

    async with open_journal(os.environ) as journal:
        await tell(journal, BUDGETS, BudgetSet(scope=scope, cap=cap), f"cli:{person_name()}")
    with Reads(database_location(os.environ)) as reads:
        return sum(run.waiting_for == "budget" for run in reads.runs(status="waiting", limit=10_000))


def _meant(scope: str) -> str:
    """The budget that a person means. Raises UsageError with those there are."""
    kind, _, name = scope.partition(":")
    if scope in PLAIN or (kind in NAMED and name):
        return scope
    with Reads(database_location(os.environ)) as reads:
        found = [one for one in reads.find(name if kind in STREAMS and name else scope) if one.kind in STREAMS]
    if len(found) == 1:
        return f"{found[0].kind}:{found[0].id}"
    known = "call, day, month, tenant, project:NAME, provider:NAME, model:PROVIDER/MODEL, or an ID (acp ps)"
    raise UsageError(f"there is no budget {one_line(scope)!r}", hint=known)
