"""What the journal writes about streams, facts and money: plain functions of a transaction."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from acp_agent.domain.always import STREAM, AllowedAlways
from acp_agent.domain.budget import CALL, Cap, Reservation, Settlement
from acp_agent.domain.errors import Fenced, Held, OverBudget, Refused
from acp_agent.domain.events import (
    Accepted,
    ApprovalGiven,
    CancelAsked,
    Event,
    Fact,
    LateResult,
    Parked,
    Rejected,
    RunEnded,
    RunStarted,
)
from acp_agent.domain.events_batch import BatchEnded, BatchStarted
from acp_agent.domain.events_budget import BUDGETS, BudgetSet
from acp_agent.domain.events_handover import GivenBack, Taken
from acp_agent.domain.events_hold import HoldSet
from acp_agent.domain.events_loop import FleetStarted, LoopChanged, LoopFact, LoopStarted, ScheduleStarted
from acp_agent.domain.events_person import QuestionAnswered
from acp_agent.domain.events_session import SessionChanged, SessionDeleted, SessionStarted
from acp_agent.domain.hold import BEGINS, HOLD, LIFT, hold_of
from acp_agent.domain.masking import masked_fact
from acp_agent.domain.ports import Claim, NewStream
from acp_agent.domain.redact import Redactor
from acp_agent.store import loop_summary, sql, summary
from acp_agent.store.transaction import Transaction

WORKS = frozenset({"run", "batch", "loop", "schedule"})
"""Kinds of streams whose drivers have effects: none is opened or claimed while a hold is on."""
DRIVER = "worker"
"""The actor of what a driver records."""
VERSION = 1
"""The version of the envelope of events."""


LARGEST = 1e300
"""US dollars that nobody has: no cap."""
PLAIN = Redactor()
"""Masks by shape alone."""


@dataclass(frozen=True)
class Draft:
    """A fact ready to be inserted: turned into JSON by its caller, so that a fact that cannot be fails there."""

    fact: Fact
    data: str

    @classmethod
    def of(cls, facts: Sequence[Fact], redact: Redactor = PLAIN) -> "tuple[Draft, ...]":
        """A draft of each fact, without secrets."""
        return tuple(cls._of(fact, fact.model_dump_json(), redact) for fact in facts)

    @classmethod
    def _of(cls, fact: Fact, text: str, redact: Redactor) -> "Draft":
        shown = masked_fact(fact, redact, text)
        return cls(shown, text if shown is fact else shown.model_dump_json())


@dataclass(frozen=True)
class Opening:
    """A stream to open, with its facts drafted."""

    stream: NewStream
    drafts: tuple[Draft, ...]


def create(
    transaction: Transaction, tenant: str, openings: Sequence[Opening], actor: str, most: int | None = None
) -> None:
    """Open every stream with its summary, first facts and budgets; `most` runs may be queued or running then."""
    if any(opening.stream.kind in WORKS for opening in openings):
        refuse_held(transaction, tenant)
    if most is not None:
        _refuse_crowd(transaction, tenant, sum(opening.stream.kind == "run" for opening in openings), most)
    for position, opening in enumerate(_all_new(transaction, openings)):
        _open(transaction, tenant, opening, actor, position)
    transaction.announce()


def open_stream(transaction: Transaction, tenant: str, opening: Opening, actor: str, position: int) -> None:
    """Open one stream, which is at `position` among those that lists show together with it. Raises Refused."""
    for new in _all_new(transaction, [opening]):
        _open(transaction, tenant, new, actor, position)


def _refuse_crowd(transaction: Transaction, tenant: str, new: int, most: int) -> None:
    waiting = sum(count for (count,) in transaction.rows(sql.OPEN_RUNS, tenant=tenant))
    if waiting + new > most:
        what = f"{waiting} runs are queued or running, and {new} more would be over {most}"
        raise Refused(what, hint="let some end, or raise max_runs under [queue] in config.toml")


def _all_new(transaction: Transaction, openings: Sequence[Opening]) -> Sequence[Opening]:
    ids = [opening.stream.stream_id for opening in openings]
    opened = sorted(stream_id for (stream_id,) in transaction.among(sql.OPENED, ids))
    taken = opened or [one for one, times in Counter(ids).items() if times > 1]
    if taken:
        raise Refused(f"{taken[0]} exists already", hint="nothing was started; try again")
    return openings


def _open(transaction: Transaction, tenant: str, opening: Opening, actor: str, position: int) -> None:
    stream, drafts = opening.stream, opening.drafts
    row = {"id": stream.stream_id, "tenant": tenant, "kind": stream.kind, "seq": len(drafts)}
    transaction.later(sql.NEW_STREAM, row)
    _summarise(transaction, tenant, opening, position)
    _record(transaction, tenant, stream.stream_id, drafts, actor, last=len(drafts))
    for cap in stream.caps:
        _open_budget(transaction, tenant, cap)


def is_held(transaction: Transaction, tenant: str) -> bool:
    """Whether a person stopped everything."""
    return bool(transaction.hold_facts(tenant))


def refuse_held(transaction: Transaction, tenant: str) -> None:
    """Nothing begins while a hold is on. Raises Held."""
    if (held := hold_of(transaction.hold_facts(tenant))) is not None:
        raise Held(held.what, hint=LIFT)


def append(
    transaction: Transaction,
    tenant: str,
    claim: Claim,
    drafts: Sequence[Draft],
    until: float,
) -> list[Event] | Fenced:
    """Record a driver's facts and extend its lease; a driver that lost the stream gets them kept as late results."""
    if any(draft.fact.type in BEGINS for draft in drafts):
        refuse_held(transaction, tenant)
    # At its end nothing is left to drive: giving the lease back here saves every run one commit to disk.
    over = any(isinstance(draft.fact, RunEnded) for draft in drafts)
    last = transaction.advance(claim.stream_id, claim.fence, len(drafts), None if over else until)
    if last is None:
        return _keep_late(transaction, tenant, claim, drafts)
    return _record(transaction, tenant, claim.stream_id, drafts, DRIVER, last=last)


