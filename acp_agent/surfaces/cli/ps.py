"""`acp ps`: batches and runs that are alive or recent."""

import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from acp_agent.domain.errors import ExitCode, UsageError
from acp_agent.surfaces.cli import options
from acp_agent.surfaces.cli.columns import aligned
from acp_agent.surfaces.cli.formats import age, changes, count, money, some
from acp_agent.surfaces.cli.glyphs import at_least, label, speaks_unicode
from acp_agent.surfaces.cli.grid import is_terminal, print_json, terminal_width
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.limiters import limiter_documents, limiter_lines
from acp_agent.surfaces.cli.loop_list import loop_documents, loop_rows, loops_listed
from acp_agent.surfaces.cli.records import EVERY, Listed, open_records
from acp_agent.surfaces.cli.stop import hold_line, hold_of_record
from acp_agent.surfaces.cli.text import cut, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from acp_agent.store.reads import LoopRow, RunRow

RECENT = 86400.0
SHOWN = 20
RUNS_OF_ONE = 10
"""Runs shown of a batch; of a larger one those that went well are counted, not listed."""
LONGEST = 160
NONE = 'nothing yet: acp run "what to do" --tags=...'
CLEAR = "\x1b[H\x1b[J"
"""Moves a terminal's cursor home and clears what is below it."""
HEAD = ("id", "project", "status", "step", "tokens", "cost", "age")
LIMITS = ("max_steps", "max_tool_calls", "max_tokens", "max_cost", "max_time")


@click.command(cls=Command)
@click.option("-a", "--all", "everything", is_flag=True, help="Old ones too (default: alive, or of the last 24 hours).")
@click.option("-w", "--watch", is_flag=True, help="Draw it anew every second, until Ctrl-C.")
@options.as_json
def ps(everything: bool, watch: bool, output: str) -> int:
    """List loops, batches and their runs: where each stands, what it cost.

    Of a batch with more than ten runs those that went well are counted; acp show ID lists all.
    """
    if watch:
        return _watch(everything, output)
    listed, loops = _listed(everything), loops_listed(everything)
    if output == "json":
        held = hold_of_record()
        batches = [_document(entry) for entry in listed]
        rest = {"hold": held and held._asdict(), "limiters": limiter_documents()}
        print_json({"v": 1, "batches": batches, "loops": loop_documents(loops), **rest})
    elif listed or loops:
        click.echo(_table(listed, loops))
    else:
        click.echo(NONE, err=True)
    if output != "json":
        for line in _standing():
            click.echo(line, err=True)
    return int(ExitCode.OK)


def _watch(everything: bool, output: str) -> int:
    if output != "table" or not is_terminal(sys.stdout):
        raise UsageError("--watch needs a terminal and a table", hint="acp logs -f ID goes on where there is none")
    try:
        while True:
            listed, loops = _listed(everything), loops_listed(everything)
            lines = (_table(listed, loops) if listed or loops else NONE).splitlines()
            lines = [*_standing(), *lines]
            room = shutil.get_terminal_size().lines - 1
            click.echo(CLEAR + "\n".join(lines[:room]))
            time.sleep(1.0)
    except KeyboardInterrupt:
        return int(ExitCode.OK)


def _standing() -> list[str]:
    """What holds runs back, whichever they are."""
    return [*filter(None, [hold_line()]), *limiter_lines()]


def _listed(everything: bool) -> list[Listed]:
    now = time.time()
    listed = open_records(os.environ).listed(EVERY if everything else 200)
    return listed if everything else [entry for entry in listed if _is_current(entry, now)][:SHOWN]


def _table(listed: "Sequence[Listed]", loops: "Sequence[LoopRow]") -> str:
    now, unicode = time.time(), speaks_unicode(sys.stdout)
    rows = loop_rows(loops, now, unicode)
    rows += [row for entry in listed for row in _rows(entry, now, unicode)]
    return aligned(HEAD, rows, right={4, 5, 6}, width=terminal_width(), spare=("tokens", "age", "cost"))


