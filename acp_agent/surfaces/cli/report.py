"""The result of a batch for people: a table, the answers, errors grouped by message, and what to do next."""

import shlex
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING

from acp_agent.fleet.view import BatchView, Row
from acp_agent.llm.demonstration import LABEL, MODEL, is_demonstration
from acp_agent.surfaces.cli.details import NOTHING, Details, GateFailure, commit_command
from acp_agent.surfaces.cli.formats import changes, count, duration, money
from acp_agent.surfaces.cli.glyphs import at_least, colour, label, speaks_unicode
from acp_agent.surfaces.cli.grid import Grid, field_text, indented, is_terminal, names_of, painted, width_of
from acp_agent.surfaces.cli.text import cut, head_of, last_lines, one_line, wrapped

if TYPE_CHECKING:
    from acp_agent.domain.events import Decision

ONE = (400, 40_000)
SEVERAL = (12, 1_200)
MANY = (3, 300)
"""How much of an answer is shown, in lines and characters: of a single one, of one among several, among many."""
FROM_MANY = 10
SHORT = 160
"""An answer of one line and so many columns stands beside the name of its project."""
LONGEST_REASON = 300
STATES = ("cancelled", "failed", "limit")
ANSWERABLE: "Mapping[str, Decision | None]" = {
    "approval": "allow",
    "answer": None,
    "outcome_unknown": None,
    "crash_loop": None,
    "breach": "allow",
    "budget": "retry",
}
"""What a person can answer, and the answer of a bare `acp approve`, where there is one that can be guessed."""

AllDetails = Mapping[str, Details]
States = Mapping[str, str]


def report(view: BatchView, stream: IO[str], details: AllDetails | None = None, *, interrupted: bool = False) -> str:
    """The whole result as text, made for `stream`; `interrupted` says that nobody drives what has not ended."""
    unicode = speaks_unicode(stream)
    rows = list(view.rows.values())
    known = details or {}
    states = {row.run_id: "interrupted" for row in rows if interrupted and row.status == "running"}
    grid = result_grid(rows, unicode, states)
    parts = [painted(grid, terminal=is_terminal(stream)), total_line(view, unicode)]
    parts += [f"answers by the {LABEL} ({MODEL})"] if any(is_demonstration(row.model) for row in rows) else []
    parts += list(_answers(view.batch_id, rows))
    parts += list(failures(rows, known, unicode, width_of(stream)))
    parts += list(_uncommitted(rows, known))
    parts += [wrapped(line, width_of(stream)) for line in _waits(rows, unicode)]
    steps = next_steps(view.batch_id, rows, known, interrupted=interrupted)
    if steps:
        parts.append("next:\n" + "\n".join(f"  {step}" for step in steps))
    return "\n\n".join(part for part in parts if part)


