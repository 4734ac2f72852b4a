"""What is on record, found by the names people type: ids, prefixes of ids, `BATCH/PROJECT`."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from acp_agent.config.paths import database_location
from acp_agent.domain.chain import ERASURE
from acp_agent.domain.errors import NothingSelected, UsageError
from acp_agent.store.reads import BatchRow, LoopRow, Reads, RunRow

if TYPE_CHECKING:
    from acp_agent.fleet.view import BatchView, Row
    from acp_agent.loops.view import LoopView
    from acp_agent.surfaces.cli.details import Details

EVERY = 1_000_000
"""More than anybody has: a limit for reads that mean all."""


class Record(NamedTuple):
    """One event as plain data: `data` is its fact as a JSON object, `ts` Unix seconds."""

    stream_id: str
    seq: int
    ts: float
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """What a name means: one run (`run_id`), or all of a batch. `batch_id` is empty for a run outside any batch.

    `view` has the folded runs that are meant, `runs` their summaries by id.
    """

    batch_id: str
    run_id: str | None
    view: "BatchView"
    runs: Mapping[str, RunRow]

    def rows(self) -> "list[Row]":
        """The runs that are meant, in the order of the batch."""
        return list(self.view.rows.values())


class Listed(NamedTuple):
    """A batch with its runs; runs outside any batch have None."""

    batch: BatchRow | None
    runs: tuple[RunRow, ...]


class Records:
    """Reads of the local store; each call sees what is committed now, other processes' work too."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    def find(self, name: str) -> Found:
        """What `name` means. Raises UsageError for an unknown or ambiguous one."""
        head, _, project = name.partition("/")
        with self._reads as reads:
            kind, identifier = _one(reads, head)
            if kind == "run" and not project:
                run = reads.run(identifier)
                assert run is not None
                return _found(reads, batch_of(run), identifier, [run])
            if kind == "loop":
                raise UsageError(f"{head} is a loop", hint=f"acp show {identifier}")
            if kind == "run":
                raise UsageError(f"{head!r} is a run, not a batch", hint=f"acp show {identifier}")
            runs = reads.runs(batch_id=identifier, limit=EVERY)
            if not project:
                return _found(reads, identifier, None, runs)
            run = next((run for run in runs if run.project == project), None)
            if run is None:
                raise UsageError(
                    f"batch {identifier} has no project {project!r}",
                    hint=_nearest(project, [run.project for run in runs]),
                )
            return _found(reads, identifier, run.id, [run])

    def meant(self, name: str | None) -> Found:
        """What `name` means, without one the newest batch. Raises NothingSelected where there is none."""
        if name is not None:
            return self.find(name)
        with self._reads as reads:
            newest = next(iter(reads.batches(1)), None)
        if newest is None:
            raise NothingSelected("there is no batch yet", hint='acp run "what to do" --tags=...')
        return self.find(newest.id)

    def loop(self, name: str) -> LoopRow | None:
        """The loop that `name` means: its id, the beginning of it, or the newest of that name; None for anything else.

        Raises UsageError where several loops begin so.
        """
        with self._reads as reads:
            if (named := next(iter(reads.loops_named(name)), None)) is not None:
                return named
            found = [match for match in reads.find(name) if match.kind == "loop"] if name.startswith("l_") else []
            if len(found) > 1:
                raise UsageError(f"{name!r} is ambiguous: {', '.join(match.id for match in found[:5])}")
            return reads.loop(found[0].id) if found else None

    def loops(self, limit: int) -> list[LoopRow]:
        """The newest loops first."""
        with self._reads as reads:
            return reads.loops(limit)

    def loop_view(self, loop_id: str) -> "LoopView":
        """A loop as it stands on record."""
        from acp_agent.loops.view import LoopView

        view = LoopView(loop_id)
        with self._reads as reads:
            for event in reads.events(loop_id):
                view.apply(event.seq, event.ts, event.data)
        return view

    def view(self, batch_id: str) -> "BatchView":
        """A batch as it stands on record."""
        return self.find(batch_id).view

    def records_of(self, batch_id: str) -> list[Record]:
        """All events of a batch and its runs, oldest first."""
        with self._reads as reads:
            streams = [batch_id, *(run.id for run in reads.runs(batch_id=batch_id, limit=EVERY))]
            return _records(reads, streams)

    def records_after(self, seen: Mapping[str, int]) -> list[Record]:
        """The events of the streams in `seen` after the sequence number given there, oldest first."""
        with self._reads as reads:
            rows = [event for stream, after in seen.items() for event in reads.events(stream, after)]
        return sorted((Record(row.stream_id, row.seq, row.ts, row.data) for row in rows), key=lambda record: record.ts)

    def runs_by_id(self, run_ids: list[str]) -> dict[str, RunRow]:
        """The summaries of runs as they stand now."""
        with self._reads as reads:
            return {run.id: run for run_id in run_ids if (run := reads.run(run_id)) is not None}

    def details(self, rows: "Iterable[Row]") -> "dict[str, Details]":
        """What a person must know of those of `rows` that their summaries leave out."""
        from acp_agent.surfaces.cli.details import details_of

        with self._reads as reads:
            return {
                row.run_id: details_of(row, reads.events(row.run_id))
                for row in rows
                if row.status == "ended" and (row.failed_gates or not (row.commit or row.landed))
            }

    def waiting(self) -> list[Found]:
        """Every run that waits for somebody, newest first."""
        with self._reads as reads:
            runs = reads.runs(status="waiting", limit=EVERY)
            return [_found(reads, batch_of(run), run.id, [run]) for run in runs]

    def listed(self, limit: int) -> list[Listed]:
        """The newest batches with their runs, and the newest runs outside any batch."""
        with self._reads as reads:
            batches = reads.batches(limit)
            listed = [Listed(batch, tuple(reads.runs(batch_id=batch.id, limit=EVERY))) for batch in batches]
            single = tuple(run for run in reads.runs(limit=limit) if run.batch_id is None)
            return [*listed, Listed(None, single)] if single else listed


