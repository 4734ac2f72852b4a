"""The result of a batch for people: a table, the answers, errors grouped by message, and what to do next."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import IO

from acp_agent.fleet.view import BatchView, Row
from acp_agent.surfaces.cli.formats import changes, count, duration, money
from acp_agent.surfaces.cli.glyphs import at_least, colour, label, speaks_unicode
from acp_agent.surfaces.cli.grid import Grid, field_text, indented, is_terminal, names_of, painted
from acp_agent.surfaces.cli.text import head_of, one_line

ONE = (400, 40_000)
MANY = (12, 1_200)
"""How much of an answer is shown, in lines and characters: of a single one, and of one among several."""


def report(view: BatchView, stream: IO[str]) -> str:
    """The whole result as text, made for `stream`."""
    unicode = speaks_unicode(stream)
    rows = list(view.rows.values())
    parts = [painted(result_grid(rows, unicode), terminal=is_terminal(stream)), total_line(view, unicode)]
    parts += list(_answers(view.batch_id, rows))
    parts += list(_errors(rows, unicode))
    parts += list(_waits(rows, unicode))
    steps = next_steps(view.batch_id, rows)
    if steps:
        parts.append("next:\n" + "\n".join(f"  {step}" for step in steps))
    return "\n\n".join(part for part in parts if part)


def result_grid(rows: Sequence[Row], unicode: bool) -> Grid:
    """One line per project; where answers fit a schema, one column per field of theirs."""
    fields = answer_fields(rows)
    head = ("project", "result", *fields, "steps", "tokens", "cost", "time", "changes", "branch")
    first = 2 + len(fields)
    return Grid(
        head,
        tuple(
            (
                row.project or row.run_id,
                label(row.landed or row.outcome, unicode),
                *(_field(row, name) for name in fields),
                str(row.steps or ""),
                count(row.tokens_in + row.tokens_out) if row.steps else "",
                row_cost(row, unicode),
                duration(elapsed(row, time.time())),
                changes(row.files, row.added, row.removed),
                (row.branch or "") if row.commit else "",
            )
            for row in rows
        ),
        right=frozenset(range(first, first + 4)),
        state=1,
        colours=tuple(colour(row.landed or row.outcome) for row in rows),
        spare=("branch", "steps", "tokens", "time", "changes", "cost"),
    )


def answer_fields(rows: Sequence[Row]) -> tuple[str, ...]:
    """The fields of all structured answers in the order met; `answer` where they are no objects."""
    answers = [row.answer for row in rows if row.answer is not None]
    if any(not isinstance(answer, dict) for answer in answers):
        return ("answer",)
    return tuple(dict.fromkeys(str(name) for answer in answers for name in answer))


def _field(row: Row, name: str) -> str:
    if isinstance(row.answer, dict):
        return field_text(row.answer.get(name))
    return field_text(row.answer)


def row_cost(row: Row, unicode: bool) -> str:
    """The money of one run; nothing before its first call."""
    return (
        money(row.cost, row.cost_known, at_least=at_least(unicode))
        if row.steps or row.cost or not row.cost_known
        else ""
    )


def elapsed(row: Row, now: float) -> float | None:
    """Seconds since the run began to work, until its end."""
    return None if row.started_at is None else (row.ended_at or now) - row.started_at


def total_line(view: BatchView, unicode: bool, now: float | None = None) -> str:
    """`2/3 done, $0.0123, 12.3k tokens, +10 -2`."""
    totals = view.totals()
    tokens = totals.tokens_in + totals.tokens_out
    parts = [f"{totals.done}/{totals.total} done", money(totals.cost, totals.cost_known, at_least=at_least(unicode))]
    parts += [f"{count(tokens)} tokens"] if tokens else []
    parts += [f"+{totals.added} -{totals.removed}"] if totals.added or totals.removed else []
    begun = [row.started_at for row in view.rows.values() if row.started_at is not None]
    if begun:
        ends = [row.ended_at for row in view.rows.values() if row.ended_at is not None]
        parts.append(duration((now or max(ends, default=time.time())) - min(begun)))
    return ", ".join(parts)


def _answers(batch_id: str, rows: Sequence[Row]) -> Iterator[str]:
    told = [row for row in rows if row.text.strip() and row.answer is None and row.outcome in ("ok", "limit")]
    for row in told:
        text, left_out = head_of(row.text, *(ONE if len(rows) == 1 else MANY))
        more = f"\n  ... {left_out} more lines: acp show {reference(batch_id, row)}" if left_out else ""
        yield f"{one_line(row.project or row.run_id)}:\n{indented(text)}{more}"


def _errors(rows: Sequence[Row], unicode: bool) -> Iterator[str]:
    """Failures with the same message are one line, however many projects they hit."""
    groups: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row.outcome in ("failed", "limit", "cancelled"):
            reason = why(row)
            head = label(row.outcome, unicode) + (f": {reason}" if reason else "")
            groups[head].append(row.project or row.run_id)
    for message, projects in groups.items():
        yield f"{message}\n  {names_of(projects)}"


def why(row: Row) -> str:
    """Why a run stands where it stands, in one line."""
    if row.failed_gates and row.status == "ended":
        return f"gate failed: {', '.join(map(one_line, row.failed_gates))}"
    reason = row.reason or row.waiting_for or ""
    message = one_line(row.message)
    if reason == "cancelled":
        return message
    if reason in ("error", "") or not message or message.startswith(reason):
        return message or reason
    return f"{reason}: {message}"


def _waits(rows: Sequence[Row], unicode: bool) -> Iterator[str]:
    for row in rows:
        if row.status == "waiting":
            question = one_line(row.asked[1] if row.asked else row.message)
            yield f"{label('waiting', unicode)}: {one_line(row.project)}: {row.waiting_for}: {question}"


def reference(batch_id: str, row: Row) -> str:
    """How a person names the run: `b_x/api`, or its own id."""
    return f"{batch_id}/{row.project}" if batch_id and row.project else row.run_id


def next_steps(batch_id: str, rows: Sequence[Row]) -> list[str]:
    """The commands that carry on from here, each ready to be typed."""
    steps = []
    ready = [row for row in rows if row.commit and row.landed is None and row.outcome in ("ok", "limit", "failed")]
    good = [row for row in ready if row.outcome == "ok"]
    if ready:
        steps.append(f"acp diff {reference(batch_id, (good or ready)[0])}")
    if good:
        steps.append(f"acp accept {batch_id if batch_id and len(rows) > 1 else reference(batch_id, good[0])}")
    elif ready:
        steps.append(f"acp accept {reference(batch_id, ready[0])}")
    steps += [answer_command(batch_id, row) for row in rows if row.status == "waiting"][:3]
    if any(row.status in ("queued", "running") for row in rows):
        steps.append(f"acp resume {batch_id or rows[0].run_id}")
    if any(row.outcome == "failed" for row in rows):
        bad = next(row for row in rows if row.outcome == "failed")
        steps.append(f"acp logs {reference(batch_id, bad)}")
    return steps


def answer_command(batch_id: str, row: Row) -> str:
    """What to type for a run that waits."""
    name = reference(batch_id, row)
    match row.waiting_for:
        case "approval":
            return f"acp approve {name}  # or --deny"
        case "outcome_unknown":
            return f"acp approve {name} --done  # or --retry, --skip"
        case _:
            return f"acp resume {name}"
