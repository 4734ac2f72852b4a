"""Who may drive a stream: claims, renewals and releases, as functions of a transaction."""

import logging
from collections.abc import Callable, Sequence

from acp_agent.domain.events import Parked
from acp_agent.domain.ports import Claim, Pulse, Queues
from acp_agent.store import operations, process, sql
from acp_agent.store.connection import Connection, Row
from acp_agent.store.transaction import Transaction, among

_log = logging.getLogger(__name__)
MAX_TAKEOVERS = 3
ALL = 1_000_000_000
"""Rows that nobody has."""
_IS_DRIVEN = {"run": sql.RUN_IS_DRIVEN, "batch": sql.BATCH_IS_DRIVEN}


def dead_owners(connection: Connection, tenant: str, stream_ids: Sequence[str], now: float) -> frozenset[str]:
    """Owners (as recorded) of leases still in force whose process is gone. Asked before the transaction: slow."""
    found: set[str] = set()
    for statement, values in among(sql.OWNERS, stream_ids):
        found.update(owner for (owner,) in connection.rows(statement, {**values, "tenant": tenant, "now": now}))
    is_gone = process.judge()
    return frozenset(owner for owner in found if is_gone(owner))


def living_owners(connection: Connection, tenant: str, stream_ids: Sequence[str], now: float) -> frozenset[str]:
    """Owners (as recorded) of leases in force whose process is not known to be gone."""
    found: set[str] = set()
    for statement, values in among(sql.OWNERS, stream_ids):
        rows = connection.rows(statement, {**values, "tenant": tenant, "now": now})
        found.update(owner for (owner,) in rows if owner is not None)
    return frozenset(found) - dead_owners(connection, tenant, stream_ids, now)


def claimable(connection: Connection, tenant: str, which: str | Queues | None, limit: int, now: float) -> list[str]:
    """Ids of runs that are queued or running and have no living driver, oldest first: all, of a batch, or of queues."""
    # Those that run are few, but any number of them may be held.
    return _free(connection, tenant, which, (("running", ALL), ("queued", limit)), now)[:limit]


def lost(connection: Connection, tenant: str, queues: Queues, now: float) -> list[str]:
    """Ids of runs of queues that are running and have no living driver, oldest first."""
    return _free(connection, tenant, queues, (("running", ALL),), now)


def _free(
    connection: Connection, tenant: str, which: str | Queues | None, wanted: Sequence[tuple[str, int]], now: float
) -> list[str]:
    """Ids of runs without a living driver, of so many of each status that is `wanted`."""
    if connection.rows(sql.HOLD_FACTS, {"tenant": tenant}):
        return []
    values = {"tenant": tenant, "batch_id": which}
    if which is None or isinstance(which, str):
        statement = sql.CLAIMABLE if which is None else sql.CLAIMABLE_OF_BATCH
    else:
        ((statement, names),) = among(sql.CLAIMABLE_OF_QUEUES, sorted(which))
        values |= names
    found = [
        row
        for status, most in wanted
        for row in connection.rows(statement, {**values, "status": status, "limit": most})
    ]
    is_gone = process.judge()
    return [run_id for _, _, run_id, owner, until in sorted(found) if not _held(owner, until, now, is_gone)]


def claim(
    transaction: Transaction,
    tenant: str,
    stream_ids: Sequence[str],
    owner: str,
    dead: frozenset[str],
    lease: float,
    most: int,
) -> list[Claim]:
    """Take the first `most` of the streams that nobody holds; those whose owner is `dead` count as such."""
    leases = {row[0]: row[1:] for row in transaction.among(sql.LEASES, stream_ids, tenant=tenant)}
    claims: list[Claim] = []
    for stream_id in stream_ids:
        if len(claims) == most:
            break
        row = leases.get(stream_id)
        if row is None:
            raise operations.unknown(stream_id)
        taken = _taken(transaction, tenant, stream_id, row, owner, dead, lease)
        if taken is not None:
            claims.append(taken)
    return claims


def _taken(
    transaction: Transaction, tenant: str, stream_id: str, row: Row, owner: str, dead: frozenset[str], lease: float
) -> Claim | None:
    kind, fence, holder, lease_until, takeovers, status, progressed = row
    if _held(holder, lease_until, transaction.now, dead.__contains__):
        return None
    if kind in operations.WORKS and operations.is_held(transaction, tenant):
        return None
    if not _drivable(transaction, stream_id, kind, status):
        return None
    takeovers = takeovers + 1 if holder is not None and not progressed else 0
    until = transaction.now + lease
    transaction.later(sql.TAKE, {"id": stream_id, "owner": owner, "until": until, "takeovers": takeovers})
    claimed = Claim(stream_id=stream_id, fence=fence + 1, takeovers=takeovers)
    if kind == "run" and takeovers >= MAX_TAKEOVERS:
        _give_up(transaction, tenant, claimed)
        return None
    if kind in _IS_DRIVEN:
        transaction.later(_IS_DRIVEN[kind], {"id": stream_id, "now": transaction.now})
    return claimed


def renew(transaction: Transaction, claims: Sequence[Claim], lease: float) -> list[Pulse]:
    """Extend the leases that still hold."""
    ids = [held.stream_id for held in claims]
    seqs = {stream_id: seq for stream_id, seq in transaction.among(sql.LAST_SEQS, ids)}
    fences = {stream_id: fence for stream_id, _, fence in transaction.among(sql.DRIVEN, ids)}
    pulses = []
    for held in claims:
        lost = fences.get(held.stream_id) != held.fence
        if not lost:
            transaction.later(sql.RENEW, {"id": held.stream_id, "until": transaction.now + lease})
        pulses.append(Pulse(stream_id=held.stream_id, seq=seqs.get(held.stream_id, 0), lost=lost))
    return pulses


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
