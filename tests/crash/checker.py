"""What must be true after any number of kills: asked of the record, of git, of the model's log and of the machine.

`violations` returns one line for each promise that was broken; an empty list is a pass. It looks at nothing the agent
says about itself beyond its events: effects are counted in the files, requests on the wire.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from acp_agent.domain.events import Event, fact_of
from acp_agent.domain.run import fold
from acp_agent.runs.booking import is_shared
from acp_agent.store.audit import verify_database
from acp_agent.store.reads import EventRow, RunRow
from acp_agent.testing.repos import git, tree
from tests.crash.story import COMMANDS, EFFECTS, expected_tree
from tests.crash.world import Record, World

REPLIES = 6
"""Turns of the conversation."""
CLOSING = ("tool_finished", "tool_refused")
_CLOSE = 1e-6


@dataclass
class Ledger:
    """What a trial did to its runs: how often it killed, and what it saw when it answered.

    `seen` is, by run and call, how many lines the command had left when a person last answered for it.
    """

    kills: int = 0
    seen: dict[tuple[str, str], int] = field(default_factory=dict)


def violations(world: World, ledger: Ledger, record: Record | None = None) -> list[str]:
    """Every broken promise of a world whose batch is done; `record` stands in for what the database says."""
    record = record or world.checked_record()
    problems = [*_whole(world, record), *_chain(world)]
    for run in record.runs:
        events = record.events[run.id]
        for check in (_ended_once, _tools_once, _parked_when_unknown, _nothing_failed, _columns):
            problems += [f"{run.project}: {problem}" for problem in check(run, events)]
        problems += [f"{run.project}: {problem}" for problem in _model_calls(world, ledger, run, events)]
        problems += [f"{run.project}: {problem}" for problem in _result(world, ledger, run, events)]
        problems += [f"{run.project}: {problem}" for problem in _repository(world, run)]
    problems += _budgets(record)
    return problems


def repeated_requests(world: World) -> int:
    """How many questions the model was asked more than once."""
    asked = Counter((name, request.turn) for name in world.names for request in world.requests(name))
    return sum(count - 1 for count in asked.values())


def _whole(world: World, record: Record) -> Iterator[str]:
    if sorted(run.project for run in record.runs) != sorted(world.names):
        yield f"the runs are of {[run.project for run in record.runs]}, not one of each project"
    if len(record.batches) != 1:
        yield f"{len(record.batches)} batches"
    for batch in record.batches:
        kinds = [event.type for event in record.events[batch.id]]
        if (batch.status, batch.exit_code) != ("ended", 0) or kinds[-1] != "batch_ended":
            yield f"batch is {batch.status} with exit code {batch.exit_code}, its events are {kinds}"
    for stream, events in record.events.items():
        if [event.seq for event in events] != list(range(1, len(events) + 1)):
            yield f"{stream}: sequence numbers have gaps"
    if record.integrity != ("ok",):
        yield f"integrity check: {record.integrity}"
    if record.owned:
        yield f"streams with a driver on record: {record.owned}"
    if left := world.processes():
        yield f"processes are left: {left}"


def _chain(world: World) -> Iterator[str]:
    """Nothing on record was changed, is missing or moved; the anchors of every process that ended fit."""
    verdict = verify_database(world.database)
    if verdict.broken is not None or not verdict.events:
        yield f"audit chain of {verdict.events} events: {verdict.broken}"


def _ended_once(run: RunRow, events: Sequence[EventRow]) -> Iterator[str]:
    ends = [event for event in events if event.type == "run_ended"]
    if len(ends) != 1 or events[-1].type != "run_ended":
        yield f"{len(ends)} run_ended, the last event is {events[-1].type}"
    for event in ends:
        if event.data["reason"] != "end_turn":
            yield f"ended {event.data['reason']}: {event.data['message']} {event.data['trace'] or ''}"
    for kind in ("workspace_prepared", "committed", "run_started"):
        count = sum(event.type == kind for event in events)
        if count != 1:
            yield f"{count} {kind}"


def _tools_once(run: RunRow, events: Sequence[EventRow]) -> Iterator[str]:
    """Every call began once and closed once, but for those a person had done again."""
    proposed = [
        call["call_id"]
        for event in events
        if event.type == "model_replied"
        for call in event.data["reply"]["message"]["calls"]
    ]
    started = Counter(event.data["call_id"] for event in events if event.type == "tool_started")
    closed = Counter(event.data["call_id"] for event in events if event.type in CLOSING)
    retried = Counter(
        event.data["call_id"]
        for event in events
        if event.type == "approval_given" and event.data["decision"] == "retry" and event.data["call_id"]
    )
    if len(set(proposed)) != len(proposed):
        yield f"call ids are not unique: {proposed}"
    for call_id in proposed:
        if started[call_id] != 1 + retried[call_id]:
            yield f"{call_id} began {started[call_id]} times, with {retried[call_id]} answers to do it again"
        if closed[call_id] != 1:
            yield f"{call_id} was closed {closed[call_id]} times"
    if strangers := (set(started) | set(closed)) - set(proposed):
        yield f"calls nobody proposed: {strangers}"


def _parked_when_unknown(run: RunRow, events: Sequence[EventRow]) -> Iterator[str]:
    """A command that was in flight when its driver died is parked and answered, never finished by another driver."""
    in_flight: str | None = None
    taken_over = False
    for event in events:
        if event.type == "tool_started" and event.data["tool"] == "shell":
            in_flight, taken_over = event.data["call_id"], False
        elif event.type == "resumed":
            taken_over = in_flight is not None
        elif event.type == "parked" and event.data["waiting"] == "outcome_unknown":
            if in_flight != event.data["call_id"] or not taken_over:
                yield f"parked for {event.data['call_id']}, though {in_flight or 'nothing'} was in flight"
            in_flight, taken_over = None, False
        elif event.type == "tool_finished" and event.data["call_id"] == in_flight:
            if taken_over:
                yield f"{in_flight} was finished by a driver that did not start it"
            in_flight = None


def _nothing_failed(run: RunRow, events: Sequence[EventRow]) -> Iterator[str]:
    for event in events:
        if event.type in CLOSING and event.data["result"]["status"] != "ok":
            result = event.data["result"]
            yield f"{event.data['call_id']} {event.data['tool']} {result['status']}: {result['output'][:300]}"
        elif event.type == "model_failed" and event.data["fault"] != "lost":
            yield f"a model call failed: {event.data['fault']}: {event.data['message']}"
        elif event.type in ("late_result", "limit_reached"):
            yield f"event {event.seq} is {event.type}: {event.data}"


def _model_calls(world: World, ledger: Ledger, run: RunRow, events: Sequence[EventRow]) -> Iterator[str]:
    """A reply is asked for again only where a kill cut it off, and once for each such kill."""
    lost: Counter[int] = Counter()
    replies = 0
    for before, event in zip((events[0], *events), events, strict=False):
        if event.type == "model_replied":
            replies += 1
        elif event.type == "model_failed":
            lost[replies] += 1
            if before.type != "resumed":
                yield f"event {event.seq}: a call is booked as lost after {before.type}, not at a take-over"
    called = sum(event.type == "model_called" for event in events)
    if replies != REPLIES or called != replies + lost.total():
        yield f"{called} model calls, {replies} replies, {lost.total()} lost"
    if lost.total() > ledger.kills:
        yield f"{lost.total()} calls lost by {ledger.kills} kills"
    asked = Counter(request.turn for request in world.requests(run.project))
    for turn in range(REPLIES):
        if not 1 <= asked[turn] <= 1 + lost[turn]:
            yield f"turn {turn} was asked {asked[turn]} times, with {lost[turn]} calls lost"
    if set(asked) - set(range(REPLIES)):
        yield f"turns nobody scripted: {sorted(asked)}"


def _columns(run: RunRow, events: Sequence[EventRow]) -> Iterator[str]:
    """The row of the run is the fold of its events."""
    state = fold(Event(stream_id=row.stream_id, seq=row.seq, ts=row.ts, data=fact_of(row.data)) for row in events)
    spent, committed = state.spent, state.committed
    folded = {
        "status": "ended" if state.ended else "waiting" if state.waiting else "alive",
        "reason": state.reason,
        "waiting_for": state.waiting_for,
        "path": state.path,
        "steps": spent.steps,
        "tool_calls": spent.tool_calls,
        "tokens": (spent.input_tokens, spent.output_tokens),
        "cost_known": spent.cost_known,
        "commit": committed and (committed.commit, committed.files, committed.added, committed.removed),
        "last": events[-1].type,
    }
    columns = {
        "status": run.status if run.status in ("ended", "waiting") else "alive",
        "reason": run.reason,
        "waiting_for": run.waiting_for,
        "path": run.path,
        "steps": run.steps,
        "tool_calls": run.tool_calls,
        "tokens": (run.tokens_in, run.tokens_out),
        "cost_known": run.cost_known,
        "commit": (run.commit_sha, run.files, run.added, run.removed),
        "last": run.last_type,
    }
    for name, value in folded.items():
        if columns[name] != value:
            yield f"column {name} says {columns[name]}, the events say {value}"
    if abs(run.cost - spent.cost) > _CLOSE:
        yield f"column cost says {run.cost}, the events say {spent.cost}"
    if run.driven:
        yield "somebody drives it"


def _result(world: World, ledger: Ledger, run: RunRow, events: Sequence[EventRow]) -> Iterator[str]:
    """One commit over the base with exactly the expected files; every command's line as often as it took effect."""
    repository, base = world.fleet.repos[run.project], world.bases[run.project]
    finished = {event.data["call_id"] for event in events if event.type == "tool_finished"}
    effects = [
        call_id for call_id in COMMANDS for _ in range(ledger.seen.get((run.id, call_id), 0) + (call_id in finished))
    ]
    commits = git(repository, "rev-list", f"{base}..{run.branch}").split()
    if commits != [run.commit_sha]:
        yield f"commits on {run.branch}: {commits}, on record {run.commit_sha}"
    found = tree(repository, str(run.branch))
    if found != (expected := expected_tree(effects)):
        names = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
        yield f"the result differs in {names}: {EFFECTS} has {found.get(EFFECTS, '').split()}, expected {effects}"
    message = git(repository, "log", "-1", "--format=%P %B", str(run.branch))
    if not message.startswith(base) or f"Acp-Run: {run.id}" not in message.splitlines():
        yield f"the commit is not the run's over its base: {message!r}"
    if status := git(str(run.worktree), "status", "--porcelain"):
        yield f"the worktree is not clean: {status!r}"


