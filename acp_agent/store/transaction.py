"""What an operation of the journal reads and writes in, together with those of its group."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from acp_agent.domain.chain import Anchor
from acp_agent.store import sql
from acp_agent.store.chain import Chain
from acp_agent.store.connection import Connection, Row, Values

MOST = 512
"""Ids in one statement; SQLite knew no more than 999 once."""
NOBODY = -1
"""The fence of no driver."""


class Owned(NamedTuple):
    """A stream that somebody drives: the number of its last event, and the fence of whoever does."""

    seq: int
    fence: int


class Transaction:
    """`now` is the database's time in Unix seconds, one for the whole group.

    What is written `later` goes to the database in bulk, before any other statement is run and before the commit: a
    group of a hundred appends is a handful of statements.
    """

    def __init__(self, connection: Connection, now: float) -> None:
        self.connection = connection
        self.now = now
        self.chain = Chain(connection)
        self._later: dict[str, list[Values]] = {}
        self._changed: dict[str, str] = {}
        self._owned: dict[str, Owned] = {}
        self._held: dict[str, list[Row]] = {}

    @contextmanager
    def at(self, then: float) -> Iterator[None]:
        """What is written meanwhile happened at `then`, Unix seconds."""
        now, self.now = self.now, then
        try:
            yield
        finally:
            self.now = now

    def rows(self, statement: str, **values: Any) -> list[Row]:
        """Run one statement of `store.sql` to its end."""
        self.write_out()
        # It may have changed what we know, so that is asked again.
        self._owned.clear()
        self._held.clear()
        return self.connection.rows(statement, values)

    def row(self, statement: str, **values: Any) -> Row | None:
        """The first row of `rows`."""
        found = self.rows(statement, **values)
        return found[0] if found else None

    def later(self, statement: str, values: Values) -> None:
        """Write that, behind what was written later by the same statement. New rows come first."""
        self._later.setdefault(statement, []).append(values)

    def among(self, statement: str, ids: Sequence[str], **values: Any) -> list[Row]:
        """The rows of a statement about `(:ids)`, of any number of them."""
        some = among(statement, list(dict.fromkeys(ids)))
        return [row for text, names in some for row in self.rows(text, **values, **names)]

    def change(self, statement: str, values: Values) -> None:
        """Write later what changes the row `id` of a table, behind all that changes it already."""
        if self._changed.setdefault(values["id"], statement) != statement:
            self.write_out()
            self._changed[values["id"]] = statement
        self.later(statement, values)

    def write_out(self) -> None:
        """Write what was left for later."""
        if self._later:
            waiting, self._later, self._changed = self._later, {}, {}
            # New rows first, then what changes them.
            self.connection.write(sorted(waiting.items(), key=lambda item: not item[0].lstrip().startswith("INSERT")))

    def look_up(self, stream_ids: Iterable[str]) -> None:
        """Read at once which of these streams are driven, and how far they are, for `advance`."""
        found = self.among(sql.DRIVEN, list(stream_ids))
        self._owned = {stream_id: Owned(seq, fence) for stream_id, seq, fence in found}

    def advance(self, stream_id: str, fence: int, count: int, until: float | None) -> int | None:
        """Make room for `count` events of the stream's driver; the number of the last one.

        Its lease is extended, or given back where `until` is None. None for a driver that has lost the stream. Nobody
        else can take it before the commit, so it is enough to have looked once.
        """
        values = {"id": stream_id, "until": until, "over": until is None}
        owned = self._owned.get(stream_id)
        if owned is None:
            # Not by `rows`: what is known of other streams still holds.
            self.write_out()
            found = self.connection.rows(sql.ADVANCE_OWNED, {**values, "fence": fence, "count": count})
            return found[0][0] if found else None
        if owned.fence != fence:
            return None
        last = owned.seq + count
        self._owned[stream_id] = Owned(last, NOBODY if until is None else fence)
        self.later(sql.ADVANCE_TO, {**values, "seq": last})
        return last

    def hold_facts(self, tenant: str) -> list[Row]:
        """The facts of the hold in force (`sql.HOLD_FACTS`)."""
        if tenant not in self._held:
            self.write_out()
            self._held[tenant] = self.connection.rows(sql.HOLD_FACTS, {"tenant": tenant})
        return self._held[tenant]

    def forget_hold(self) -> None:
        """There are new facts of a hold."""
        self._held.clear()

    def begin_alone(self) -> dict[str, Anchor]:
        """Begin an operation that may be taken back alone, by `take_back` with what this returns."""
        self.write_out()
        self.connection.rows("SAVEPOINT operation")
        return self.chain.mark()

    def take_back(self, begun: dict[str, Anchor]) -> None:
        """Leave nothing of what was written since `begin_alone`."""
        self.connection.rows("ROLLBACK TO operation")
        self.chain.restore(begun)
        self._later, self._changed = {}, {}
        self._owned.clear()
        self._held.clear()

    def end_alone(self) -> None:
        """The operation that began alone is over."""
        self.connection.rows("RELEASE operation")

    def announce(self) -> None:
        """Tell other processes, with the commit, that there is something for them to look at."""
        self.connection.announce()


def among(statement: str, ids: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """A statement about `(:ids)` for so many of these at a time, each with its values.

    Their number is rounded up to a power of two, so that few statements have to be prepared.
    """
    for first in range(0, len(ids), MOST):
        some = ids[first : first + MOST]
        places = 1 << (len(some) - 1).bit_length()
        values = {f"id{number}": some[min(number, len(some) - 1)] for number in range(places)}
        yield statement.replace(":ids", ", ".join(f":{name}" for name in values)), values
