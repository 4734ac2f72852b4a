"""The audit chain of a database as it is checked and handed over; standard library only, read-only."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from acp_agent.domain.chain import BEGINNING, Anchor, Break, Link, Verdict, conflicting, verify
from acp_agent.domain.errors import UsageError
from acp_agent.domain.location import Location
from acp_agent.store.anchors import anchors_in
from acp_agent.store.database import database_at
from acp_agent.store.reads import Reads

LOCAL = "local"
FORMAT = 1
"""The version of the export's lines."""


def verify_database(location: Location, given: Sequence[Anchor] = (), *, tenant: str = LOCAL) -> Verdict:
    """Check the whole chain of a tenant, against the anchors beside the database and those that are `given`."""
    anchors = [*anchors_in(database_at(location).anchors, tenant), *given]
    with Reads(location, tenant=tenant) as reads, reads.snapshot():
        verdict = verify(_Stored(reads, 0), anchors)
        return verdict._replace(broken=verdict.broken or conflicting(anchors) or _ends_early(reads, verdict))


def export(location: Location, out: IO[str], *, since: float | None, payloads: bool, tenant: str = LOCAL) -> Anchor:
    """Write the chain as JSON lines: a head that names where it begins, a line a row, an end; returns the last anchor.

    `since` (Unix seconds) leaves out what was recorded before the first event from then on.
    """
    with Reads(location, tenant=tenant) as reads, reads.snapshot():
        start = _start(reads, since)
        head = {"v": FORMAT, "audit": "begin", "tenant": tenant, "position": start.position, "digest": start.digest}
        out.write(json.dumps(head) + "\n")
        last = start
        for row in _Stored(reads, start.position):
            fields = row._asdict()
            payload = fields.pop("data")
            out.write(json.dumps({**fields, "payload": payload} if payloads else fields) + "\n")
            last = Anchor(row.position, row.digest)
        out.write(json.dumps({"audit": "end", "position": last.position, "digest": last.digest}) + "\n")
    return last


def verify_export(path: Path, given: Sequence[Anchor] = ()) -> Verdict:
    """Check what `export` wrote, without any database. Raises UsageError for a file that is no export."""
    rows = _Exported(path)
    verdict = verify(rows, given, rows.start)
    if verdict.broken is None and rows.end != verdict.head:
        detail = "its last line is missing" if rows.end is None else f"its last line says {rows.end}"
        return verdict._replace(broken=Break("truncated", verdict.head.position + 1, "", 0, detail))
    return verdict


@dataclass(frozen=True)
class _Stored(Iterable[Link]):
    """The rows of a database, read anew each time."""

    reads: Reads
    after: int

    def __iter__(self) -> Iterator[Link]:
        return self.reads.links(self.after)


class _Exported(Iterable[Link]):
    """The rows of an export, read anew each time. `end` is known after a whole reading."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.end: Anchor | None = None
        begin = next(self._objects(), {})
        if begin.get("audit") != "begin" or begin.get("v") != FORMAT:
            raise UsageError(f"{path}:1: no audit export of this version", hint="acp audit export --out FILE makes one")
        self.start = self._anchor(1, begin)

    def __iter__(self) -> Iterator[Link]:
        self.end = None
        for number, found in enumerate(self._objects(), 1):
            if "audit" in found:
                self.end = self._anchor(number, found) if found["audit"] == "end" else None
                continue
            found["data"] = found.pop("payload", None)
            try:
                yield Link(**found)
            except TypeError as error:
                raise UsageError(f"{self._path}:{number}: no row of an audit export: {error}") from error

    def _anchor(self, number: int, found: dict[str, Any]) -> Anchor:
        try:
            return Anchor(int(found["position"]), str(found["digest"]))
        except (KeyError, ValueError, TypeError) as error:
            raise UsageError(f"{self._path}:{number}: no position and digest") from error

    def _objects(self) -> Iterator[dict[str, Any]]:
        try:
            with self._path.open(encoding="utf-8") as lines:
                for number, line in enumerate(lines, 1):
                    found = json.loads(line)
                    if not isinstance(found, dict):
                        raise UsageError(f"{self._path}:{number}: no JSON object")
                    yield found
        except (OSError, ValueError) as error:
            raise UsageError(f"{self._path}: cannot be read: {error}") from error


def _start(reads: Reads, since: float | None) -> Anchor:
    """The row before the first one to hand over."""
    if since is None:
        return BEGINNING
    first = reads.position_since(since)
    before = reads.chain_head() if first is None else reads.anchor_at(first - 1)
    return before or BEGINNING


def _ends_early(reads: Reads, verdict: Verdict) -> Break | None:
    """What the chain's own row and the streams say of its end."""
    head = reads.chain_head() or BEGINNING
    if head != verdict.head:
        detail = f"the chain's head is {head.position}, its last row {verdict.head.position}"
        return Break("truncated", verdict.head.position + 1, "", 0, detail)
    short = reads.short_stream()
    if short is not None:
        return Break("missing_row", 0, *short, "its stream has another number of rows than it counts")
    return None
