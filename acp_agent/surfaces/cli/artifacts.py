"""The full outputs that a run kept: which there are, and one of them whole."""

import os
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import click

from acp_agent.config.paths import state_dir
from acp_agent.domain.errors import AcpAgentError, ExitCode, NothingSelected, UsageError
from acp_agent.surfaces.cli.grid import print_json
from acp_agent.surfaces.cli.records import Found, Record, Records
from acp_agent.surfaces.cli.text import cut, one_line

WIDEST = 80
SHORT = 12


class Listed(NamedTuple):
    """One artifact: the call whose output it is, its SHA-256, and its bytes."""

    run_id: str
    title: str
    sha256: str
    size: int


def show_artifacts(records: Records, found: Found, output: str) -> int:
    """List the artifacts of the runs that are meant."""
    listed = _of(records, found)
    if output == "json":
        print_json({"v": 1, "artifacts": [one._asdict() for one in listed]})
    elif not listed:
        raise NothingSelected("no output was too long: nothing was kept whole", hint="acp logs has every event")
    else:
        for one in listed:
            click.echo(f"{one.sha256[:SHORT]}  {one.size:>9,} B  {one.run_id}  {cut(one_line(one.title), WIDEST)}")
    return int(ExitCode.OK)


def print_artifact(records: Records, found: Found, prefix: str) -> int:
    """Write one artifact to stdout, byte for byte. Raises UsageError where none, or several, begin so."""
    from acp_agent.tools.kept import KEPT_DAYS, Kept
    from acp_agent.tools.outputs import FOLDER

    fitting = {one.sha256 for one in _of(records, found) if one.sha256.startswith(prefix.strip().lower())}
    if len(fitting) != 1 or not prefix.strip():
        many = "several begin so" if len(fitting) > 1 and prefix.strip() else "there is none"
        raise UsageError(f"--artifact {prefix[:64]!r}: {many}", hint="acp show ID --artifacts lists them")
    data = Kept(state_dir(os.environ) / FOLDER).get(fitting.pop())
    if data is None:
        raise AcpAgentError("this output is not kept any more", hint=f"acp gc removes them after {KEPT_DAYS} days")
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    return int(ExitCode.OK)


def _of(records: Records, found: Found) -> list[Listed]:
    return list(_listed(records.records_after({row.run_id: 0 for row in found.rows()})))


def _listed(events: Sequence[Record]) -> Iterator[Listed]:
    titles: dict[tuple[str, str], str] = {}
    for event in events:
        if event.data["type"] == "tool_started":
            titles[event.stream_id, event.data["call_id"]] = event.data["intent"]["title"]
        elif event.data["type"] == "tool_finished" and (kept := event.data["result"].get("artifact")):
            title = titles.get((event.stream_id, event.data["call_id"])) or event.data["tool"]
            yield Listed(event.stream_id, title, kept["sha256"], kept["size"])