def _repository(world: World, run: RunRow) -> Iterator[str]:
    """The user's checkout as it was, and nothing of git's or ours left lying about."""
    repository, base = world.fleet.repos[run.project], world.bases[run.project]
    head = git(repository, "rev-parse", "HEAD"), git(repository, "symbolic-ref", "HEAD")
    if head != (base, "refs/heads/main"):
        yield f"the checkout moved to {head}"
    if status := git(repository, "status", "--porcelain", "--ignored"):
        yield f"the checkout is not clean: {status!r}"
    branches = git(repository, "for-each-ref", "--format=%(refname)").split()
    if branches != sorted([f"refs/heads/{run.branch}", "refs/heads/main"]):
        yield f"refs: {branches}"
    places = [line for line in git(repository, "worktree", "list", "--porcelain").splitlines() if line]
    wanted = [f"worktree {repository}", f"worktree {run.worktree}"]
    if [line for line in places if line.startswith("worktree ")] != wanted:
        yield f"worktrees: {places}"
    if odd := [line for line in places if line.startswith(("locked", "prunable"))]:
        yield f"worktree is {odd}"
    if said := git(repository, "fsck", "--connectivity-only", "--no-dangling", "--no-progress"):
        yield f"fsck: {said}"
    for folder in (repository / ".git", world.state):
        if locks := [path for path in folder.rglob("*.lock") if path.exists()]:
            yield f"lock files are left: {locks}"
    if held := _held(repository / ".git" / "acp-agent" / "lock"):
        yield f"{held} is still held"


