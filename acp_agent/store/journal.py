"""The journal on either database: `domain.ports.Journal` with one writer thread, group commit, fences, budgets."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pydantic_core import from_json

from acp_agent.domain.budget import Reservation, Settlement
from acp_agent.domain.errors import AcpAgentError, Fenced
from acp_agent.domain.events import Event, Fact, fact_in
from acp_agent.domain.hold import Hold, hold_of
from acp_agent.domain.location import Location
from acp_agent.domain.masking import enter_places
from acp_agent.domain.ports import Claim, NewStream, Owner, Pulse, Queues
from acp_agent.domain.redact import Redactor
from acp_agent.domain.session import SessionSummary
from acp_agent.store import leases, operations, sql
from acp_agent.store.connection import Connection
from acp_agent.store.database import database_at
from acp_agent.store.news import News
from acp_agent.store.operations import Draft, Opening
from acp_agent.store.reader import Reader
from acp_agent.store.transaction import Transaction, among
from acp_agent.store.writer import Writer

if TYPE_CHECKING:
    from acp_agent.store.permits import StoredPermits
    from acp_agent.store.transfer import Carried


class StoredJournal:
    """`domain.ports.Journal` in the database at `location`, created where it is missing. Use as an async context.

    `lease` is in seconds. `crash` is called with `journal.before_commit` and `journal.after_commit` around every
    commit, on the writer's thread; whatever it raises ends the journal. `clock` (Unix seconds) stands in for the
    database's time. What `redact` finds is masked before it is written, and in the events that come back. Raises
    UsageError for what is no database of ours, or a newer one's.
    """

    def __init__(
        self,
        location: Location | str,
        *,
        tenant: str = "local",
        lease: float = 10.0,
        crash: Callable[[str], None] | None = None,
        clock: Callable[[], float] | None = None,
        redact: Redactor = operations.PLAIN,
    ) -> None:
        database = database_at(location)
        self._redact = redact
        self._tenant = tenant
        self._lease = lease
        self._clock = clock
        self._news = News(database)
        connection = database.open_for_writing()
        try:
            self._reader = Reader(database)
        except BaseException:
            connection.close()
            raise
        self._writer = Writer(database, connection, crash, clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Commit what was submitted and close the file; later calls raise AcpAgentError."""
        await self._news.close()
        await self._reader.close()
        await self._writer.close()

    async def create(self, streams: Sequence[NewStream], actor: str, most: int | None = None) -> None:
        """Open streams, all or none.

        Raises Refused where an id is taken, or where more than `most` runs would be queued or running.
        """
        enter_places((fact for stream in streams for fact in stream.facts), self._redact)
        openings = [Opening(stream, Draft.of(stream.facts, self._redact)) for stream in streams]
        apply = partial(operations.create, tenant=self._tenant, openings=openings, actor=actor, most=most)
        await self._writer.submit(apply, guarded=True)

    async def claim(self, stream_id: str, owner: Owner) -> Claim | None:
        """Take a stream that nobody drives; None when it is held, waiting or ended.

        A batch that has ended can be taken again while one of its runs has not. A run that was taken over three times
        without a new event is parked as `crash_loop` instead. Raises Refused for an unknown stream.
        """
        # Most streams are free: only for one that is not, it is worth a look at whose process may be gone.
        claims = await self._claim([stream_id], owner, 1, frozenset())
        if not claims and (dead := await self._dead([stream_id])):
            claims = await self._claim([stream_id], owner, 1, dead)
        return claims[0] if claims else None

    async def claim_first(self, stream_ids: Sequence[str], owner: Owner, most: int) -> list[Claim]:
        """Take the first `most` of the streams that can be had, in one transaction. Raises as `claim` does."""
        if not stream_ids:
            return []
        return await self._claim(stream_ids, owner, most, await self._dead(stream_ids))

    async def _dead(self, stream_ids: Sequence[str]) -> frozenset[str]:
        return await self._reader.ask(partial(self._dead_owners, stream_ids))

    async def _claim(self, stream_ids: Sequence[str], owner: Owner, most: int, dead: frozenset[str]) -> list[Claim]:
        apply = partial(
            leases.claim,
            tenant=self._tenant,
            stream_ids=stream_ids,
            owner=owner.model_dump_json(),
            dead=dead,
            lease=self._lease,
            most=most,
        )
        return await self._writer.submit(apply, guarded=True, lasting=False)

    async def owner_of(self, stream_id: str) -> Owner | None:
        """The process whose lease of a stream is in force."""

        def question(connection: Connection) -> Owner | None:
            values = {"id": stream_id, "tenant": self._tenant, "now": self._now(connection)}
            rows = connection.rows(sql.OWNER, values)
            return Owner.model_validate_json(rows[0][0]) if rows and rows[0][0] is not None else None

        return await self._reader.ask(question)

    async def is_free(self, stream_id: str) -> bool:
        """Whether no process that is alive, as far as one can tell from here, has the lease of a stream."""
        return not await self._reader.ask(
            lambda connection: leases.living_owners(connection, self._tenant, [stream_id], self._now(connection))
        )

    async def claimable(self, which: str | Queues | None, limit: int) -> list[str]:
        """Ids of runs that could be claimed now: all or those of queues, oldest first, or of one batch in its order."""

        def question(connection: Connection) -> list[str]:
            return leases.claimable(connection, self._tenant, which, limit, self._now(connection))

        return await self._reader.ask(question)

    async def beginnings(self, run_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """The first fact of each run, and where it was prepared, as JSON says them; none of what was erased."""
        from acp_agent.store.beginnings import beginnings

        return await self._reader.ask(partial(beginnings, tenant=self._tenant, run_ids=run_ids))

    async def lost(self, queues: Queues) -> list[str]:
        """Ids of runs of queues whose driver is gone, oldest first."""

        def question(connection: Connection) -> list[str]:
            return leases.lost(connection, self._tenant, queues, self._now(connection))

        return await self._reader.ask(question)

    async def renew(self, claims: Sequence[Claim]) -> list[Pulse]:
        """Extend the leases of `claims` that still hold; a pulse for each, in their order."""
        apply = partial(leases.renew, claims=claims, lease=self._lease)
        return await self._writer.submit(apply, guarded=False, lasting=False)

    async def release(self, claim: Claim) -> None:
        """Give the stream back; it stays claimable if it has neither ended nor waits."""
        await self._writer.submit(partial(leases.release, held=claim), guarded=False, lasting=False)

    async def append(
        self,
        claim: Claim,
        facts: Sequence[Fact],
        *,
        reserve: Sequence[Reservation] = (),
        settle: Sequence[Settlement] = (),
    ) -> list[Event]:
        """Record facts of the driver together with their money, or nothing. Raises Fenced, OverBudget, Held, Refused.

        A cancellation is delivered only after the outcome is known, so that no caller doubts whether its facts stand.
        """
        drafts = Draft.of(facts, self._redact)

        def apply(transaction: Transaction) -> list[Event] | Fenced:
            events = operations.append(transaction, self._tenant, claim, drafts, transaction.now + self._lease)
            if not isinstance(events, Fenced):
                operations.move_money(transaction, self._tenant, reserve, settle)
            return events

        # The writer raises a Fenced that is returned, once the late results it leaves behind are committed.
        events = await self._writer.submit(apply, guarded=bool(reserve), stream_id=claim.stream_id)
        assert not isinstance(events, Fenced)
        return events

    async def news(self, seconds: float, seen: int) -> int:
        """Wait until somebody has recorded what others should look at, at most `seconds`; `seen` as it returned last.

        On SQLite nobody is told: it waits all the time.
        """
        return await self._news.wait(seconds, seen)

    async def note(self, stream_id: str, facts: Sequence[Fact], actor: str, *, after: int | None = None) -> list[Event]:
        """Record facts of somebody else; a waiting run is queued again by an answer or a cancellation.

        Raises Refused for an unknown stream, for an answer to, or a cancellation of, a run that has ended, and where
        event `after` is not the last one any more.
        """
        drafts = Draft.of(facts, self._redact)
        apply = partial(operations.note, tenant=self._tenant, stream_id=stream_id, drafts=drafts, actor=actor)
        return await self._writer.submit(partial(apply, after=after), guarded=True)

    async def events(self, stream_id: str, after: int = 0) -> list[Event]:
        """The facts of a stream in order, those after `seq`. Raises AcpAgentError for one this version cannot read."""
        # Those that are asked for from their first fact on, as runs are that begin together, are read together.
        same = "events" if after == 0 else None
        return await self._reader.ask_of_many(partial(_events, tenant=self._tenant, after=after), stream_id, same)

    async def erase(self, stream_ids: Sequence[str], reason: str, actor: str, *, dry_run: bool = False) -> int:
        """Erase what streams said, all or none of them; returns the number of payloads. See `store.erasure`."""
        from acp_agent.store import erasure

        ids = tuple(stream_ids)
        apply = partial(erasure.erase, tenant=self._tenant, stream_ids=ids, reason=reason, actor=actor, dry_run=dry_run)
        return await self._writer.submit(apply, guarded=True)

    async def overdue(self) -> list[tuple[str, int]]:
        """Runs that wait for an approval whose step is over its time, each with the `seq` of its last event."""

        def question(connection: Connection) -> list[tuple[str, int]]:
            rows = connection.rows(sql.ASKED, {"tenant": self._tenant})
            if not rows:
                return []
            now = self._now(connection)
            asked = [(run_id, seq, ts, from_json(data).get("within")) for run_id, seq, ts, data in rows]
            return [(run_id, seq) for run_id, seq, ts, within in asked if within is not None and ts + within <= now]

        return await self._reader.ask(question)

    async def untold(self, kinds: Sequence[str]) -> list[tuple[str, int]]:
        """Runs that wait for one of `kinds` of which nobody has been told, each with the `seq` of its last event."""

        def question(connection: Connection) -> list[tuple[str, int]]:
            (statement, names), *_ = among(sql.UNTOLD, kinds)
            return [(run_id, seq) for run_id, seq in connection.rows(statement, {"tenant": self._tenant, **names})]

        return await self._reader.ask(question)

    def permits(self, owner: Owner) -> "StoredPermits":
        """The limits that all processes of this database share, as this process asks for them."""
        from acp_agent.store.permits import StoredPermits

        parts = (self._writer, self._reader, self._news, self._now)
        return StoredPermits(*parts, tenant=self._tenant, owner=owner, lease=self._lease)

    async def hold(self) -> Hold | None:
        """The hold in force, by which a person stopped everything."""

        def question(connection: Connection) -> Hold | None:
            return hold_of(connection.rows(sql.HOLD_FACTS, {"tenant": self._tenant}))

        return await self._reader.ask(question, "hold")

    async def streams(self, kind: str) -> list[str]:
        """Ids of all streams of a kind, in order."""

        def question(connection: Connection) -> list[str]:
            return [stream_id for (stream_id,) in connection.rows(sql.STREAMS, {"tenant": self._tenant, "kind": kind})]

        return await self._reader.ask(question)

    async def now(self) -> float:
        """The time of the database, Unix seconds."""
        return await self._reader.ask(self._now)

    async def run_counts(self) -> dict[str, int]:
        """How many runs there are of each status."""

        def question(connection: Connection) -> dict[str, int]:
            return dict(connection.rows(sql.RUN_COUNTS, {"tenant": self._tenant}))

        return await self._reader.ask(question)

    async def put(self, streams: "Sequence[Carried]") -> int:
        """Record streams of an export, all or none; returns the number of events. See `store.transfer.put`."""
        from acp_agent.store import transfer

        apply = partial(transfer.put, tenant=self._tenant, streams=streams, redact=self._redact)
        return await self._writer.submit(apply, guarded=True)

    async def runs_of(self, session_id: str) -> list[str]:
        """Ids of the runs of a session, oldest first."""

        def question(connection: Connection) -> list[str]:
            values = {"id": session_id, "tenant": self._tenant}
            return [run_id for (run_id,) in connection.rows(sql.RUNS_OF_SESSION, values)]

        return await self._reader.ask(question)

    async def heads_of(self, session_id: str, inherited: Sequence[str] = ()) -> list[tuple[str, int]]:
        """Runs and the `seq` of the last fact of each: those `inherited`, then the session's own, oldest first."""

        def question(connection: Connection) -> list[tuple[str, int]]:
            asked = (connection.rows(sql.HEAD_OF_RUN, {"id": name, "tenant": self._tenant}) for name in inherited)
            return [(run_id, seq) for rows in asked for run_id, seq in rows]

        before = await self._reader.ask(question) if inherited else []
        return [*before, *await self._reader.ask_of_many(partial(_heads, tenant=self._tenant), session_id, "heads")]

    async def sessions(self, cwd: str | None, before: tuple[float, str] | None, limit: int) -> list[SessionSummary]:
        """Sessions that were not deleted, the last used first; `before` is `(updated_at, id)` of the last one seen."""
        last, last_id = before or (math.inf, "")
        values = {"tenant": self._tenant, "cwd": cwd, "before": last, "before_id": last_id, "limit": limit}

        def question(connection: Connection) -> list[SessionSummary]:
            return [
                SessionSummary(session_id=session_id, cwd=place, title=title, updated_at=updated_at)
                for session_id, place, title, updated_at in connection.rows(sql.SESSIONS, values)
            ]

        return await self._reader.ask(question)

    def _dead_owners(self, stream_ids: Sequence[str], connection: Connection) -> frozenset[str]:
        return leases.dead_owners(connection, self._tenant, stream_ids, self._now(connection))

    def _now(self, connection: Connection) -> float:
        return self._clock() if self._clock else float(connection.rows(sql.NOW)[0][0])


def _events(
    connection: Connection, stream_ids: Sequence[str], tenant: str, after: int = 0
) -> dict[str, list[Event] | AcpAgentError]:
    """The facts of each stream, or why they cannot be told."""
    found: dict[str, list[Event] | AcpAgentError] = {stream_id: [] for stream_id in stream_ids}
    for statement, values in among(sql.EVENTS, list(found)):
        rows = connection.rows(statement, {**values, "tenant": tenant, "after": after})
        for stream_id, of_stream in groupby(rows, itemgetter(0)):
            try:
                found[stream_id] = [_event(connection, *row) for row in of_stream]
            except AcpAgentError as error:
                found[stream_id] = error
    return found


def _event(
    connection: Connection, stream_id: str, seq: int, ts: float, v: int, tenant: str, actor: str, kind: str, data: str
) -> Event:
    if not data:
        from acp_agent.store.forgotten import forgotten

        raise forgotten(stream_id, connection.rows(sql.ERASURE, {"id": stream_id}))
    try:
        fact = fact_in(data, kind)
    except ValueError as error:
        raise AcpAgentError(
            f"event {seq} of {stream_id} cannot be read: {error}",
            hint="it was written by a newer acp-agent: upgrade",
        ) from error
    return Event(stream_id, seq, ts, fact, v, tenant, actor)


def _heads(connection: Connection, session_ids: Sequence[str], tenant: str) -> dict[str, list[tuple[str, int]]]:
    """The runs of each session, and how far they are."""
    found: dict[str, list[tuple[str, int]]] = {session_id: [] for session_id in session_ids}
    for statement, values in among(sql.HEADS_OF_SESSIONS, list(found)):
        for session_id, run_id, seq in connection.rows(statement, {**values, "tenant": tenant}):
            found[session_id].append((run_id, seq))
    return found
