"""The thread that answers the journal's reads, so that neither the event loop nor a commit waits for them."""

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

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


class _Asked(NamedTuple):
    question: Question[Any]
    ticket: Ticket
    same: str | None


class Reader:
    """Answers questions in order on a connection of its own. `close` it, or the connection stays open."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection = database.open_for_reading()
        self._queue: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="acp-journal-reader", daemon=True)
        self._thread.start()

    async def ask(self, question: Question[T], same: str | None = None) -> T:
        """The answer of `question` to what is committed now; those that wait with the `same` name get one answer.

        Raises what it raises, and AcpAgentError where the database cannot be read.
        """
        ticket = Ticket()
        with self._gate:
            if self._closed:
                raise AcpAgentError(f"the journal {self._database.name} is closed")
            self._queue.put(_Asked(question, ticket, same))
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
        while asked := self._gather():
            known: dict[str, Any] = {}
            answered: list[tuple[Ticket, Any]] = []
            began = time.monotonic()
            for question, ticket, same in asked:
                # All of these were asked before the first of them is answered.
                outcome = known[same] if same in known else self._outcome(question)
                if same is not None:
                    known[same] = outcome
                answered.append((ticket, outcome))
                # Waking an event loop costs more than most answers: those that many wait for are told together.
                if time.monotonic() - began > TOGETHER:
                    deliver(answered)
                    answered, began = [], time.monotonic()
            deliver(answered)
        self._connection.close()

    def _gather(self) -> list[_Asked]:
        """What is asked by now, at least one question; nothing at the end."""
        asked = self._queue.get()
        gathered: list[_Asked] = []
        while asked is not None:
            gathered.append(asked)
            if self._queue.empty():
                return gathered
            asked = self._queue.get_nowait()
        if gathered:
            # The end came behind them: it is wanted again after that.
            self._queue.put(None)
        return gathered

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
