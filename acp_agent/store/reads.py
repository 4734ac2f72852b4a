"""Plain reads for the fast commands: standard library only, no event loop, read-only, current at every call."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple, Self

from acp_agent.domain.chain import Anchor, Link
from acp_agent.domain.hold import Hold, hold_of
from acp_agent.domain.location import Location
from acp_agent.domain.permits import Permit
from acp_agent.store import process, sql, sql_permits
from acp_agent.store.connection import Connection
from acp_agent.store.database import database_at

MAX_FOUND = 50
KINDS = ("b_", "r_", "l_")
_LAST_CHARACTER = "\U0010ffff"


class RunRow(NamedTuple):
    """A run as lists show it. Times are Unix seconds, `cost` US dollars: a lower bound unless `cost_known`.

    `status` is `queued`, `running`, `waiting` or `ended`; a `running` one that is not `driven` has lost its process.
    Long prompts and messages are cut at 2,000 characters.
    """

    id: str
    session_id: str
    batch_id: str | None
    position: int
    project: str
    role: str
    title: str
    prompt: str
    status: str
    waiting_for: str | None
    reason: str | None
    message: str
    model: str
    steps: int
    tool_calls: int
    tokens_in: int
    tokens_out: int
    cost: float
    cost_known: bool
    branch: str | None
    worktree: str | None
    root: str
    path: str | None
    commit_sha: str | None
    files: int
    added: int
    removed: int
    landed: str | None
    last_type: str
    last_text: str
    created_at: float
    updated_at: float
    ended_at: float | None
    driven: bool


class BatchRow(NamedTuple):
    """One prompt over many projects; `status` is `running` or `ended`."""

    id: str
    prompt: str
    projects: tuple[str, ...]
    options: dict[str, Any]
    status: str
    exit_code: int | None
    reason: str | None
    created_at: float
    ended_at: float | None


class LoopRow(NamedTuple):
    """A loop as lists show it. `status` is `running`, `paused`, `waiting` or `ended`; one that is running and not
    `driven` has no process. `cost` (US dollars) and `tokens` are those of all its runs, killed ones too."""

    id: str
    name: str
    place: str
    project: str
    parent: str | None
    goal: str
    status: str
    waiting_for: str | None
    reason: str | None
    message: str
    iterations: int
    max_iter: int
    accepted: int
    rejected: int
    rotation: int
    score: float | None
    branch: str | None
    root: str
    landed: str | None
    last_text: str
    created_at: float
    updated_at: float
    ended_at: float | None
    cost: float
    cost_known: bool
    tokens: int
    driven: bool


class EventRow(NamedTuple):
    """A fact; `data` is the fact as it was written, `type` included."""

    stream_id: str
    seq: int
    ts: float
    v: int
    type: str
    actor: str
    data: dict[str, Any]
    tokens_in: int | None
    tokens_out: int | None
    cost: float | None


class BudgetRow(NamedTuple):
    """Money of one scope in US dollars; no cap counts without a limit."""

    scope: str
    cap: float | None
    reserved: float
    spent: float


class Found(NamedTuple):
    """Something with an id: `kind` is `run`, `batch` or `loop`."""

    kind: str
    id: str


class Reads:
    """Reads of the database at `location`; a missing or empty one has nothing in it. Use as a context.

    An older file is upgraded. Raises UsageError for what is no database of ours, of a newer version, or on a server
    of an older one.
    """

    def __init__(self, location: Location | str, *, tenant: str = "local") -> None:
        self._location = location
        self._tenant = tenant
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        self._connection = database_at(self._location).look()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def runs(self, *, batch_id: str | None = None, status: str | None = None, limit: int = 50) -> list[RunRow]:
        """The newest runs first; those of one batch in its order."""
        if batch_id is None:
            statement = sql.RUNS if status is None else sql.RUNS_BY_STATUS
        else:
            statement = sql.RUNS_OF_BATCH if status is None else sql.RUNS_OF_BATCH_BY_STATUS
        return self._runs(self._rows(statement, batch_id=batch_id, status=status, limit=limit))

    def run(self, run_id: str) -> RunRow | None:
        """One run by its whole id."""
        return next(iter(self._runs(self._rows(sql.RUN, id=run_id))), None)

    def batches(self, limit: int = 50) -> list[BatchRow]:
        """The newest batches first."""
        return [_batch(row) for row in self._rows(sql.BATCHES, limit=limit)]

    def batch(self, batch_id: str) -> BatchRow | None:
        """One batch by its whole id."""
        return next((_batch(row) for row in self._rows(sql.BATCH, id=batch_id)), None)

    def loops(self, limit: int = 50) -> list[LoopRow]:
        """The newest loops first."""
        return self._loops(self._rows(sql.LOOPS, limit=limit))

    def loops_named(self, name: str, place: str | None = None, limit: int = 1) -> list[LoopRow]:
        """The newest loops of a name (of one projects.toml), without those that are part of a fleet loop."""
        return self._loops(self._rows(sql.LOOPS_OF_NAME, name=name, place=place, limit=limit))

    def loop(self, loop_id: str) -> LoopRow | None:
        """One loop by its whole id."""
        return next(iter(self._loops(self._rows(sql.LOOP, id=loop_id))), None)

    def find(self, prefix: str) -> list[Found]:
        """Runs, batches and loops whose id begins with `prefix`, with or without `r_`, `b_` or `l_`; at most 50.

        A whole id is found alone. An empty prefix finds nothing.
        """
        bare = prefix.strip()
        if not bare or bare in KINDS:
            return []
        prefixes = [bare] if bare.startswith(KINDS) else [bare, *(f"{kind}{bare}" for kind in KINDS)]
        found = [
            Found(*row)
            for low in prefixes
            for row in self._rows(sql.FIND, low=low, high=low + _LAST_CHARACTER, limit=MAX_FOUND)
        ]
        exact = [match for match in found if match.id in prefixes]
        return exact or found[:MAX_FOUND]

    def events(self, stream_id: str, after: int = 0) -> list[EventRow]:
        """The facts of a run or batch in order, those after sequence number `after`."""
        rows = self._rows(sql.EVENT_ROWS, id=stream_id, after=after)
        if not all(data for _, _, _, _, _, data, *_ in rows):
            from acp_agent.store.forgotten import forgotten

            raise forgotten(stream_id, self._rows(sql.ERASURE, id=stream_id))
        return [
            EventRow(stream_id, seq, ts, v, kind, actor, json.loads(data), tokens_in, tokens_out, cost)
            for seq, ts, v, kind, actor, data, tokens_in, tokens_out, cost in rows
        ]

    def saying(self, text: str) -> list[Found]:
        """The streams in whose facts `text` stands, as JSON writes it; upper and lower case may count as one."""
        written = json.dumps(text, ensure_ascii=False)[1:-1]
        escaped = re.sub(r"([!%_])", r"!\1", written)
        return [Found(*row) for row in self._rows(sql.STREAMS_SAYING, pattern=f"%{escaped}%")]

    def below(self, stream_id: str) -> list[str]:
        """Ids of the runs (and loops) of a batch, a loop or a session."""
        return [found for (found,) in self._rows(sql.BELOW, id=stream_id)]

    def budgets(self) -> list[BudgetRow]:
        """Every budget, in order of its scope."""
        return [BudgetRow(*row) for row in self._rows(sql.BUDGETS)]

    def calls(self, since: float) -> Iterator[tuple[float, str, str, str, str | None, str, int, int, float | None]]:
        """The calls of models from `since` (Unix seconds): when, model, project, role, batch or loop, run, tokens in,
        tokens out, and cost in US dollars."""
        for ts, kind, data, project, role, batch_id, run_id, tokens_in, tokens_out, cost in self._rows(
            sql.CALLS, since=since
        ):
            told = json.loads(data) if data else {}
            reply = told.get("reply") or told
            price = told.get("cost") if kind == "call_reviewed" else cost
            model = str(reply.get("model", "(forgotten)"))
            yield ts, model, project, role, batch_id, run_id, tokens_in or 0, tokens_out or 0, price

    def permits(self) -> list[Permit]:
        """The calls that are held or wait under limiters of all processes, but for those whose lease is over."""
        found = self._rows(sql_permits.PERMITS)
        is_gone = process.judge()
        now = self._rows(sql.NOW)[0][0] if found else 0.0
        living = (permit for permit in map(Permit._make, found) if permit.until >= now)
        return [permit for permit in living if not (permit.owner and is_gone(permit.owner))]

    def hold(self) -> Hold | None:
        """The hold in force, by which a person stopped everything."""
        return hold_of((kind, ts, actor, data) for kind, ts, actor, data in self._rows(sql.HOLD_FACTS))

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """One look for all reads in it, whatever other processes write meanwhile."""
        if self._connection is None:
            yield
            return
        self._connection.begin_reading()
        try:
            yield
        finally:
            self._connection.rows("COMMIT")

    def links(self, after: int = 0) -> Iterator[Link]:
        """The rows of the audit chain in order, those after position `after`."""
        if self._connection is not None:
            yield from map(Link._make, self._connection.stream(sql.LINKS, {"tenant": self._tenant, "after": after}))

    def chain_head(self) -> Anchor | None:
        """Where the audit chain says that it ends."""
        return next((Anchor(*row) for row in self._rows(sql.CHAIN_HEAD)), None)

    def anchor_at(self, position: int) -> Anchor | None:
        """The digest at a position of the audit chain."""
        return next((Anchor(*row) for row in self._rows(sql.ANCHOR_AT, position=position)), None)

    def position_since(self, since: float) -> int | None:
        """The first position of what was recorded at or after `since` (Unix seconds)."""
        found = self._rows(sql.POSITION_SINCE, since=since)
        return found[0][0] if found else None

    def short_stream(self) -> tuple[str, int] | None:
        """A stream that counts other than it has rows, and the number it counts."""
        return next(iter(self._rows(sql.SHORT_STREAM)), None)

    def _rows(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        if self._connection is None:
            return []
        return self._connection.rows(statement, {"tenant": self._tenant, **values})

    def _loops(self, rows: Iterable[tuple[Any, ...]]) -> list[LoopRow]:
        is_gone = process.judge()
        found = self._rows(sql.NOW)
        now: float = found[0][0] if found else 0.0
        loops = []
        for *columns, unknown, tokens, owner, lease_until in rows:
            driven = owner is not None and lease_until >= now and not is_gone(owner)
            loops.append(LoopRow._make([*columns, not unknown, tokens, driven]))
        return loops

    def _runs(self, rows: Iterable[tuple[Any, ...]]) -> list[RunRow]:
        is_gone = process.judge()
        found = self._rows(sql.NOW)
        now: float = found[0][0] if found else 0.0
        return [_run(row, now, is_gone) for row in rows]


def _run(row: tuple[Any, ...], now: float, is_gone: Callable[[str], bool]) -> RunRow:
    *columns, owner, lease_until = row
    driven = owner is not None and lease_until >= now and not is_gone(owner)
    run = RunRow._make([*columns, driven])
    return run._replace(cost_known=bool(run.cost_known))


def _batch(row: tuple[Any, ...]) -> BatchRow:
    batch = BatchRow(*row)
    return batch._replace(projects=tuple(json.loads(row[2])), options=json.loads(row[3]))
