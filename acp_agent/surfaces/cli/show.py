"""`acp show`: one run or batch; first what a person must know to go on, then everything else."""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from acp_agent.domain.errors import ExitCode, UsageError
from acp_agent.surfaces.cli import complete, options
from acp_agent.surfaces.cli.artifacts import print_artifact, show_artifacts
from acp_agent.surfaces.cli.details import NOTHING, Details, details_of
from acp_agent.surfaces.cli.document import row_document
from acp_agent.surfaces.cli.formats import age, changes, clock, count, duration, money, some
from acp_agent.surfaces.cli.glyphs import at_least, label, speaks_unicode
from acp_agent.surfaces.cli.grid import indented, is_terminal, painted, print_json, terminal_width
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.loop_review import loop_meant, show_loop
from acp_agent.surfaces.cli.phrases import LONGEST, phrase
from acp_agent.surfaces.cli.plan_text import show_plan
from acp_agent.surfaces.cli.ps import doing, state_of
from acp_agent.surfaces.cli.records import Found, Records, open_records
from acp_agent.surfaces.cli.report import (
    ANSWERABLE,
    answer_command,
    elapsed,
    failures,
    keep_steps,
    next_steps,
    question,
    reference,
    result_grid,
    why,
)
from acp_agent.surfaces.cli.text import cut, head_of, last_lines, one_line

if TYPE_CHECKING:
    from acp_agent.fleet.view import Row
    from acp_agent.surfaces.cli.records import Record

TIMELINE = 40
"""Events shown of a run; `acp logs` has them all."""
GATE_LINES = 20
PREVIEW_LINES = 200
_NO_ACTION = frozenset({"approval_asked", "question_asked", "parked", "resumed"})
"""What asks is shown as the approval needed; the last action is the one before it."""


@click.command(cls=Command)
@click.argument("name", metavar="[ID[/PROJECT]]", required=False, shell_complete=complete.ids)
@click.option("--rotation", type=int, metavar="N", help="Of a loop: what its session N was told when it began.")
@click.option("--artifacts", "listing", is_flag=True, help="List outputs that were too long to be shown whole.")
@click.option("--artifact", metavar="HASH", help="Print one of them, whole.")
@click.option("--plan", "planned", is_flag=True, help="Of a run: the plan that it proposed, as text.")
@click.option("--edit", is_flag=True, help="With --plan: change a plan that waits, in your text editor.")
@options.as_json
def show(
    name: str | None,
    rotation: int | None,
    listing: bool,
    artifact: str | None,
    planned: bool,
    edit: bool,
    output: str,
) -> int:
    """Show one run, batch or loop: status and why, last action, next action, approval needed, cost; then the rest.

    Without ID the newest batch.
    """
    if (row := loop_meant(name)) is not None:
        return show_loop(row, output, rotation)
    records = open_records(os.environ)
    found = records.meant(name)
    if artifact is not None:
        return print_artifact(records, found, artifact)
    if listing:
        return show_artifacts(records, found, output)
    rows = found.rows()
    if planned or edit:
        return _plan(records, found, edit=edit)
    if output == "json":
        print_json(_document(found))
    elif found.run_id or len(rows) == 1:
        events = records.records_after({rows[0].run_id: 0})
        click.echo("\n".join(_run_lines(found, rows[0], events)))
    else:
        click.echo("\n".join(_batch_lines(found, rows)))
    return int(ExitCode.OK)


def _plan(records: Records, found: Found, *, edit: bool) -> int:
    rows = found.rows()
    if len(rows) != 1:
        raise UsageError(f"{len(rows)} runs are meant, and each has its own plan", hint="acp show ID/PROJECT --plan")
    events = records.records_after({rows[0].run_id: 0})
    return show_plan(rows[0].run_id, events, edit=edit)


def status_of(found: Found, row: "Row") -> str:
    """One word for where the run stands; `interrupted` where its process is gone."""
    run = found.runs.get(row.run_id)
    return row.outcome if run is None or (row.status == "ended" and not row.landed) else state_of(run)


