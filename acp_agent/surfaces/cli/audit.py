"""`acp audit`: check that the record is what was written, and hand it to others who can check it too."""

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from acp_agent.config.paths import database_location
from acp_agent.domain.chain import Anchor, Verdict
from acp_agent.domain.errors import ExitCode, UsageError
from acp_agent.store.audit import export as export_chain
from acp_agent.store.audit import verify_database, verify_export
from acp_agent.surfaces.cli import options
from acp_agent.surfaces.cli.grid import print_json
from acp_agent.surfaces.cli.group import Command, LazyGroup
from acp_agent.surfaces.cli.outcome import result_stream
from acp_agent.surfaces.cli.text import one_line

_ANCHOR = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")
_TABLE = {
    "verify": (__name__ + ":verify", "Check the chain of digests over every event."),
    "export": (__name__ + ":export", "Write every event with its digest, as JSON lines."),
}
_KINDS = {
    "changed_payload": "a payload was changed",
    "changed_row": "a row was changed",
    "missing_row": "a row is missing",
    "reordered": "rows were put in another order",
    "truncated": "the end is missing",
    "rewritten": "the history is not the one that an anchor knows",
}


@click.command(cls=LazyGroup, table=_TABLE, name="audit")
def audit() -> None:
    """Check the record, and hand it over: docs/concepts/audit.md says what that proves."""


@click.command(cls=Command)
@click.argument("file", metavar="[FILE]", required=False, type=click.Path(dir_okay=False))
@click.option(
    "--anchor", "anchors", multiple=True, metavar="POSITION:DIGEST", help="What an earlier verify or export printed."
)
@options.as_json
def verify(file: str | None, anchors: tuple[str, ...], output: str) -> int:
    """Check every event against its digest, and the chain against its anchors. FILE is an export, checked by itself.

    Exit code 1 when something was changed, is missing or stands in another place; the first such place is named.
    """
    given = [_anchor(text) for text in anchors]
    here = database_location(os.environ)
    verdict = verify_database(here, given) if file is None else verify_export(Path(file), given)
    if output == "json":
        print_json(_document(verdict))
    else:
        _say(verdict)
    return int(ExitCode.OK if verdict.broken is None else ExitCode.FAILED)


@click.command(cls=Command)
@click.option("--since", metavar="TIME", help="From the first event then: 24h, 7d, or 2026-01-31[T10:00[:00]] (UTC).")
@click.option("--hashes-only", is_flag=True, help="Without what was said and done: hashes of the payloads instead.")
@click.option("-o", "--output", type=click.Choice(("jsonl",)), default="jsonl", help="Form of the result.")
@click.option("--out", metavar="FILE", type=click.Path(dir_okay=False), help="Write the result there, not to stdout.")
def export(since: str | None, hashes_only: bool, output: str, out: str | None) -> int:
    """Write the events of the audit chain, oldest first: who did what, when, what was asked and who allowed it.

    `acp audit verify FILE` checks it anywhere. The anchor is printed at the end: keep it where nobody can change it.
    """
    moment = None if since is None else _moment(since)
    database = database_location(os.environ)
    with result_stream(out) as stream:
        last = export_chain(database, stream, since=moment, payloads=not hashes_only)
    click.echo(f"anchor: {last}", err=True)
    return int(ExitCode.OK)


def _say(verdict: Verdict) -> None:
    broken = verdict.broken
    if broken is not None:
        where = f"{broken.stream_id} seq {broken.seq}" if broken.stream_id else f"position {broken.position}"
        click.echo(f"broken: {where}: {_KINDS[broken.kind]} ({broken.kind}): {one_line(broken.detail)}")
        click.echo(f"whole up to position {verdict.head.position}")
        return
    click.echo(f"whole: {verdict.events} events, checked against {_some(verdict.anchors, 'anchor')}")
    if verdict.erased:
        click.echo(f"erased: {_some(len(verdict.erased), 'payload')}: {', '.join(_reasons(verdict))}")
    click.echo(f"anchor: {verdict.head}")


def _some(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _reasons(verdict: Verdict) -> list[str]:
    return sorted({one_line(reason) for reason in verdict.erased.values()})


def _document(verdict: Verdict) -> dict[str, Any]:
    erased = [
        {"stream": stream_id, "seq": seq, "reason": reason} for (stream_id, seq), reason in verdict.erased.items()
    ]
    broken = verdict.broken
    return {
        "v": 1,
        "whole": broken is None,
        "events": verdict.events,
        "anchor": str(verdict.head),
        "anchors_checked": verdict.anchors,
        "erased": erased,
        "broken": None
        if broken is None
        else {
            "kind": broken.kind,
            "position": broken.position or None,
            "stream": broken.stream_id or None,
            "seq": broken.seq or None,
            "detail": broken.detail,
        },
    }


def _anchor(text: str) -> Anchor:
    match = _ANCHOR.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"--anchor {text[:100]!r}: no anchor", hint="POSITION:DIGEST, as acp audit verify prints it")
    return Anchor(int(match[1]), match[2])


def _moment(text: str) -> float:
    """Unix seconds of a time, or of that long ago."""
    from acp_agent.config.duration import parse_duration

    try:
        return datetime.now(UTC).timestamp() - parse_duration(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        hint = "a duration such as 24h or 7d, or a time such as 2026-01-31T10:00"
        raise UsageError(f"--since {text[:60]!r}: no time", hint=hint) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
