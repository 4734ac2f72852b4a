"""`acp show`: one run or batch; first what a person must know to go on, then everything else."""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from acp_agent.domain.errors import ExitCode
from acp_agent.surfaces.cli import complete, options
from acp_agent.surfaces.cli.document import row_document
from acp_agent.surfaces.cli.formats import age, changes, clock, count, duration, money, some
from acp_agent.surfaces.cli.glyphs import at_least, label, speaks_unicode
from acp_agent.surfaces.cli.grid import indented, is_terminal, painted, print_json
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.phrases import phrase
from acp_agent.surfaces.cli.records import Found, open_records
from acp_agent.surfaces.cli.report import answer_command, elapsed, next_steps, reference, result_grid, why
from acp_agent.surfaces.cli.text import head_of, one_line

if TYPE_CHECKING:
    from acp_agent.fleet.view import Row
    from acp_agent.surfaces.cli.records import Record

TIMELINE = 40
"""Events shown of a run; `acp logs` has them all."""


@click.command(cls=Command)
@click.argument("name", metavar="ID[/PROJECT]", shell_complete=complete.ids)
@options.as_json
def show(name: str, output: str) -> int:
    """Show one run or batch: status and why, last action, next action, approval needed, cost; then the rest."""
    records = open_records(os.environ)
    found = records.find(name)
    rows = found.rows()
    if output == "json":
        print_json(_document(found))
    elif found.run_id or len(rows) == 1:
        events = records.records_after({rows[0].run_id: 0})
        click.echo("\n".join(_run_lines(found, rows[0], events)))
    else:
        click.echo("\n".join(_batch_lines(found, rows)))
    return int(ExitCode.OK)


def status_of(found: Found, row: "Row") -> str:
    """One word for where the run stands; `interrupted` where its process is gone."""
    run = found.runs.get(row.run_id)
    if row.landed:
        return row.landed
    if row.status in ("running", "queued") and run is not None and not run.driven:
        return "queued" if row.started_at is None else "interrupted"
    return row.outcome


def next_action(found: Found, row: "Row") -> str:
    """What happens next, or what a person types so that something does."""
    name = reference(found.batch_id, row)
    run = found.runs.get(row.run_id)
    if row.status == "waiting":
        return f"waits for you: {answer_command(found.batch_id, row)}"
    if row.status != "ended":
        return (
            "it works" if run is not None and run.driven else f"nobody drives it: acp resume {found.batch_id or name}"
        )
    if row.landed:
        return "none"
    if row.commit:
        return f"acp diff {name}, then acp accept {name} or acp reject {name}"
    return "none"


def _run_lines(found: Found, row: "Row", events: Sequence["Record"]) -> Iterator[str]:
    unicode = speaks_unicode(sys.stdout)
    now = time.time()
    reason = why(row)
    last = next((event for event in reversed(events)), None)
    yield f"status    {label(status_of(found, row), unicode)}" + (f": {reason}" if reason else "")
    if last is not None:
        yield f"last      {phrase(last.data)} ({age(last.ts, now)} ago)"
    yield f"next      {next_action(found, row)}"
    yield f"approval  {_approval(found, row)}"
    cost = money(row.cost, row.cost_known, at_least=at_least(unicode))
    tokens = count(row.tokens_in + row.tokens_out)
    used = [f"{tokens} tokens", some(row.steps, "step"), some(row.tool_calls, "tool call")]
    yield "cost      " + ", ".join([cost, *used, duration(elapsed(row, now)) or "no time yet"])
    yield from _request(found, row, events)
    yield from _result(row)
    yield ""
    yield "timeline"
    hidden = len(events) - TIMELINE
    if hidden > 0:
        yield f"  ... {hidden} earlier: acp logs {reference(found.batch_id, row)}"
    for event in events[-TIMELINE:]:
        yield f"  {clock(event.ts)}  {phrase(event.data)}"


def _approval(found: Found, row: "Row") -> str:
    if row.waiting_for not in ("approval", "outcome_unknown", "crash_loop"):
        return "none needed"
    question = row.asked[1] if row.asked else row.message
    return f"{one_line(question)}: {answer_command(found.batch_id, row)}"


def _request(found: Found, row: "Row", events: Sequence["Record"]) -> Iterator[str]:
    request: Mapping[str, Any] = events[0].data["request"] if events else {}
    place: Mapping[str, Any] = request.get("workplace", {})
    where = place.get("worktree") or place.get("root") or ""
    yield ""
    yield f"run       {row.run_id}" + (f" of batch {found.batch_id}" if found.batch_id else "")
    yield f"project   {one_line(row.project)}"
    yield f"models    {one_line(', then '.join(request.get('models', ())))}"
    yield f"works in  {one_line(where)}" + (f" on branch {one_line(row.branch)}" if row.branch else "")
    prompt, left_out = head_of(str(request.get("prompt", "")), 20, 4000)
    yield "prompt"
    yield indented(prompt) + (f"\n  ... {left_out} more lines" if left_out else "")


def _result(row: "Row") -> Iterator[str]:
    if row.commit:
        lines = changes(row.files, row.added, row.removed)
        yield f"commit    {row.commit[:12]}: {some(row.files, 'file')} {lines}"
    if row.answer is not None:
        import json

        yield "answer"
        yield indented(json.dumps(row.answer, ensure_ascii=False, indent=2))
    if row.text.strip():
        yield "says"
        yield indented(row.text.strip())


def _batch_lines(found: Found, rows: Sequence["Row"]) -> Iterator[str]:
    unicode = speaks_unicode(sys.stdout)
    states: dict[str, int] = {}
    for row in rows:
        state = status_of(found, row)
        states[state] = states.get(state, 0) + 1
    totals = found.view.totals()
    steps = next_steps(found.batch_id, rows)
    asked = [row for row in rows if row.waiting_for]
    newest = max(found.runs.values(), key=lambda run: run.updated_at, default=None)
    yield "status    " + ", ".join(f"{number} {label(state, unicode)}" for state, number in states.items())
    if newest is not None:
        last = f"{newest.project}: {newest.last_text}" if newest.last_text else newest.project
        yield f"last      {one_line(last)} ({age(newest.updated_at, time.time())} ago)"
    yield f"next      {steps[0] if steps else 'none'}"
    yield "approval  " + ("; ".join(_approval(found, row) for row in asked) if asked else "none needed")
    tokens = count(totals.tokens_in + totals.tokens_out)
    yield f"cost      {money(totals.cost, totals.cost_known, at_least=at_least(unicode))}, {tokens} tokens"
    yield ""
    yield f"batch     {found.batch_id}"
    prompt, left_out = head_of(found.view.prompt, 20, 4000)
    yield "prompt"
    yield indented(prompt) + (f"\n  ... {left_out} more lines" if left_out else "")
    yield ""
    yield painted(result_grid(rows, unicode), terminal=is_terminal(sys.stdout))
    for row in rows:
        if row.outcome not in ("ok", "queued", "running"):
            yield f"{one_line(row.project)}: {why(row)}"


def _document(found: Found) -> dict[str, Any]:
    totals = found.view.totals()
    code, reason = found.view.exit()
    return {
        "v": 1,
        "batch": found.batch_id or None,
        "prompt": found.view.prompt,
        "projects": [
            row_document(row) | {"state": status_of(found, row), "next": next_action(found, row)}
            for row in found.rows()
        ],
        "totals": {
            "cost": totals.cost if totals.cost_known or totals.cost else None,
            "cost_known": totals.cost_known,
        },
        "exit": {"code": int(code), "reason": reason},
    }