def state_of(run: "RunRow") -> str:
    """One word: the outcome of an ended run, else its status; `interrupted` where nobody drives one that had begun.

    A run that came to its end has a message only where a gate failed.
    """
    if run.landed:
        return run.landed
    if not run.driven and (run.status == "running" or (run.status == "queued" and _had_begun(run))):
        return "interrupted"
    if run.status != "ended":
        return run.status
    if run.reason == "end_turn":
        return "failed" if run.message else "ok"
    return "limit" if run.reason in LIMITS else "cancelled" if run.reason == "cancelled" else "failed"


def _had_begun(run: "RunRow") -> bool:
    """Whether a queued run was given back unfinished, rather than waiting for its first turn or just answered."""
    return run.path is not None and run.last_type not in ("approval_given", "question_answered", "cancel_asked")


def _is_current(entry: Listed, now: float) -> bool:
    return any(run.status != "ended" or now - run.updated_at < RECENT for run in entry.runs) or (
        entry.batch is not None and now - entry.batch.created_at < RECENT
    )


def _rows(entry: Listed, now: float, unicode: bool) -> list[tuple[str, ...]]:
    told, others = _told(entry)
    runs: list[tuple[str, ...]] = [
        (
            ("  " if entry.batch else "") + run.id,
            run.project,
            label(state_of(run), unicode),
            doing(run),
            count(run.tokens_in + run.tokens_out) if run.steps else "",
            money(run.cost, run.cost_known, at_least=at_least(unicode)) if run.steps else "",
            age(run.created_at, now),
        )
        for run in told
    ]
    if others and (told or "," in others):
        runs.append((f"  ... {len(entry.runs) - len(told)}", "more", "", others, "", "", ""))
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


def _told(entry: Listed) -> "tuple[Sequence[RunRow], str]":
    """The runs to list, and how many there are of the others: those that went well give way to those that did not."""
    if entry.batch is None or len(entry.runs) <= RUNS_OF_ONE:
        return entry.runs, ""
    ranked = sorted(entry.runs, key=lambda run: _URGENT.index(state_of(run)))
    told = [run for run in ranked[:RUNS_OF_ONE] if state_of(run) not in _CALM]
    others: dict[str, int] = {}
    for run in ranked[len(told) :]:
        others[state_of(run)] = others.get(state_of(run), 0) + 1
    kept = {run.id for run in told}
    listed = [run for run in entry.runs if run.id in kept]
    return listed, ", ".join(f"{number} {state}" for state, number in others.items())


def doing(run: "RunRow") -> str:
    """What a run does now, what it waits for, or what came of it, in a few words."""
    if run.status == "ended" and run.reason == "end_turn" and not run.message:
        return _result(run)
    text = run.last_text if run.status == "running" else run.message or run.last_text
    word, _, rest = text.partition(" ")
    return cut(one_line(f"{_WORDS[word]} {rest}" if word in _WORDS else text), LONGEST)


def _result(run: "RunRow") -> str:
    if run.commit_sha:
        return f"{some(run.files, 'file')} {changes(run.files, run.added, run.removed)}"
    if run.worktree is None:
        return "done"
    return "changed, not committed" if not run.landed and os.path.isdir(run.worktree) else "nothing changed"


def _batch_state(entry: Listed) -> str:
    states = [state_of(run) for run in entry.runs]
    return next((state for state in _MOST_TELLING if state in states), "ok")


_CALM = frozenset({"ok", "accepted", "rejected", "queued"})
_URGENT = (
    "waiting",
    "paused",
    "failed",
    "limit",
    "cancelled",
    "running",
    "interrupted",
    "queued",
    "ok",
    "accepted",
    "rejected",
)
_WORDS = {
    "model_called": "asks",
    "model_replied": "says",
    "model_failed": "model failed:",
    "approval_asked": "asks for approval:",
    "approval_given": "answered:",
    "question_asked": "asks:",
    "question_answered": "answered by",
    "workspace_prepared": "workplace ready",
    "limit_reached": "limit reached:",
    "cancel_asked": "cancelling",
}
"""How the record's own words for what happened last read to a person."""

_MOST_TELLING = (
    "running",
    "interrupted",
    "queued",
    "waiting",
    "paused",
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
