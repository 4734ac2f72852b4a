"""The audit chain: every event carries a digest over itself and the digest before it.

The algorithm, for whoever checks an export with other means (docs/concepts/audit.md has it in words):

- `payload_hash` is the SHA-256 of the payload's UTF-8 text, in lower-case hexadecimal digits.
- `digest` is the SHA-256, in the same form, of the ASCII JSON array without spaces
  `[previous, stream_id, seq, tenant, ts, v, type, actor, tokens_in, tokens_out, cost, payload_hash]`, in which
  `previous` is the digest of the row before (64 zeros for the first one), and `ts` and `cost` are the 16 hexadecimal
  digits of the number as an IEEE 754 double, highest byte first; what is missing is `null`.

The payload stands outside the digest, behind its hash: it can be erased while the chain still verifies. Standard
library only, because fast commands use it.
"""

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

GENESIS = "0" * 64
ERASURE = "payload_erased"
"""The type of an event that says which payloads were erased, and why: `{stream_id, seqs, reason}`."""

Kind = Literal["changed_payload", "changed_row", "missing_row", "reordered", "truncated", "rewritten"]
_quoted = json.encoder.encode_basestring_ascii
_pack = struct.Struct(">d").pack


class Link(NamedTuple):
    """One row of the chain. `data` is its payload: empty where it was erased, None where it was not handed over.

    `position` counts the rows of a tenant from 1. It orders them and is not part of the digest, which gives the order.
    """

    position: int
    stream_id: str
    seq: int
    tenant: str
    ts: float
    v: int
    type: str
    actor: str
    tokens_in: int | None
    tokens_out: int | None
    cost: float | None
    payload_hash: str
    digest: str
    data: str | None = None


class Anchor(NamedTuple):
    """What somebody noted of a chain: its digest at a position. Worth as much as the place where it is kept."""

    position: int
    digest: str

    def __str__(self) -> str:
        return f"{self.position}:{self.digest}"


BEGINNING = Anchor(0, GENESIS)
"""Before the first row."""


class Break(NamedTuple):
    """The first place where a chain does not hold. `stream_id` and `seq` are those of the row it shows at, if any."""

    kind: Kind
    position: int
    stream_id: str
    seq: int
    detail: str


class Verdict(NamedTuple):
    """What a look at a chain found up to its first break.

    `events` are its rows, `anchors` those that fit; `erased` says of each payload that is gone why.
    """

    events: int
    head: Anchor
    anchors: int
    erased: Mapping[tuple[str, int], str]
    broken: Break | None


def hash_of(payload: str) -> str:
    """The hash of a payload's text."""
    return hashlib.sha256(payload.encode()).hexdigest()


def digest_of(previous: str, row: "Link | Mapping[str, Any]") -> str:
    """The digest that `row` must carry behind a row with the digest `previous`."""
    fields = row._asdict() if isinstance(row, Link) else row
    # The array of the algorithm, put together by hand: half of the time that it takes json.dumps.
    array = (
        f'["{previous}",{_quoted(fields["stream_id"])},{fields["seq"]},{_quoted(fields["tenant"])},'
        f"{_double(fields['ts'])},{fields['v']},{_quoted(fields['type'])},{_quoted(fields['actor'])},"
        f"{_or_null(fields['tokens_in'])},{_or_null(fields['tokens_out'])},{_double(fields['cost'])},"
        f'"{fields["payload_hash"]}"]'
    )
    return hashlib.sha256(array.encode("ascii")).hexdigest()


def link(head: Anchor, fields: dict[str, Any]) -> Anchor:
    """Put a row, whose payload is at hand, behind `head`: fills in its position, hash and digest; the new head."""
    fields["position"] = head.position + 1
    fields["payload_hash"] = hash_of(fields["data"])
    fields["digest"] = digest_of(head.digest, fields)
    return Anchor(fields["position"], fields["digest"])