def result_grid(rows: Sequence[Row], unicode: bool, states: States | None = None) -> Grid:
    """One line per project; where answers fit a schema, one column per field of theirs.

    `states` has the state of runs by id where it is not what their events alone say.
    """
    told = {row.run_id: row.landed or row.outcome for row in rows} | dict(states or {})
    fields = answer_fields(rows)
    head = ("project", "result", *fields, "steps", "tokens", "cost", "time", "changes", "branch")
    first = 2 + len(fields)
    now = time.time()
    return Grid(
        head,
        tuple(
            (
                row.project or row.run_id,
                label(told[row.run_id], unicode),
                *(_field(row, name) for name in fields),
                str(row.steps or ""),
                count(row.tokens_in + row.tokens_out) if row.steps else "",
                row_cost(row, unicode),
                duration(elapsed(row, now, told[row.run_id])),
                changes(row.files, row.added, row.removed),
                (row.branch or "") if row.commit else "",
            )
            for row in rows
        ),
        right=frozenset(range(first, first + 4)),
        state=1,
        colours=tuple(colour(told[row.run_id]) for row in rows),
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


def elapsed(row: Row, now: float, state: str = "") -> float | None:
    """Seconds since the run began to work, until its end or, where nobody drives it, its last event."""
    if row.started_at is None:
        return None
    alive = (state or row.status) == "running"
    return (row.ended_at or (now if alive else max(row.updated_at, row.started_at))) - row.started_at


def total_line(view: BatchView, unicode: bool, now: float | None = None) -> str:
    """`2/3 done, $0.0123, 12.3k tokens, +10 -2`; the time is until `now`, None until the last event."""
    totals = view.totals()
    tokens = totals.tokens_in + totals.tokens_out
    parts = [f"{totals.done}/{totals.total} done", money(totals.cost, totals.cost_known, at_least=at_least(unicode))]
    parts += [f"{count(tokens)} tokens"] if tokens else []
    parts += [f"+{totals.added} -{totals.removed}"] if totals.added or totals.removed else []
    begun = [row.started_at for row in view.rows.values() if row.started_at is not None]
    if begun:
        ends = [row.ended_at or row.updated_at for row in view.rows.values()]
        parts.append(duration((now or max(ends)) - min(begun)))
    return ", ".join(parts)


def _answers(batch_id: str, rows: Sequence[Row]) -> Iterator[str]:
    """What the models said at last; the same words of several projects once, short ones in one line."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.text.strip() and row.answer is None and row.outcome in ("ok", "limit"):
            groups[row.text.strip()].append(row)
    most = ONE if len(rows) == 1 else SEVERAL if len(groups) < FROM_MANY else MANY
    short = []
    for whole, saying in groups.items():
        names = names_of([row.project or row.run_id for row in saying])
        if len(rows) > 1 and "\n" not in whole and len(whole) <= SHORT:
            short.append(f"{names}: {one_line(whole)}")
            continue
        text, left_out = head_of(whole, *most)
        more = f"\n  ... {left_out} more lines: acp show {reference(batch_id, saying[0])}" if left_out else ""
        yield f"{names}:\n{indented(text)}{more}"
    yield "\n".join(short)


def failures(rows: Sequence[Row], details: AllDetails, unicode: bool, width: int | None) -> Iterator[str]:
    """What went wrong: the same message of several projects once, of a gate the last lines it printed."""
    messages: dict[str, list[str]] = defaultdict(list)
    gates: dict[GateFailure, list[str]] = defaultdict(list)
    for row in rows:
        if row.outcome not in STATES:
            continue
        known = details.get(row.run_id, NOTHING).gates
        for gate in known:
            gates[gate].append(row.project or row.run_id)
        if not known:
            reason = cut(why(row), LONGEST_REASON)
            head = label(row.outcome, unicode) + (f": {reason}" if reason else "")
            messages[head].append(row.project or row.run_id)
    for message, projects in messages.items():
        yield f"{wrapped(message, width)}\n  {names_of(projects)}"
    for gate, projects in gates.items():
        head = f"{label('failed', unicode)}: gate {one_line(gate.gate)}: {gate.how}"
        output = last_lines(gate.output, 10 if len(gates) <= 3 else 4) or "(it printed nothing)"
        yield f"{head}\n  {names_of(projects)}\n{indented(output, '  | ')}"


def why(row: Row, details: Details = NOTHING) -> str:
    """Why a run stands where it stands, in one line."""
    if row.failed_gates and row.status == "ended":
        known = {gate.gate: f"gate {gate.gate} failed: {gate.how}" for gate in details.gates}
        return one_line("; ".join(known.get(name, f"gate {name} failed") for name in row.failed_gates))
    reason = row.reason or row.waiting_for or ""
    message = one_line(row.message)
    if reason == "cancelled":
        return message
    if reason in ("error", "") or not message or message.startswith(reason):
        return message or reason
    return f"{reason}: {message}"


def question(row: Row) -> str:
    """What a waiting run asks."""
    return one_line(row.asked[1] if row.asked else row.message)


def _uncommitted(rows: Sequence[Row], details: AllDetails) -> Iterator[str]:
    left = [(row, place) for row in rows if (place := details.get(row.run_id, NOTHING).left_in)]
    if left:
        lines = [f"  {one_line(row.project or row.run_id)}: {one_line(place)}" for row, place in left]
        yield "in no commit yet:\n" + "\n".join(lines)


def _waits(rows: Sequence[Row], unicode: bool) -> Iterator[str]:
    """What the waiting runs ask; the same question of several projects once."""
    groups: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row.status == "waiting":
            groups[f"{row.waiting_for}: {question(row)}"].append(row.project or row.run_id)
    for asked, projects in groups.items():
        yield f"{label('waiting', unicode)}: {names_of(projects)}: {asked}"


def reference(batch_id: str, row: Row) -> str:
    """How a person names the run: `b_x/api`, or its own id."""
    return f"{batch_id}/{row.project}" if batch_id and row.project else row.run_id


def next_steps(
    batch_id: str, rows: Sequence[Row], details: AllDetails | None = None, *, interrupted: bool = False
) -> list[str]:
    """The commands that carry on from here, each ready to be typed; what `interrupted` needs is said elsewhere."""
    steps = []
    ready = [row for row in rows if row.commit and row.landed is None and row.outcome in ("ok", *STATES)]
    good = [row for row in ready if row.outcome == "ok"]
    if ready:
        steps.append(f"acp diff {reference(batch_id, (good or ready)[0])}")
    if good:
        steps.append(f"acp accept {batch_id if batch_id and len(rows) > 1 else reference(batch_id, good[0])}")
    elif ready:
        steps.append(f"acp accept {reference(batch_id, ready[0])}")
    left = [row for row in rows if details and details.get(row.run_id, NOTHING).left_in]
    if left and details:
        steps += keep_steps(batch_id, left[0], details[left[0].run_id])
    answers = [answer_command(batch_id, row) for row in rows if row.status == "waiting"]
    answers += [f"acp give {reference(batch_id, row)}" for row in rows if row.status == "paused"]
    steps += answers if len(answers) <= 3 else ["acp approve --list"]
    if not interrupted and any(row.status in ("queued", "running") for row in rows):
        steps.append(f"acp resume {batch_id or rows[0].run_id}")
    if any(row.outcome == "failed" for row in rows):
        bad = next(row for row in rows if row.outcome == "failed")
        steps.append(f"acp logs {reference(batch_id, bad)}")
    return steps


def keep_steps(batch_id: str, row: Row, details: Details) -> list[str]:
    """How to look at changes in no commit, and how to keep them."""
    name = reference(batch_id, row)
    if details.left_in is None:
        return []
    if details.inplace:
        return [f"git -C {shlex.quote(details.left_in)} diff"]
    return [f"acp diff {name}", f"{commit_command(details.left_in)} && acp accept {name}", f"acp reject {name}"]


def answer_command(batch_id: str, row: Row) -> str:
    """What to type for a run that waits."""
    name = reference(batch_id, row)
    match row.waiting_for:
        case "approval":
            return f"acp approve {name}  # or --deny"
        case "answer":
            return f"acp approve {name} --answer TEXT"
        case "outcome_unknown":
            return f"acp approve {name} --done  # or --retry, --skip"
        case "breach":
            return f"acp approve {name}  # goes on, --deny ends it"
        case "crash_loop" | "budget":
            return f"acp retry {name}"
        case _:
            return f"acp resume {name}"