def next_action(found: Found, row: "Row", details: Details = NOTHING) -> str:
    """What happens next, or what a person types so that something does."""
    name = reference(found.batch_id, row)
    run = found.runs.get(row.run_id)
    if row.status == "waiting":
        return f"waits for you: {answer_command(found.batch_id, row)}"
    if row.status != "ended":
        if run is not None and run.driven:
            return f"it works: acp logs -f {name}"
        return f"nobody drives it: acp resume {found.batch_id or name}"
    if row.landed:
        return "none"
    if row.commit:
        return f"acp diff {name}, then acp accept {name} or acp reject {name}"
    if details.left_in and not details.inplace:
        return f"acp diff {name}, then commit in {details.left_in} and acp accept {name}, or acp reject {name}"
    return "".join(keep_steps(found.batch_id, row, details)) or "none"


def _run_lines(found: Found, row: "Row", events: Sequence["Record"]) -> Iterator[str]:
    unicode = speaks_unicode(sys.stdout)
    now = time.time()
    details = details_of(row, events)
    state = status_of(found, row)
    reason = row.waiting_for if row.status == "waiting" else why(row, details)
    last = next((event for event in reversed(events) if event.data["type"] not in _NO_ACTION), None)
    yield f"status    {label(state, unicode)}" + (f": {reason}" if reason else "")
    if last is not None:
        yield f"last      {phrase(last.data)} ({age(last.ts, now)} ago)"
    yield f"next      {next_action(found, row, details)}"
    yield f"approval  {_approval(row)}"
    cost = money(row.cost, row.cost_known, at_least=at_least(unicode))
    tokens = count(row.tokens_in + row.tokens_out)
    used = [f"{tokens} tokens", some(row.steps, "step"), some(row.tool_calls, "tool call")]
    yield "cost      " + ", ".join([cost, *used, duration(elapsed(row, now, state)) or "no time yet"])
    yield from _request(found, row, events)
    yield from _preview(row, events)
    yield from _result(row, details)
    yield ""
    yield "timeline"
    hidden = len(events) - TIMELINE
    if hidden > 0:
        yield f"  ... {hidden} earlier: acp logs {reference(found.batch_id, row)}"
    for event in events[-TIMELINE:]:
        asks = row.status == "waiting" and event is events[-1]
        told = f"waits ({row.waiting_for})" if asks else phrase(event.data)
        yield f"  {clock(event.ts)}  {told}"


def _approval(row: "Row") -> str:
    return question(row) if row.waiting_for in ANSWERABLE else "none needed"


def _request(found: Found, row: "Row", events: Sequence["Record"]) -> Iterator[str]:
    request: Mapping[str, Any] = events[0].data["request"] if events else {}
    place: Mapping[str, Any] = request.get("workplace", {})
    where = place.get("worktree") or place.get("root") or ""
    gone = row.status == "ended" and not os.path.isdir(where)
    yield ""
    yield f"run       {row.run_id}" + (f" of batch {found.batch_id}" if found.batch_id else "")
    yield f"project   {one_line(row.project)}"
    yield f"models    {one_line(', then '.join(request.get('models', ())))}"
    branch = f" on branch {one_line(row.branch)}" if row.branch else ""
    yield f"works in  {one_line(where)}{' (gone)' if gone else ''}{branch}"
    prompt, left_out = head_of(str(request.get("prompt", "")), 20, 4000)
    yield "prompt"
    yield indented(prompt) + (f"\n  ... {left_out} more lines" if left_out else "")


def _preview(row: "Row", events: Sequence["Record"]) -> Iterator[str]:
    """The change that waits to be allowed, as far as anybody knows it before it is made."""
    yield from _choices(row, events)
    asked = next((event.data for event in reversed(events) if event.data["type"] == "approval_asked"), None)
    if row.waiting_for != "approval" or asked is None:
        return
    for head, key in (("would change", "preview"), ("dry run", "dry_run")):
        if asked.get(key):
            text, left_out = head_of(str(asked[key]), PREVIEW_LINES, 40_000)
            yield head
            yield indented(text) + (f"\n  ... {left_out} more lines" if left_out else "")


