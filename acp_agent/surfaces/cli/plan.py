"""A plan as a person confirms it, and as `--plan` prints it."""

import json
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import click

from acp_agent.fleet.view import BatchView
from acp_agent.surfaces.cli.formats import money, price_range, some
from acp_agent.surfaces.cli.grid import Grid, is_terminal, names_of, painted
from acp_agent.surfaces.cli.text import one_line

if TYPE_CHECKING:
    from acp_agent.fleet.plan import Plan


def summary(plan: "Plan") -> str:
    """Projects, model and why, cost range, warnings: what is read before `Start?`."""
    number = len(plan.items)
    cap = f" (capped at {money(plan.max_cost)})" if plan.max_cost is not None else ""
    source = f" ({one_line(plan.model_source)})" if plan.model_source else ""
    lines = [
        f"{some(number, 'project')}: {names_of([item.project or item.root for item in plan.items])}",
        f"model: {one_line(', then '.join(plan.models))}{source}",
        f"cost: {price_range(plan.low, plan.high)}{cap}",
        *_network(plan),
    ]
    return "\n".join(lines + [f"warning: {one_line(warning)}" for warning in plan.warnings])


def _network(plan: "Plan") -> Iterator[str]:
    """The hosts that can be reached; nothing where the network is closed, as it is by default."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for item in plan.items:
        groups.setdefault(item.request.egress, []).append(item.project or item.root)
    for hosts, projects in groups.items():
        if hosts:
            of = f" ({names_of(projects)})" if len(groups) > 1 else ""
            yield f"network: {', '.join(hosts)}{of}"


def costs_or_edits(plan: "Plan") -> bool:
    """Whether carrying the plan out spends money (or an unknown amount of it) or may change a file."""
    return plan.high != 0 or any(not item.request.read_only for item in plan.items)


def write_plan(plan: "Plan", output: str, stream: IO[str]) -> None:
    """The plan as a table or as JSON."""
    if output in ("json", "jsonl"):
        indent = 2 if output == "json" else None
        click.echo(json.dumps(plan_document(plan), ensure_ascii=True, indent=indent), file=stream)
        return
    if output == "quiet":
        return
    grid = Grid(
        ("#", "project", "mode", "branch", "directory"),
        tuple(
            (
                str(number),
                item.project,
                "read only" if item.request.read_only else item.kind,
                _branch(plan, item.branch) or "",
                item.root,
            )
            for number, item in enumerate(plan.items, 1)
        ),
        right=frozenset({0}),
        spare=("branch", "#"),
    )
    click.echo(painted(grid, terminal=is_terminal(stream)) + "\n\n" + summary(plan), file=stream)


def plan_document(plan: "Plan") -> dict[str, Any]:
    """The plan for machines: projects in order, money in US dollars, None where a price is unknown."""
    return {
        "v": 1,
        "prompt": plan.prompt,
        "projects": [
            {
                "project": item.project,
                "directory": item.root,
                "kind": item.kind,
                "branch": _branch(plan, item.branch),
                "read_only": item.request.read_only,
                "egress": list(item.request.egress),
                "limits": item.request.limits.model_dump(mode="json"),
            }
            for item in plan.items
        ],
        "models": list(plan.models),
        "model_source": plan.model_source,
        "cost": {"low": plan.low, "high": plan.high, "max": plan.max_cost},
        "warnings": list(plan.warnings),
    }


def _branch(plan: "Plan", branch: str | None) -> str | None:
    """The branch as far as it is known: a batch gets its id when it starts."""
    return branch.replace(plan.batch_id, "<batch>") if branch else None


def empty_view(batch_id: str, plan: "Plan") -> BatchView:
    """The view of a batch that has just begun."""
    return BatchView(batch_id, plan.prompt)
