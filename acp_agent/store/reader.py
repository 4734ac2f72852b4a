"""The thread that answers the journal's reads, so that neither the event loop nor a commit waits for them."""

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import anyio.to_thread

from acp_agent.domain.errors import AcpAgentError
from acp_agent.store.connection import Connection
from acp_agent.store.database import Database
from acp_agent.store.reconnect import opened_again
from acp_agent.store.ticket import Ticket, deliver

T = TypeVar("T")
Question = Callable[[Connection], T]
TOGETHER = 0.01
"""Seconds for which an answer may wait for the next one."""


class Reader:
    """Answers questions in order on a connection of its own. `close` it, or the connection stays open."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection = database.open_for_reading()
        self._queue: queue.SimpleQueue[tuple[Question[Any], Ticket] | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="acp-journal-reader", daemon=True)
        self._thread.start()

    async def ask(self, question: Question[T]) -> T:
        """The answer of `question` to what is committed now.

        Raises what it raises, and AcpAgentError where the database cannot be read.
        """
        ticket = Ticket()
        with self._gate:
            if self._closed:
                raise AcpAgentError(f"the journal {self._database.name} is closed")
            self._queue.put((question, ticket))
        answer: T = await ticket.outcome()
        return answer

    async def close(self) -> None:
        """Answer what was asked, then end the thread and close the connection."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._thread.join)

    def _run(self) -> None:
        answered: list[tuple[Ticket, Any]] = []
        began = time.monotonic()
        while (asked := self._queue.get()) is not None:
            question, ticket = asked
            answered.append((ticket, self._outcome(question)))
            # Waking an event loop costs more than most answers: those that many wait for are told together.
            if self._queue.empty() or time.monotonic() - began > TOGETHER:
                deliver(answered)
                answered, began = [], time.monotonic()
        deliver(answered)
        self._connection.close()

    def _outcome(self, question: Question[Any]) -> Any:
        try:
            return self._answer(question)
        except self._database.error as error:
            told = AcpAgentError(
                f"{self._database.name}: cannot read: {error}", hint="check the disk, the file or the server"
            )
            told.__cause__ = error
            return told
        except BaseException as error:
            return error

    def _answer(self, question: Question[T]) -> T:
        """Ask again on a new connection where the old one was lost."""
        while True:
            try:
                return question(self._connection)
            except self._database.error:
                if not self._connection.lost:
                    raise
            self._connection = opened_again(self._database)
