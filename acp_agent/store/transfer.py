"""Streams as text that leaves the store, and back into another one: JSON lines with a digest over all of them.

The first line is `{"v": 1, "export": "begin", ...}`, then each stream as `{"stream": ..., "kind": ...}` followed by its
events in order, last `{"export": "end", "events": N, "sha256": ...}` over every byte before it.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from pydantic_core import from_json

from acp_agent.domain.errors import UsageError
from acp_agent.domain.events import Fact, RunEnded, fact_of
from acp_agent.domain.events_batch import BatchEnded
from acp_agent.domain.events_loop import LoopEnded
from acp_agent.domain.ports import NewStream
from acp_agent.domain.redact import Redactor
from acp_agent.store import operations
from acp_agent.store.operations import Draft, Opening
from acp_agent.store.reads import Found, Reads
from acp_agent.store.transaction import Transaction

FORMAT = 1
_NOTE = "it was not over where it was exported"
CLOSINGS: dict[str, Fact] = {
    "run": RunEnded(reason="cancelled", message=_NOTE),
    "batch": BatchEnded(exit_code=1, reason="cancelled"),
    "loop": LoopEnded(reason="cancelled", message=_NOTE),
}
"""What ends a stream here that was not over there."""


@dataclass(frozen=True, slots=True)
class Told:
    """One event of an export: `ts` in Unix seconds."""

    ts: float
    actor: str
    fact: Fact


@dataclass(frozen=True, slots=True)
class Carried:
    """A stream of an export, with at least one event."""

    stream_id: str
    kind: str
    events: tuple[Told, ...]


def write_streams(reads: Reads, streams: Sequence[Found], out: IO[str], about: dict[str, Any]) -> int:
    """Write `streams` to `out`; `about` goes into the first line. Returns the number of events."""
    digest, events = hashlib.sha256(), 0

    def line(told: dict[str, Any]) -> None:
        text = json.dumps(told, ensure_ascii=False) + "\n"
        digest.update(text.encode("utf-8", "surrogatepass"))
        out.write(text)

    line({"v": FORMAT, "export": "begin", **about})
    for stream in streams:
        line({"stream": stream.id, "kind": stream.kind})
        for event in reads.events(stream.id):
            line({"seq": event.seq, "ts": event.ts, "actor": event.actor, "data": event.data})
            events += 1
    out.write(json.dumps({"export": "end", "events": events, "sha256": digest.hexdigest()}) + "\n")
    return events


def read_streams(lines: Iterable[bytes], name: str) -> list[Carried]:
    """The streams of an export called `name`. Raises UsageError with the line where it is not one, or not whole."""
    return list(_Reading(name).streams(lines))


class _Reading:
    """One look at an export, from its first line to its last."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._number = 0
        self._digest = hashlib.sha256()

    def streams(self, lines: Iterable[bytes]) -> Iterator[Carried]:
        found: Carried | None = None
        ended, count = False, 0
        for self._number, line in enumerate(lines, 1):
            told = self._object(line)
            if self._number == 1:
                self._require_begin(told)
            elif told.get("export") == "end":
                ended = self._end(told, count)
                break
            elif "stream" in told:
                if found is not None:
                    yield self._whole(found)
                found = Carried(str(told["stream"]), str(told.get("kind")), ())
            elif found is None:
                raise self._wrong("an event before any stream")
            else:
                found = replace(found, events=(*found.events, self._event(told, len(found.events))))
                count += 1
            self._digest.update(line)
        if not ended:
            raise self._wrong("its end is missing: it was cut off")
        if found is not None:
            yield self._whole(found)

    def _object(self, line: bytes) -> dict[str, Any]:
        try:
            told = from_json(line)
        except ValueError as error:
            raise self._wrong(f"no JSON: {error}") from None
        if not isinstance(told, dict):
            raise self._wrong("no JSON object")
        return told

    def _require_begin(self, told: dict[str, Any]) -> None:
        if told.get("export") != "begin" or told.get("v") != FORMAT:
            raise self._wrong("no export of this version; acp export ID writes one")

    def _end(self, told: dict[str, Any], count: int) -> bool:
        if told.get("events") != count or told.get("sha256") != self._digest.hexdigest():
            raise self._wrong("it is not what was exported: its digest is another")
        return True

    def _event(self, told: dict[str, Any], before: int) -> Told:
        if told.get("seq") != before + 1:
            raise self._wrong(f"event {told.get('seq')} after {before}")
        try:
            return Told(float(told["ts"]), str(told["actor"]), fact_of(told["data"]))
        except (KeyError, TypeError, ValueError) as error:
            raise self._wrong(f"no event that this acp-agent knows: {error}") from None

    def _whole(self, found: Carried) -> Carried:
        if not found.events:
            raise self._wrong(f"{found.stream_id} has no events")
        return found

    def _wrong(self, what: str) -> UsageError:
        return UsageError(f"{self._name}:{self._number}: {what}", hint="nothing was imported")


def lines_of(path: Path) -> list[bytes]:
    """The lines of a file. Raises UsageError where it cannot be read."""
    try:
        return path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}") from None


def put(transaction: Transaction, tenant: str, streams: Sequence[Carried], redact: Redactor) -> int:
    """Record streams as they were recorded elsewhere, behind the end of our own chain; returns the number of events.

    What was not over ends as cancelled: here is nobody who drove it. Raises Refused, and records nothing, where
    an id is taken.
    """
    events = 0
    for position, stream in enumerate(streams):
        first, *rest = stream.events
        new = NewStream(stream_id=stream.stream_id, kind=stream.kind, facts=(first.fact,))
        opening = Opening(new, Draft.of([first.fact], redact))
        with transaction.at(first.ts):
            operations.open_stream(transaction, tenant, opening, first.actor, position)
        for told in rest:
            with transaction.at(told.ts):
                operations.advance(transaction, tenant, stream.stream_id, Draft.of([told.fact], redact), told.actor)
        closing = CLOSINGS.get(stream.kind)
        if closing is not None and not any(told.fact.type == closing.type for told in stream.events):
            operations.advance(transaction, tenant, stream.stream_id, Draft.of([closing], redact), "import")
        events += len(stream.events)
    return events
