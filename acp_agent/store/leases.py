"""Who may drive a stream: claims, renewals and releases, as functions of a transaction."""

import logging
from collections.abc import Callable, Sequence

from acp_agent.domain.events import Parked
from acp_agent.domain.ports import Claim, Pulse, Queues
from acp_agent.store import operations, process, sql
from acp_agent.store.connection import Connection
from acp_agent.store.transaction import Transaction

_log = logging.getLogger(__name__)
MAX_TAKEOVERS = 3
_IS_DRIVEN = {"run": sql.RUN_IS_DRIVEN, "batch": sql.BATCH_IS_DRIVEN}


def dead_owner(connection: Connection, tenant: str, stream_id: str, now: float) -> str | None:
    """The owner (as recorded) of a lease still in force, if its process is gone. Asked before the transaction: slow."""
    rows = connection.rows(sql.OWNER, {"id": stream_id, "tenant": tenant, "now": now})
    owner: str | None = rows[0][0] if rows else None
    return owner if owner is not None and process.judge()(owner) else None


def claimable(connection: Connection, tenant: str, which: str | Queues | None, limit: int, now: float) -> list[str]:
    """Ids of runs that are queued or running and have no living driver, oldest first: all, of a batch, or of queues."""
    batch_id, queues = (which, None) if isinstance(which, str) else (None, which)
    if connection.rows(sql.HOLD_FACTS, {"tenant": tenant}):
        return []
    statement = sql.CLAIMABLE if batch_id is None else sql.CLAIMABLE_OF_BATCH
    is_gone = process.judge()
    found: list[str] = []
    for run_id, owner, lease_until, queue in connection.rows(statement, {"tenant": tenant, "batch_id": batch_id}):
        if len(found) >= limit:
            break
        if (queues is None or queue in queues) and not _held(owner, lease_until, now, is_gone):
            found.append(run_id)
    return found


def claim(
    transaction: Transaction, tenant: str, stream_id: str, owner: str, dead: str | None, lease: float
) -> Claim | None:
    """Take a stream that nobody holds; one whose owner is `dead` counts as such."""
    row = transaction.row(sql.LEASE, id=stream_id, tenant=tenant)
    if row is None:
        raise operations.unknown(stream_id)
    kind, seq, fence, holder, lease_until, takeovers, seq_at_claim, status = row
    if _held(holder, lease_until, transaction.now, lambda text: text == dead):
        return None
    if kind in operations.WORKS and operations.is_held(transaction, tenant):
        return None
    if not _drivable(transaction, stream_id, kind, status):
        return None
    lost = holder is not None
    progressed = seq > seq_at_claim and transaction.row(sql.PROGRESS, id=stream_id, after=seq_at_claim) is not None
    takeovers = takeovers + 1 if lost and not progressed else 0
    crash_loop = kind == "run" and takeovers >= MAX_TAKEOVERS
    until = transaction.now + lease
    taken = transaction.row(sql.TAKE, id=stream_id, fence=fence, owner=owner, until=until, takeovers=takeovers)
    if taken is None:
        return None
    if crash_loop:
        _give_up(transaction, tenant, Claim(stream_id=stream_id, fence=taken[0]))
        return None
    if kind in _IS_DRIVEN:
        transaction.rows(_IS_DRIVEN[kind], id=stream_id, now=transaction.now)
    return Claim(stream_id=stream_id, fence=taken[0], takeovers=takeovers)


def renew(transaction: Transaction, claims: Sequence[Claim], lease: float) -> list[Pulse]:
    """Extend the leases that still hold."""
    return [_renewed(transaction, held, transaction.now + lease) for held in claims]


def release(transaction: Transaction, held: Claim) -> None:
    """Give the stream back; does nothing for a claim that was lost."""
    if transaction.row(sql.RELEASE, id=held.stream_id, fence=held.fence) is not None:
        transaction.rows(sql.RUN_IS_FREE, id=held.stream_id, now=transaction.now)


def _held(owner: str | None, lease_until: float | None, now: float, is_gone: Callable[[str], bool]) -> bool:
    return owner is not None and lease_until is not None and lease_until >= now and not is_gone(owner)


def _drivable(transaction: Transaction, stream_id: str, kind: str, status: str) -> bool:
    if kind == "run":
        return status in ("queued", "running")
    if kind in ("session", "loop", "schedule"):
        return True
    # A batch ends when its last runs wait for people, and goes on once they have answered.
    return status == "running" or transaction.row(sql.OPEN_RUN_OF_BATCH, id=stream_id) is not None


def _give_up(transaction: Transaction, tenant: str, held: Claim) -> None:
    detail = f"taken over {MAX_TAKEOVERS} times without a new event"
    _log.warning("%s was %s: it waits; acp retry %s tries again", held.stream_id, detail, held.stream_id)
    operations.park(transaction, tenant, held.stream_id, Parked(waiting="crash_loop", detail=detail))
    release(transaction, held)


def _renewed(transaction: Transaction, held: Claim, until: float) -> Pulse:
    renewed = transaction.row(sql.RENEW, id=held.stream_id, fence=held.fence, until=until)
    if renewed is not None:
        return Pulse(stream_id=held.stream_id, seq=renewed[0])
    last = transaction.row(sql.LAST_SEQ, id=held.stream_id)
    return Pulse(stream_id=held.stream_id, seq=last[0] if last else 0, lost=True)