def batch_of(run: RunRow) -> str:
    """The batch of a run, "" for one of a loop or of a conversation."""
    return run.batch_id if run.batch_id and run.batch_id.startswith("b_") else ""


def is_turn(run: RunRow) -> bool:
    """Whether it is a turn of a conversation: of no batch, and no attempt of a loop."""
    return bool(run.session_id) and not run.batch_id


def open_records(environ: Mapping[str, str]) -> Records:
    """The records of this user."""
    return Records(Reads(database_location(environ)))


def _found(reads: Reads, batch_id: str, run_id: str | None, runs: list[RunRow]) -> Found:
    from acp_agent.fleet.view import BatchView, Row

    batch = reads.batch(batch_id) if batch_id else None
    view = BatchView(batch_id, batch.prompt if batch else runs[0].prompt if runs else "")
    for run in runs:
        if run.last_type == ERASURE and run_id is None:
            # What it cost still counts in acp ps; there is nothing to show of it.
            continue
        view.rows[run.id] = Row(run_id=run.id, project=run.project)
        for event in reads.events(run.id):
            view.apply(event.stream_id, event.seq, event.ts, event.data)
    return Found(batch_id, run_id, view, {run.id: run for run in runs})


def _records(reads: Reads, streams: list[str]) -> list[Record]:
    rows = [event for stream in streams for event in reads.events(stream)]
    return sorted((Record(row.stream_id, row.seq, row.ts, row.data) for row in rows), key=lambda record: record.ts)


def _one(reads: Reads, name: str) -> tuple[str, str]:
    found = _all_of_a_kind(reads, name) if name in ("b_", "r_") else reads.find(name)
    if len(found) == 1:
        return found[0]
    shown = name[:60]
    if found:
        some = ", ".join(identifier for _, identifier in found[:5]) + (", ..." if len(found) > 5 else "")
        raise UsageError(f"{shown!r} is ambiguous: {some}", hint="write more of the id")
    known = [row.id for rows in (reads.batches(), reads.loops(), reads.runs()) for row in rows]
    raise UsageError(f"there is no run, batch or loop {shown!r}", hint=_nearest(name, known))


def _all_of_a_kind(reads: Reads, kind: str) -> list[tuple[str, str]]:
    """A bare `b_` or `r_` is the beginning of every batch or run."""
    if kind == "b_":
        return [("batch", batch.id) for batch in reads.batches()]
    return [("run", run.id) for run in reads.runs()]


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else "acp ps --all lists them"
