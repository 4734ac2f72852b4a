"""The thread that answers the journal's reads, so that neither the event loop nor a commit waits for them."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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


AT_ONCE = 64
"""Questions about one of many that get one answer: what they ask for is in memory together."""


class _Asked(NamedTuple):
    """A question: the same as others that wait, or about `item` of those that `question` answers for many."""

    question: Callable[..., Any]
    ticket: Ticket
    same: str | None
    item: str | None = None

    @property
    def kind(self) -> object:
        """What those have in common that are answered together."""
        return self.ticket if self.same is None else self.same


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
        answer: T = await self._asked(_Asked(question, Ticket(), same))
        return answer

    async def ask_of_many(
        self, questions: Callable[[Connection, list[str]], Mapping[str, T | AcpAgentError]], item: str, same: str | None
    ) -> T:
        """What `questions` answers for `item`: asked once for all that wait with the `same` name. Raises as `ask`."""
        answer: T = await self._asked(_Asked(questions, Ticket(), same, item))
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
            answered: list[tuple[Ticket, Any]] = []
            began = time.monotonic()
            for together in _together(asked):
                outcomes = self._outcomes(together)
                answered += zip((one.ticket for one in together), outcomes, strict=True)
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

    async def _asked(self, asked: _Asked) -> Any:
        with self._gate:
            if self._closed:
                raise AcpAgentError(f"the journal {self._database.name} is closed")
            self._queue.put(asked)
        return await asked.ticket.outcome()

    def _outcomes(self, together: list[_Asked]) -> list[Any]:
        question = together[0].question
        items = [one.item for one in together if one.item is not None]
        if not items:
            return [self._outcome(question)] * len(together)
        found = self._outcome(lambda connection: question(connection, items))
        return [found if isinstance(found, BaseException) else found[item] for item in items]

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


def _together(asked: Sequence[_Asked]) -> Iterator[list[_Asked]]:
    """Those that one answer is for; all were asked before the first of them is answered."""
    kinds: dict[object, list[_Asked]] = {}
    for one in asked:
        kinds.setdefault(one.kind, []).append(one)
    for alike in kinds.values():
        for first in range(0, len(alike), AT_ONCE):
            yield alike[first : first + AT_ONCE]
