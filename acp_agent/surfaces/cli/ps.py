"""`acp ps`: batches and runs that are alive or recent."""

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from acp_agent.domain.errors import ExitCode
from acp_agent.surfaces.cli import options
from acp_agent.surfaces.cli.columns import aligned
from acp_agent.surfaces.cli.formats import age, count, money, some
from acp_agent.surfaces.cli.glyphs import at_least, label, speaks_unicode
from acp_agent.surfaces.cli.grid import print_json, terminal_width
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.records import EVERY, Listed, open_records

if TYPE_CHECKING:
    from acp_agent.store.reads import RunRow

RECENT = 86400.0
SHOWN = 20
HEAD = ("id", "project", "status", "step", "tokens", "cost", "age")
LIMITS = ("max_steps", "max_tool_calls", "max_tokens", "max_cost", "max_time")


@click.command(cls=Command)
@click.option("-a", "--all", "everything", is_flag=True, help="Old ones too (default: alive, or of the last 24 hours).")
@options.as_json
def ps(everything: bool, output: str) -> int:
    """List batches and their runs: where each stands, what it cost."""
    now = time.time()
    listed = open_records(os.environ).listed(EVERY if everything else 200)
    if not everything:
        listed = [entry for entry in listed if _is_current(entry, now)][:SHOWN]
    if output == "json":
        print_json({"v": 1, "batches": [_document(entry) for entry in listed]})
    elif listed:
        unicode = speaks_unicode(sys.stdout)
        rows = [row for entry in listed for row in _rows(entry, now, unicode)]
        click.echo(aligned(HEAD, rows, right={4, 5, 6}, width=terminal_width()))
    else:
        click.echo('nothing yet: acp run "what to do" --tags=...', err=True)
    return int(ExitCode.OK)


def state_of(run: "RunRow") -> str:
    """One word: the outcome of an ended run, else its status; `interrupted` where nobody drives a running one."""
    if run.landed:
        return run.landed
    if run.status == "running" and not run.driven:
        return "interrupted"
    if run.status != "ended":
        return run.status
    if run.reason == "end_turn":
        return "ok"
    return "limit" if run.reason in LIMITS else "cancelled" if run.reason == "cancelled" else "failed"


def _is_current(entry: Listed, now: float) -> bool:
    return any(run.status != "ended" or now - run.updated_at < RECENT for run in entry.runs) or (
        entry.batch is not None and now - entry.batch.created_at < RECENT
    )


def _rows(entry: Listed, now: float, unicode: bool) -> list[tuple[str, ...]]:
    runs: list[tuple[str, ...]] = [
        (
            ("  " if entry.batch else "") + run.id,
            run.project,
            label(state_of(run), unicode),
            (run.message or run.last_text) if run.status != "running" else run.last_text,
            count(run.tokens_in + run.tokens_out) if run.steps else "",
            money(run.cost, run.cost_known, at_least=at_least(unicode)) if run.steps else "",
            age(run.created_at, now),
        )
        for run in entry.runs
    ]
    if entry.batch is None:
        return runs
    number = len(entry.batch.projects)
    whole = (
        entry.batch.id,
        f"{some(number, 'project')}",
        label(_batch_state(entry), unicode),
        entry.batch.prompt,
        count(sum(run.tokens_in + run.tokens_out for run in entry.runs)),
        money(
            sum(run.cost for run in entry.runs), all(run.cost_known for run in entry.runs), at_least=at_least(unicode)
        ),
        age(entry.batch.created_at, now),
    )
    return [whole, *runs]


def _batch_state(entry: Listed) -> str:
    states = [state_of(run) for run in entry.runs]
    return next((state for state in _MOST_TELLING if state in states), "ok")


_MOST_TELLING = (
    "running",
    "interrupted",
    "queued",
    "waiting",
    "failed",
    "cancelled",
    "limit",
    "ok",
    "accepted",
    "rejected",
)


def _document(entry: Listed) -> dict[str, Any]:
    batch = entry.batch
    return {
        "batch": batch.id if batch else None,
        "prompt": batch.prompt if batch else None,
        "status": _batch_state(entry),
        "created_at": batch.created_at if batch else None,
        "runs": [_run_document(run) for run in entry.runs],
    }


def _run_document(run: "RunRow") -> dict[str, Any]:
    return {
        "run": run.id,
        "project": run.project,
        "status": run.status,
        "state": state_of(run),
        "driven": run.driven,
        "waiting_for": run.waiting_for,
        "reason": run.reason,
        "message": run.message,
        "last": run.last_text,
        "model": run.model,
        "steps": run.steps,
        "tool_calls": run.tool_calls,
        "tokens": {"input": run.tokens_in, "output": run.tokens_out},
        "cost": run.cost if run.cost_known or run.cost else None,
        "cost_known": run.cost_known,
        "branch": run.branch,
        "commit": run.commit_sha,
        "files": run.files,
        "added": run.added,
        "removed": run.removed,
        "landed": run.landed,
        "created_at": run.created_at,
        "updated_at": run.updated_at,
        "ended_at": run.ended_at,
    }
