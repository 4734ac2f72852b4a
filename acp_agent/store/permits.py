"""Limits that all processes of a database share: `domain.ports.Permits`. Imported only where one is configured."""

import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

import anyio

from acp_agent.domain.errors import NotRecorded
from acp_agent.domain.permits import REST, Permit, may_begin
from acp_agent.domain.ports import URGENCIES, Owner, Urgency
from acp_agent.domain.progress import moved
from acp_agent.store import process, sql_permits
from acp_agent.store.connection import Connection
from acp_agent.store.news import News
from acp_agent.store.reader import Reader
from acp_agent.store.transaction import Transaction
from acp_agent.store.writer import Writer

_log = logging.getLogger(__name__)
Clock = Callable[[Connection], float]
LOOK = 0.5
"""Seconds after which a call that waits looks at what other processes did, where nobody tells it."""
RENEWALS = 3
"""So often a lease is renewed before it would end."""


class _Seen(NamedTuple):
    """What a look found: the permits, the owners that are gone, and the database's time."""

    permits: list[Permit]
    dead: frozenset[str]
    now: float

    @property
    def is_stale(self) -> bool:
        """Whether something stands there that counts no more."""
        return any(permit.until < self.now or permit.owner in self.dead for permit in self.permits)


class StoredPermits:
    """Rows of this journal's database, each held for `lease` seconds and renewed. Belongs to one event loop."""

    def __init__(
        self, writer: Writer, reader: Reader, news: News, now: Clock, *, tenant: str, owner: Owner, lease: float
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._news = news
        self._now = now
        self._tenant = tenant
        self._owner = owner.model_dump_json()
        self._lease = lease
        self._waiting: dict[str, anyio.Event] = {}

    @asynccontextmanager
    async def hold(self, limits: Mapping[str, int], urgency: Urgency) -> AsyncIterator[None]:
        """One call under each of `limits` (how many there may be, by limiter) while the block runs. Waits for it.

        Raises NotRecorded where the database cannot be written.
        """
        call_id = secrets.token_hex(8)
        keep = partial(self._keep, call_id=call_id, limits=limits, urgency=URGENCIES.index(urgency))
        failure: Exception | None = None
        begun = self._waiting[call_id] = anyio.Event()
        try:
            await self._pass(frozenset(), partial(keep, held=0))
            if not begun.is_set():
                await self._turn(call_id, begun, keep)
            async with anyio.create_task_group() as group:
                group.start_soon(self._renew, partial(keep, held=1))
                try:
                    yield
                except Exception as error:
                    # Out of the group as it is: what calls raise is no group of errors.
                    failure = error
                group.cancel_scope.cancel()
        finally:
            del self._waiting[call_id]
            with anyio.CancelScope(shield=True):
                await self._release(call_id)
        if failure is not None:
            raise failure

    async def rest(self, limiter: str, seconds: float) -> None:
        """Let no call begin under a limiter for so long: its provider asked for that."""
        await self._writer.submit(partial(self._rest, limiter=limiter, seconds=seconds), guarded=False, lasting=False)

    async def rows(self) -> list[Permit]:
        """Who holds and who waits, as it stands now."""
        return (await self._reader.ask(self._look, "permits")).permits

    async def _turn(self, call_id: str, begun: anyio.Event, keep: Callable[..., None]) -> None:
        """Wait until the call may begin: told by this process, by the server, or by a look."""
        renewed, heard = anyio.current_time(), 0
        while not begun.is_set():
            heard = await self._told(begun, heard)
            # A model that was not asked yet has not stalled.
            moved()
            seen = await self._reader.ask(self._look, "permits")
            mine = [permit for permit in seen.permits if permit.call_id == call_id]
            if mine and all(permit.held for permit in mine):
                return
            is_due = not mine or anyio.current_time() - renewed > self._lease / RENEWALS
            if is_due:
                renewed = anyio.current_time()
            if is_due or seen.is_stale:
                await self._pass(seen.dead, partial(keep, held=0))

    async def _told(self, begun: anyio.Event, heard: int) -> int:
        async with anyio.create_task_group() as group:

            async def first(wait: Callable[[], Awaitable[Any]]) -> None:
                nonlocal heard
                heard = await wait() or heard
                group.cancel_scope.cancel()

            group.start_soon(first, begun.wait)
            group.start_soon(first, partial(self._news.wait, LOOK, heard))
        return heard

    async def _renew(self, keep: Callable[[Transaction], None]) -> None:
        while True:
            await anyio.sleep(self._lease / RENEWALS)
            try:
                await self._writer.submit(keep, guarded=False, lasting=False)
            except NotRecorded as error:
                # The call goes on; until this can be written again, it may not be counted.
                _log.warning("a permit could not be renewed: %s", error)

    async def _release(self, call_id: str) -> None:
        def drop(transaction: Transaction) -> None:
            transaction.rows(sql_permits.DROP_CALL, call_id=call_id)

        try:
            await self._pass(frozenset(), drop)
        except NotRecorded as error:
            _log.warning("a permit could not be given back, it ends with its lease: %s", error)

    async def _pass(self, dead: frozenset[str], change: Callable[[Transaction], None]) -> None:
        """Make a change, drop what counts no more, and let begin whatever may."""

        def apply(transaction: Transaction) -> list[str]:
            change(transaction)
            permits = _permits(transaction.rows(sql_permits.PERMITS, tenant=self._tenant))
            ended = {each.call_id for each in permits if each.until < transaction.now or each.owner in dead}
            for call_id in ended:
                transaction.rows(sql_permits.DROP_CALL, call_id=call_id)
            living = [each for each in permits if each.call_id not in ended]
            begun = may_begin(living)
            for call_id in begun:
                transaction.later(sql_permits.BEGIN_CALL, {"call_id": call_id})
            if any(each.call_id in begun and each.owner != self._owner for each in living):
                transaction.announce()
            return begun

        for call_id in await self._writer.submit(apply, guarded=True, lasting=False):
            if call_id in self._waiting:
                self._waiting[call_id].set()

    def _keep(
        self, transaction: Transaction, *, call_id: str, limits: Mapping[str, int], urgency: int, held: int
    ) -> None:
        row = {"call_id": call_id, "tenant": self._tenant, "owner": self._owner, "urgency": urgency, "held": held}
        times = {"asked_at": transaction.now, "until": transaction.now + self._lease}
        for limiter, most in limits.items():
            transaction.later(sql_permits.KEEP_PERMIT, {**row, **times, "limiter": limiter, "most": most})

    def _rest(self, transaction: Transaction, *, limiter: str, seconds: float) -> None:
        row = {"call_id": f"rest:{self._tenant}:{limiter}", "tenant": self._tenant, "owner": "", "urgency": REST}
        times = {"asked_at": transaction.now, "until": transaction.now + seconds}
        transaction.later(sql_permits.KEEP_PERMIT, {**row, **times, "limiter": limiter, "most": 0, "held": 1})

    def _look(self, connection: Connection) -> _Seen:
        permits = _permits(connection.rows(sql_permits.PERMITS, {"tenant": self._tenant}))
        is_gone = process.judge()
        dead = frozenset(owner for owner in {each.owner for each in permits} if owner and is_gone(owner))
        return _Seen(permits, dead, self._now(connection))


def _permits(rows: list[tuple[Any, ...]]) -> list[Permit]:
    return [Permit(*row) for row in rows]