def _held(lock: Path) -> Path | None:
    if not lock.exists():
        return None
    descriptor = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return lock
    finally:
        os.close(descriptor)
    return None


def _budgets(record: Record) -> Iterator[str]:
    """Nothing is set aside any more, and what was spent is what the events cost."""
    costs = {run.id: sum(event.cost or 0.0 for event in record.events[run.id]) for run in record.runs}
    expected: Mapping[str, float] = {f"run:{run_id}": cost for run_id, cost in costs.items()} | {
        f"batch:{batch.id}": sum(costs.values()) for batch in record.batches
    }
    # Those that begin with `blast:` count what a batch did: they hold no money, and are never given back.
    money = {scope: budget for scope, budget in record.budgets.items() if not scope.startswith("blast:")}
    shared = {scope: budget for scope, budget in money.items() if is_shared(scope)}
    for scope, budget in shared.items():
        if abs(budget.reserved) > _CLOSE:
            yield f"budget {scope} still has {budget.reserved} set aside"
    # There a call that was lost counts at its worst, whatever its run says of it.
    if (whole := shared.get("tenant")) is None or whole.spent + _CLOSE < sum(costs.values()):
        yield f"all runs cost {sum(costs.values())}, their shared budget says {whole}"
    money = {scope: budget for scope, budget in money.items() if scope not in shared}
    if set(money) != set(expected):
        yield f"budgets: {sorted(money)}, not {sorted(expected)}"
    for scope, budget in money.items():
        if abs(budget.reserved) > _CLOSE:
            yield f"budget {scope} still has {budget.reserved} set aside"
        if abs(budget.spent - expected.get(scope, 0.0)) > _CLOSE:
            yield f"budget {scope} has spent {budget.spent}, the events cost {expected.get(scope)}"
    if not all(costs.values()):
        yield f"a run cost nothing: {costs}"