def _choices(row: "Row", events: Sequence["Record"]) -> Iterator[str]:
    """What the question that waits is, in full."""
    if row.waiting_for != "answer":
        return
    asked = next(event.data for event in reversed(events) if event.data["type"] == "question_asked")
    yield "asks"
    yield indented(str(asked["question"]))
    yield from (f"  {number}. {one_line(str(choice))}" for number, choice in enumerate(asked.get("choices", ()), 1))
    if asked.get("default") is not None:
        yield f"  default: {one_line(str(asked['default']))}"


def _result(row: "Row", details: Details) -> Iterator[str]:
    if row.commit:
        lines = changes(row.files, row.added, row.removed)
        yield f"commit    {row.commit[:12]}: {some(row.files, 'file')} {lines}"
    elif details.left_in:
        yield f"result    in no commit yet, in {one_line(details.left_in)}"
    elif row.status == "ended" and not (row.landed or details.inplace):
        yield "result    nothing changed"
    for gate in details.gates:
        yield f"gate      {one_line(gate.gate)} failed: {gate.how}"
        yield indented(last_lines(gate.output, GATE_LINES) or "(it printed nothing)", "  | ")
    if row.answer is not None:
        import json

        yield "answer"
        yield indented(json.dumps(row.answer, ensure_ascii=False, indent=2))
    if row.text.strip():
        yield "says"
        yield indented(row.text.strip())


def _batch_lines(found: Found, rows: Sequence["Row"]) -> Iterator[str]:
    unicode = speaks_unicode(sys.stdout)
    states = {row.run_id: status_of(found, row) for row in rows}
    totals = found.view.totals()
    details = open_records(os.environ).details(rows)
    driven = any(run.driven for run in found.runs.values())
    steps = next_steps(found.batch_id, rows, details, interrupted=driven)
    asked = [row for row in rows if row.waiting_for in ANSWERABLE]
    newest = max(found.runs.values(), key=lambda run: run.updated_at, default=None)
    counted = Counter(states.values())
    yield "status    " + ", ".join(f"{number} {label(state, unicode)}" for state, number in counted.items())
    if newest is not None:
        last = cut(f"{newest.project}: {doing(newest)}", LONGEST)
        yield f"last      {one_line(last)} ({age(newest.updated_at, time.time())} ago)"
    then = 2 if steps and steps[0].startswith("acp diff") else 1
    follow = f"it works: acp logs -f {found.batch_id}"
    yield f"next      {follow if driven else ', then '.join(steps[:then]) or 'none'}"
    yield "approval  " + _approvals(asked)
    tokens = count(totals.tokens_in + totals.tokens_out)
    yield f"cost      {money(totals.cost, totals.cost_known, at_least=at_least(unicode))}, {tokens} tokens"
    yield ""
    yield f"batch     {found.batch_id}"
    prompt, left_out = head_of(found.view.prompt, 20, 4000)
    yield "prompt"
    yield indented(prompt) + (f"\n  ... {left_out} more lines" if left_out else "")
    yield ""
    yield painted(result_grid(rows, unicode, states), terminal=is_terminal(sys.stdout))
    for block in failures(rows, details, unicode, terminal_width()):
        yield f"\n{block}"


def _approvals(asked: Sequence["Row"]) -> str:
    """The one question, or how many there are."""
    if len(asked) > 1:
        return f"{len(asked)} runs wait for an answer: acp approve --list"
    return f"{one_line(asked[0].project)}: {question(asked[0])}" if asked else "none needed"


def _document(found: Found) -> dict[str, Any]:
    totals = found.view.totals()
    code, reason = found.view.exit()
    details = open_records(os.environ).details(found.rows())
    return {
        "v": 1,
        "batch": found.batch_id or None,
        "prompt": found.view.prompt,
        "projects": [
            row_document(row, known) | {"state": status_of(found, row), "next": next_action(found, row, known)}
            for row in found.rows()
            for known in [details.get(row.run_id, NOTHING)]
        ],
        "totals": {
            "cost": totals.cost if totals.cost_known or totals.cost else None,
            "cost_known": totals.cost_known,
        },
        "exit": {"code": int(code), "reason": reason},
    }
