"""The one thread through which all writes of a process go, many callers' operations in one commit."""

import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import anyio.to_thread

from acp_agent.domain.errors import ExitCode, NotRecorded
from acp_agent.store import sql
from acp_agent.store.anchors import Anchors
from acp_agent.store.chain import Chain
from acp_agent.store.ticket import Ticket, deliver
from acp_agent.store.unwritable import unwritable

T = TypeVar("T")
MAX_GROUP = 256


@dataclass(frozen=True)
class Transaction:
    """What an operation writes in: its `now` is the database's time in Unix seconds, one for the whole group."""

    connection: sqlite3.Connection
    now: float
    chain: Chain

    def rows(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """Run one statement of `store.sql` to its end."""
        return self.connection.execute(statement, values).fetchall()

    def row(self, statement: str, **values: Any) -> tuple[Any, ...] | None:
        """The first row of `rows`."""
        found = self.rows(statement, **values)
        return found[0] if found else None


Apply = Callable[[Transaction], Any]
"""An operation: raises and leaves nothing behind, or returns. A returned exception keeps what was written."""


@dataclass(frozen=True, eq=False)
class _Operation:
    apply: Apply
    ticket: Ticket
    guarded: bool


class _GroupFailed(Exception):
    """An operation left its half in the transaction of others: all again, each with a savepoint."""


class Writer:
    """Commits operations in groups and wakes their callers. `close` it, or the connection stays open."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        crash: Callable[[str], None] | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._connection = connection
        self._path = path
        self._anchors = Anchors(path)
        self._crash = crash or (lambda _point: None)
        self._clock = clock
        self._queue: queue.SimpleQueue[_Operation | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._refusal: str | None = None
        self._failure: BaseException | None = None
        self._group: list[_Operation] = []
        self._thread = threading.Thread(target=self._run, name="acp-journal-writer", daemon=True)
        self._thread.start()

    async def submit(self, apply: Callable[[Transaction], T], *, guarded: bool) -> T:
        """Run `apply` in the next group and wait for its commit.

        A `guarded` one gets a savepoint of its own, because it may well refuse after it has written. Raises what
        `apply` raised, or returned as an exception, and NotRecorded where the database cannot be written.
        """
        operation = _Operation(apply, Ticket(), guarded)
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
                self._refusal = f"the journal {self._path} is closed"
                self._queue.put(None)
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._thread.join)

    def _run(self) -> None:
        try:
            while self._gather():
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
        try:
            try:
                return self._attempt(alone=False)
            except _GroupFailed:
                self._connection.execute("ROLLBACK")
                return self._attempt(alone=True)
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            return [unwritable(self._path, error) for _ in self._group]

    def _attempt(self, *, alone: bool) -> list[Any]:
        """Commit the group. Raises _GroupFailed where an operation without a savepoint failed."""
        self._connection.execute("BEGIN IMMEDIATE")
        transaction = Transaction(self._connection, self._now(), Chain(self._connection))
        outcomes: list[Any] = []
        for operation in self._group:
            if alone or operation.guarded:
                outcomes.append(self._guarded(operation, transaction))
                continue
            try:
                outcomes.append(operation.apply(transaction))
            except sqlite3.OperationalError:
                raise
            except Exception as error:
                raise _GroupFailed from error
        heads = transaction.chain.write()
        self._crash("journal.before_commit")
        self._connection.execute("COMMIT")
        self._anchors.follow(heads)
        self._crash("journal.after_commit")
        return outcomes

    def _guarded(self, operation: _Operation, transaction: Transaction) -> Any:
        self._connection.execute("SAVEPOINT operation")
        marked = transaction.chain.mark()
        try:
            outcome = operation.apply(transaction)
        except sqlite3.OperationalError:
            # Disk full or input/output: of the whole file, and SQLite may have rolled everything back.
            raise
        except Exception as error:
            self._connection.execute("ROLLBACK TO operation")
            transaction.chain.restore(marked)
            outcome = error
        self._connection.execute("RELEASE operation")
        return outcome

    def _now(self) -> float:
        if self._clock is not None:
            return self._clock()
        now: float = self._connection.execute(sql.NOW).fetchone()[0]
        return now

    def _fail(self, error: BaseException) -> None:
        """The thread cannot go on: whoever waits, and whoever comes later, is told."""
        with self._gate:
            self._failure = error
            self._refusal = f"the journal {self._path} has failed: {error}"
        waiting = self._group
        while not self._queue.empty():
            operation = self._queue.get_nowait()
            if operation is not None:
                waiting.append(operation)
        deliver((operation.ticket, self._refused()) for operation in waiting)

    def _refused(self) -> NotRecorded:
        hint = "what was committed is safe; start again and resume"
        return NotRecorded(self._refusal or "", hint=hint, exit_code=ExitCode.FAILED)