def move_money(
    transaction: Transaction, tenant: str, reserve: Sequence[Reservation], settle: Sequence[Settlement]
) -> None:
    """Settle, then reserve: what is given back may be set aside again. Raises OverBudget."""
    for settlement in settle:
        amounts = {"scope": settlement.scope, "reserved": settlement.reserved, "spent": settlement.spent}
        transaction.later(sql.SETTLE, {"tenant": tenant, **amounts})
    for wanted in reserve:
        wants = {"tenant": tenant, "scope": wanted.scope, "amount": wanted.amount}
        if wanted.scope == CALL:
            cap = (transaction.row(sql.BUDGET, tenant=tenant, scope=CALL) or (None,))[0]
            if cap is not None and wanted.amount > cap:
                raise OverBudget(CALL)
            continue
        if wanted.window or wanted.most is not None:
            transaction.rows(sql.BEGIN_WINDOW, tenant=tenant, scope=wanted.scope)
        most = LARGEST if wanted.most is None else wanted.most
        if transaction.row(sql.RESERVE, **wants, aside=wanted.aside, window=wanted.window, most=most) is None and (
            # Refused, or a budget that nobody opened: it counts without a limit.
            transaction.row(sql.NEW_RESERVATION, **wants) is None
        ):
            _, outstanding, _ = transaction.row(sql.BUDGET, tenant=tenant, scope=wanted.scope) or (None, 0.0, 0.0)
            raise OverBudget(wanted.scope, outstanding)


def note(
    transaction: Transaction,
    tenant: str,
    stream_id: str,
    drafts: Sequence[Draft],
    actor: str,
    after: int | None = None,
) -> list[Event]:
    """Record somebody else's facts; an answer or a cancellation queues a waiting run again."""
    found = transaction.row(sql.STREAM, id=stream_id, tenant=tenant)
    if found is None:
        raise unknown(stream_id)
    if any(draft.fact.type in BEGINS for draft in drafts):
        refuse_held(transaction, tenant)
    if after is not None and transaction.among(sql.LAST_SEQS, [stream_id]) != [(stream_id, after)]:
        raise Refused(f"{stream_id} has gone on meanwhile", hint=f"see `acp show {stream_id}`")
    kind, status = found
    wakes = any(isinstance(draft.fact, ApprovalGiven | QuestionAnswered | CancelAsked) for draft in drafts)
    hands = any(isinstance(draft.fact, Taken | GivenBack) for draft in drafts)
    if kind == "run" and status == "ended" and (wakes or hands):
        raise Refused(f"{stream_id} has already ended", hint=f"see `acp show {stream_id}`")
    answers = any(isinstance(draft.fact, ApprovalGiven | QuestionAnswered) for draft in drafts)
    if kind == "run" and status == "paused" and answers:
        raise Refused(f"{stream_id} is in a person's hands", hint=f"acp give {stream_id}")
    if kind == "run" and status != "waiting" and answers:
        raise Refused(f"{stream_id} does not wait for an answer any more", hint=f"see `acp show {stream_id}`")
    events = advance(transaction, tenant, stream_id, drafts, actor)
    if wakes and status in ("waiting", "paused"):
        _change_run(transaction, stream_id, summary.queued_again())
    transaction.announce()
    return events


