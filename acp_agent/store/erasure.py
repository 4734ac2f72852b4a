"""Erases what streams said, for good, inside a transaction: rows and digests stay, so that the audit chain verifies.

A stream is erased whole or not at all: half of a run would neither be evidence nor could it be folded. What it cost,
when it was and who did it stays on record.
"""

from collections.abc import Sequence

from acp_agent.domain.errors import Refused
from acp_agent.domain.events_erased import PayloadErased
from acp_agent.store import operations, sql_erasure
from acp_agent.store.operations import Draft
from acp_agent.store.transaction import Transaction

_SUMMARIES = {
    "run": (sql_erasure.FORGET_TITLE, sql_erasure.FORGET_RUN),
    "batch": (sql_erasure.FORGET_BATCH,),
    "loop": (sql_erasure.FORGET_LOOP,),
    "session": (sql_erasure.FORGET_SESSION,),
}


def erase(
    transaction: Transaction, tenant: str, stream_ids: Sequence[str], reason: str, actor: str, dry_run: bool = False
) -> int:
    """Erase the payloads of every stream, each with a `PayloadErased` behind them; returns how many there were.

    Raises Refused, and erases nothing, where one of them is unknown, not over, driven by somebody, or a run whose
    result was neither accepted nor rejected. A `dry_run` only finds that out.
    """
    if dry_run:
        for stream_id in stream_ids:
            _require_over(transaction, tenant, stream_id)
        return 0
    return sum(_erase_one(transaction, tenant, stream_id, reason, actor) for stream_id in stream_ids)


def _erase_one(transaction: Transaction, tenant: str, stream_id: str, reason: str, actor: str) -> int:
    kind = _require_over(transaction, tenant, stream_id)
    seqs = tuple(seq for (seq,) in transaction.rows(sql_erasure.PAYLOADS, id=stream_id, tenant=tenant))
    if not seqs:
        return 0
    transaction.rows(sql_erasure.ERASE_PAYLOADS, id=stream_id, tenant=tenant)
    # Recorded first: it puts a few words into the summary, which then loses all of them.
    erased = PayloadErased(stream_id=stream_id, seqs=seqs, reason=reason)
    operations.note(transaction, tenant, stream_id, Draft.of([erased]), actor)
    for statement in _SUMMARIES[kind]:
        transaction.rows(statement, id=stream_id)
    return len(seqs)


def _require_over(transaction: Transaction, tenant: str, stream_id: str) -> str:
    found = transaction.row(sql_erasure.LIFE, id=stream_id, tenant=tenant)
    if found is None:
        raise operations.unknown(stream_id)
    kind, status, landed, commit, owner, until = found
    if kind not in _SUMMARIES:
        raise Refused(
            f"{stream_id} is in force: it cannot be forgotten", hint="acp approve --list, --revoke; acp schedule rm"
        )
    if owner is not None and until is not None and until >= transaction.now:
        raise Refused(f"{stream_id} is being driven", hint="end it first, then forget it")
    if status not in (None, "ended"):
        raise Refused(f"{stream_id} is not over: it is {status}", hint=f"acp cancel {stream_id}, then forget it")
    if commit is not None and landed is None:
        hint = f"acp accept {stream_id} or acp reject {stream_id} first: afterwards nobody can"
        raise Refused(f"{stream_id} has a result that waits for you", hint=hint)
    return str(kind)