def verify(rows: Iterable[Link], anchors: Sequence[Anchor] = (), start: Anchor = BEGINNING) -> Verdict:
    """Check `rows`, in the order of their positions, up to the first break; they may be read a second time.

    `start` is the row before the first one, for a part of a chain; anchors of what lies before are not checked.
    """
    wanted = {anchor.position: anchor.digest for anchor in anchors if anchor.position >= start.position}
    events, head, fitting = 0, start, 0
    last: dict[str, int] = {}
    empty: list[tuple[str, int]] = []
    reasons: dict[tuple[str, int], str] = {}
    broken: Break | None = None
    for row in rows:
        broken = (
            _misplaced(row, head, last)
            or _unlinked(row, head, rows)
            or _payload(row)
            or _against(row, wanted.get(row.position))
        )
        if broken:
            break
        if row.data == "":
            empty.append((row.stream_id, row.seq))
        elif row.type == ERASURE and row.data:
            reasons |= _erasures(row.data)
        events, head, fitting = events + 1, Anchor(row.position, row.digest), fitting + (row.position in wanted)
        last[row.stream_id] = row.seq
    erased = {place: reasons.get(place, "") for place in empty}
    return Verdict(events, head, fitting, erased, broken or _cut_short(head, wanted) or _unexplained(erased))


def conflicting(anchors: Iterable[Anchor]) -> Break | None:
    """Two anchors of one position that name different digests: at least one history was replaced by another."""
    known: dict[int, str] = {}
    for anchor in anchors:
        if known.setdefault(anchor.position, anchor.digest) != anchor.digest:
            return Break("rewritten", anchor.position, "", 0, "two anchors name different digests")
    return None


def _double(number: float | None) -> str:
    return "null" if number is None else f'"{_pack(number).hex()}"'


def _or_null(number: int | None) -> str:
    return "null" if number is None else str(number)


def _misplaced(row: Link, head: Anchor, last: Mapping[str, int]) -> Break | None:
    expected = head.position + 1
    if row.position > expected:
        return _break("missing_row", row, f"{row.position - expected} rows are missing before it")
    if row.position < expected:
        return _break("reordered", row, f"another row has position {row.position} too")
    if row.stream_id in last and row.seq > last[row.stream_id] + 1:
        return _break("missing_row", row, f"its stream goes on from {last[row.stream_id]}")
    return None


def _unlinked(row: Link, head: Anchor, rows: Iterable[Link]) -> Break | None:
    if digest_of(head.digest, row) == row.digest:
        return None
    # Intact, but behind another row than the one it was written after.
    befores = (GENESIS, *(other.digest for other in rows))
    if any(digest_of(before, row) == row.digest for before in befores):
        return _break("reordered", row, "it was written behind another row")
    return _break("changed_row", row, "its digest does not fit it and the row before")


def _payload(row: Link) -> Break | None:
    if not row.data or hash_of(row.data) == row.payload_hash:
        return None
    return _break("changed_payload", row, "its payload does not fit its hash")


def _against(row: Link, digest: str | None) -> Break | None:
    if digest is None or digest == row.digest:
        return None
    return _break("rewritten", row, "the chain is whole, but an anchor names another digest here")


def _erasures(data: str) -> dict[tuple[str, int], str]:
    try:
        fact = json.loads(data)
        return {(str(fact["stream_id"]), int(seq)): str(fact["reason"]) for seq in fact["seqs"]}
    except (ValueError, KeyError, TypeError):
        return {}


def _cut_short(head: Anchor, wanted: Mapping[int, str]) -> Break | None:
    beyond = [position for position in wanted if position > head.position]
    if not beyond:
        return None
    detail = f"the chain ends at position {head.position}, an anchor knows position {max(beyond)}"
    return Break("truncated", head.position + 1, "", 0, detail)


def _unexplained(erased: Mapping[tuple[str, int], str]) -> Break | None:
    for (stream_id, seq), reason in erased.items():
        if not reason:
            return Break("changed_payload", 0, stream_id, seq, "its payload is empty, and no event says why")
    return None


def _break(kind: Kind, row: Link, detail: str) -> Break:
    return Break(kind, row.position, row.stream_id, row.seq, detail)