def park(transaction: Transaction, tenant: str, stream_id: str, parked: Parked) -> None:
    """Record on the journal's own behalf that a run waits."""
    advance(transaction, tenant, stream_id, Draft.of([parked]), "journal")


def unknown(stream_id: str) -> Refused:
    """Nobody opened that stream."""
    return Refused(f"there is no run, batch or loop {stream_id}", hint="see `acp ps`")


def advance(transaction: Transaction, tenant: str, stream_id: str, drafts: Sequence[Draft], actor: str) -> list[Event]:
    """Record facts at the end of a stream, whoever drives it, and keep its summary in step."""
    advanced = transaction.row(sql.ADVANCE, id=stream_id, count=len(drafts))
    if advanced is None:
        raise unknown(stream_id)
    return _record(transaction, tenant, stream_id, drafts, actor, last=advanced[0])


def _record(
    transaction: Transaction, tenant: str, stream_id: str, drafts: Sequence[Draft], actor: str, *, last: int
) -> list[Event]:
    """Insert events that end at sequence number `last`, and keep the summary in step."""
    events: list[Event] = []
    for seq, draft in enumerate(drafts, last - len(drafts) + 1):
        tokens_in, tokens_out, cost = summary.money(draft.fact)
        row = {
            "stream_id": stream_id,
            "seq": seq,
            "tenant": tenant,
            "ts": transaction.now,
            "v": VERSION,
            "type": draft.fact.type,
            "actor": actor,
            "tokens_in": tokens_in,
            "tokens_out": tokens_out,
            "cost": cost,
            "data": draft.data,
        }
        transaction.chain.link(row)
        transaction.later(sql.NEW_EVENT, row)
        events.append(
            Event(stream_id=stream_id, seq=seq, ts=transaction.now, data=draft.fact, tenant=tenant, actor=actor)
        )
    if stream_id == HOLD:
        transaction.forget_hold()
    _follow(transaction, tenant, stream_id, [draft.fact for draft in drafts])
    return events


def _follow(transaction: Transaction, tenant: str, stream_id: str, facts: Sequence[Fact]) -> None:
    for fact in facts:
        match fact:
            case BatchEnded(exit_code=code, reason=reason):
                transaction.rows(sql.END_BATCH, id=stream_id, exit_code=code, reason=reason, now=transaction.now)
            case SessionChanged() | SessionDeleted():
                _follow_session(transaction, stream_id, fact)
            case Accepted() | Rejected():
                landed = {**loop_summary.UNCHANGED, "landed": fact.type}
                transaction.rows(sql.CHANGE_LOOP, id=stream_id, now=transaction.now, **landed)
            case LoopStarted() | FleetStarted():
                pass
            case BudgetSet(scope=scope, cap=cap):
                _open_budget(transaction, tenant, Cap(scope=scope, cap=cap))
            case _ if isinstance(fact, LoopFact):
                _follow_loop(transaction, tenant, stream_id, fact)
            case _:
                pass
    _follow_run(transaction, stream_id, facts)


def _follow_run(transaction: Transaction, stream_id: str, facts: Sequence[Fact]) -> None:
    columns = summary.run_columns(facts, transaction.now)
    # A cancellation that the driver had not seen when it parked the run must not wait for an answer.
    if columns.get("waiting_for") not in (None, "", "crash_loop") and transaction.row(sql.CANCELLATION, id=stream_id):
        columns |= summary.queued_again()
    if columns.get("status") == "waiting" and transaction.row(sql.HANDED, id=stream_id) == ("taken",):
        # What it waits for now, it waits for once the person has given it back.
        columns["status"] = "paused"
    if columns.keys() <= summary.GOING_ON.keys():
        row = {"id": stream_id, "now": transaction.now, **summary.GOING_ON, **columns}
        transaction.change(sql.RUN_GOES_ON, row)
    else:
        _change_run(transaction, stream_id, columns)
    if any(isinstance(fact, GivenBack) for fact in facts):
        transaction.rows(sql.GIVE_BACK, id=stream_id, now=transaction.now)


