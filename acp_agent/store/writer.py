"""The one thread through which all writes of a process go, many callers' operations in one commit."""

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import anyio.to_thread

from acp_agent.domain.chain import Anchor
from acp_agent.domain.errors import ExitCode, NotRecorded
from acp_agent.store import sql
from acp_agent.store.anchors import Anchors
from acp_agent.store.connection import Connection
from acp_agent.store.database import Database
from acp_agent.store.reconnect import opened_again
from acp_agent.store.ticket import Ticket, deliver
from acp_agent.store.transaction import Transaction
from acp_agent.store.unwritable import unwritable

T = TypeVar("T")
MAX_GROUP = 256


Apply = Callable[[Transaction], Any]
"""An operation: raises and leaves nothing behind, or returns. A returned exception keeps what was written."""


@dataclass(frozen=True, eq=False)
class _Operation:
    apply: Apply
    ticket: Ticket
    guarded: bool
    stream_id: str | None
    lasting: bool


class _Written(NamedTuple):
    """A group whose commit was asked for: what its callers are told if it stands, and what tells whether it does."""

    mark: str
    heads: Mapping[str, Anchor]
    outcomes: list[Any]


class _GroupFailed(Exception):
    """An operation left its half in the transaction of others: all again, each with a savepoint."""


class Writer:
    """Commits operations in groups and wakes their callers. `close` it, or the connection stays open."""

    def __init__(
        self,
        database: Database,
        connection: Connection,
        crash: Callable[[str], None] | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._database = database
        self._connection = connection
        self._anchors = Anchors(database.anchors)
        self._written: _Written | None = None
        self._crash = crash or (lambda _point: None)
        self._clock = clock
        self._queue: queue.SimpleQueue[_Operation | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._refusal: str | None = None
        self._failure: BaseException | None = None
        self._group: list[_Operation] = []
        self._thread = threading.Thread(target=self._run, name="acp-journal-writer", daemon=True)
        self._thread.start()

    async def submit(
        self,
        apply: Callable[[Transaction], T],
        *,
        guarded: bool,
        stream_id: str | None = None,
        lasting: bool = True,
    ) -> T:
        """Run `apply` in the next group and wait for its commit.

        A `guarded` one gets a savepoint of its own, because it may well refuse after it has written. One that names
        the stream it lengthens for its driver is written together with its like. One that moves leases only need not be
        `lasting`: no disk is waited for, since what is lost with the power is a lease that nobody has then, and all
        that its driver records later brings it along.

        Raises what `apply` raised, or returned as an exception, and NotRecorded where the database cannot be written.
        """
        operation = _Operation(apply, Ticket(), guarded, stream_id, lasting)
        with self._gate:
            if self._refusal is not None:
                raise self._refused() from self._failure
            self._queue.put(operation)
        result: T = await operation.ticket.outcome()
        return result

    async def close(self) -> None:
        """Commit what was submitted, then end the thread and close the connection."""
        with self._gate:
            if self._refusal is None:
                self._refusal = f"the journal {self._database.name} is closed"
                self._queue.put(None)
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._thread.join)

    def _run(self) -> None:
        try:
            while self._gather():
                # Nobody in a group waits for another one of it, so any order is right: the bulk first, all in one.
                self._group.sort(key=lambda operation: operation.guarded or operation.stream_id is None)
                deliver(zip((operation.ticket for operation in self._group), self._outcomes(), strict=True))
                self._group = []
            self._anchors.note()
        except BaseException as error:
            self._fail(error)
        finally:
            self._connection.close()

    def _gather(self) -> bool:
        """Fill the group with what waits, at least one; False at the end."""
        operation = self._queue.get()
        while operation is not None:
            self._group.append(operation)
            if len(self._group) == MAX_GROUP:
                return True
            try:
                operation = self._queue.get_nowait()
            except queue.Empty:
                return True
        if self._group:
            # The end came behind a last group: it is wanted again after that.
            self._queue.put(None)
        return bool(self._group)

    def _outcomes(self) -> list[Any]:
        """Commit the group, on a new connection where one is lost; a commit that may have been one is looked up."""
        self._written = None
        try:
            while True:
                try:
                    if self._written is not None and self._stands(self._written):
                        self._anchors.follow(self._written.heads)
                        return self._written.outcomes
                    self._written = None
                    return self._committed()
                except self._database.error:
                    if not self._connection.lost:
                        raise
                self._connection = opened_again(self._database)
        except self._database.error as error:
            if self._connection.in_transaction:
                self._connection.rows("ROLLBACK")
            return [unwritable(self._database, error) for _ in self._group]

    def _committed(self) -> list[Any]:
        lasting = any(operation.lasting for operation in self._group)
        try:
            return self._attempt(alone=False, lasting=lasting)
        except _GroupFailed:
            self._connection.rows("ROLLBACK")
            return self._attempt(alone=True, lasting=lasting)

    def _stands(self, written: _Written) -> bool:
        """Whether a group is on record whose commit nobody confirmed.

        Its events are the proof, since nothing else has their digests; the server's word is needed only where it has
        none, because after a crash it may give a transaction's number once more.
        """
        known = self._connection.has_committed(written.mark)
        for tenant, head in written.heads.items():
            values = {"tenant": tenant, "position": head.position}
            return self._connection.rows(sql.ANCHOR_AT, values) == [(head.position, head.digest)]
        return known

    def _attempt(self, *, alone: bool, lasting: bool) -> list[Any]:
        """Commit the group. Raises _GroupFailed where an operation without a savepoint failed."""
        mark, now = self._connection.begin_writing(lasting=lasting)
        transaction = Transaction(self._connection, self._clock() if self._clock else now)
        lone = len(self._group) == 1
        outcomes: list[Any] = []
        try:
            if not (lone or alone):
                transaction.look_up(operation.stream_id for operation in self._group if operation.stream_id is not None)
            for operation in self._group:
                if not lone and (alone or operation.guarded):
                    outcomes.append(self._guarded(operation, transaction))
                else:
                    outcomes.append(operation.apply(transaction))
            transaction.write_out()
        except self._database.failure:
            raise
        except Exception as error:
            if not lone:
                raise _GroupFailed from error
            # Nothing of others is in the transaction: it is its savepoint.
            self._connection.rows("ROLLBACK")
            return [error]
        heads = transaction.chain.write()
        if heads and not lasting:
            # A lease was refused with a fact (a crash loop): facts last.
            self._connection.rows("ROLLBACK")
            return self._attempt(alone=alone, lasting=True)
        self._crash("journal.before_commit")
        self._written = _Written(mark, heads, outcomes)
        self._connection.rows("COMMIT")
        self._anchors.follow(heads)
        self._crash("journal.after_commit")
        return outcomes

    def _guarded(self, operation: _Operation, transaction: Transaction) -> Any:
        begun = transaction.begin_alone()
        try:
            outcome = operation.apply(transaction)
            transaction.write_out()
        except self._database.failure:
            raise
        except Exception as error:
            transaction.take_back(begun)
            outcome = error
        transaction.end_alone()
        return outcome

    def _fail(self, error: BaseException) -> None:
        """The thread cannot go on: whoever waits, and whoever comes later, is told."""
        with self._gate:
            self._failure = error
            self._refusal = f"the journal {self._database.name} has failed: {error}"
        waiting = self._group
        while not self._queue.empty():
            operation = self._queue.get_nowait()
            if operation is not None:
                waiting.append(operation)
        deliver((operation.ticket, self._refused()) for operation in waiting)

    def _refused(self) -> NotRecorded:
        hint = "what was committed is safe; start again and resume"
        return NotRecorded(self._refusal or "", hint=hint, exit_code=ExitCode.FAILED)