def _follow_session(transaction: Transaction, session_id: str, fact: SessionChanged | SessionDeleted) -> None:
    deleted = isinstance(fact, SessionDeleted)
    title = None if isinstance(fact, SessionDeleted) or fact.title is None else fact.title[: summary.MAX_TEXT]
    transaction.rows(sql.CHANGE_SESSION, id=session_id, title=title, deleted=deleted, now=transaction.now)


def _follow_loop(transaction: Transaction, tenant: str, loop_id: str, fact: LoopFact) -> None:
    columns = loop_summary.loop_columns(fact)
    transaction.rows(sql.CHANGE_LOOP, id=loop_id, now=transaction.now, **columns)
    if isinstance(fact, LoopChanged):
        # Its money is capped by the rules in force, and that from the same moment on.
        _open_budget(transaction, tenant, Cap(scope=f"loop:{loop_id}", cap=fact.spec.max_cost))


def _change_run(transaction: Transaction, stream_id: str, columns: summary.Columns) -> None:
    row = {"id": stream_id, "now": transaction.now, **summary.UNCHANGED, **columns}
    transaction.change(sql.CHANGE_RUN, row)


def _keep_late(transaction: Transaction, tenant: str, claim: Claim, drafts: Sequence[Draft]) -> Fenced:
    late = [LateResult(fence=claim.fence, fact=draft.fact.model_dump(mode="json")) for draft in drafts]
    advance(transaction, tenant, claim.stream_id, Draft.of(late), DRIVER)
    return Fenced(f"{claim.stream_id} belongs to another driver")


def _summarise(transaction: Transaction, tenant: str, opening: Opening, position: int) -> None:
    stream = opening.stream
    first = opening.drafts[0].fact if opening.drafts else None
    match first:
        case RunStarted() if stream.kind == "run":
            _summarise_run(transaction, tenant, stream.stream_id, first, position)
        case BatchStarted() if stream.kind == "batch":
            transaction.rows(
                sql.NEW_BATCH,
                id=stream.stream_id,
                tenant=tenant,
                prompt=first.prompt,
                projects=json.dumps(first.projects),
                options=json.dumps(first.options),
                now=transaction.now,
            )
        case SessionStarted() if stream.kind == "session":
            transaction.rows(
                sql.NEW_SESSION, id=stream.stream_id, tenant=tenant, cwd=first.cwd, title="", now=transaction.now
            )
        case LoopStarted() | FleetStarted() if stream.kind == "loop":
            values = loop_summary.first_columns(first)
            transaction.rows(sql.NEW_LOOP, id=stream.stream_id, tenant=tenant, now=transaction.now, **values)
        case ScheduleStarted() if stream.kind == "schedule":
            pass
        case HoldSet() if stream.kind == HOLD:
            pass
        case BudgetSet() if stream.kind == BUDGETS:
            pass
        case AllowedAlways() if stream.kind == STREAM:
            # It has no summary: there is one such stream, and it is short.
            pass
        case _:
            raise ValueError(f"a {stream.kind} does not begin with {first.type if first else 'nothing'}")


def _summarise_run(transaction: Transaction, tenant: str, run_id: str, started: RunStarted, position: int) -> None:
    request = started.request
    place = request.workplace
    transaction.later(
        sql.NEW_RUN,
        {
            "id": run_id,
            "tenant": tenant,
            "session_id": request.session_id,
            "batch_id": request.batch_id or request.loop_id,
            "position": position,
            "project": request.project,
            "role": request.role,
            "title": request.title[: summary.MAX_TEXT],
            "prompt": request.prompt[: summary.MAX_TEXT],
            "model": request.models[0] if request.models else "",
            "branch": place.branch,
            "worktree": place.worktree,
            "root": place.root,
            "last_text": "queued" if request.queue is None else f"queued for {request.queue}"[: summary.MAX_PHRASE],
            "queue": request.queue,
            "now": transaction.now,
        },
    )
    if request.session_id:
        cwd = place.worktree or place.root
        title = request.title[: summary.MAX_TEXT]
        row = {"id": request.session_id, "tenant": tenant, "cwd": cwd, "title": title, "now": transaction.now}
        transaction.later(sql.NEW_SESSION, row)


def _open_budget(transaction: Transaction, tenant: str, cap: Cap) -> None:
    transaction.later(sql.OPEN_BUDGET, {"tenant": tenant, "scope": cap.scope, "cap": cap.cap})
