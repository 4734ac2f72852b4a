"""`acp logs`: what happened, one line per event; with `-f` also what happens, whichever process drives it."""

import os
import sys
import time

import click

from acp_agent.domain.errors import ExitCode
from acp_agent.surfaces.cli import complete
from acp_agent.surfaces.cli.document import event_document
from acp_agent.surfaces.cli.formats import clock
from acp_agent.surfaces.cli.grid import indented, to_json
from acp_agent.surfaces.cli.group import Command
from acp_agent.surfaces.cli.loop_review import log_loop, loop_meant
from acp_agent.surfaces.cli.phrases import phrase
from acp_agent.surfaces.cli.records import Found, Record, Records, open_records
from acp_agent.surfaces.cli.text import last_lines, one_line

GATE_LINES = 10
"""Lines shown of what a gate that failed printed last."""
POLL = 0.25
"""Seconds between two looks at the store."""


@click.command(cls=Command)
@click.argument("name", metavar="[ID[/PROJECT]]", required=False, shell_complete=complete.ids)
@click.option("-f", "--follow", is_flag=True, help="Go on until every run has ended or waits for somebody.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(("table", "jsonl")),
    default="table",
    show_default=True,
    help="Form of the lines.",
)
def logs(name: str | None, follow: bool, output: str) -> int:
    """Print what happened, one line per event: time, project, what. Without ID of the newest batch."""
    if (row := loop_meant(name)) is not None:
        return log_loop(row, follow, output)
    records = open_records(os.environ)
    found = records.meant(name)
    projects = {row.run_id: row.project for row in found.rows()}
    seen = dict.fromkeys(([] if found.run_id else [found.batch_id]) + list(projects), 0)
    if follow and not _is_over(records, found) and not _is_driven(records, found):
        click.echo(f"nobody drives it now: acp resume {found.batch_id or found.run_id}", err=True)
    while True:
        # Asked before the events are read: an end seen here has all its events on record already.
        over = not follow or _is_over(records, found)
        for record in records.records_after(seen):
            seen[record.stream_id] = max(seen[record.stream_id], record.seq)
            click.echo(_line(record, projects.get(record.stream_id, ""), output))
        if over:
            return int(ExitCode.OK)
        sys.stdout.flush()
        time.sleep(POLL)


def _line(record: Record, project: str, output: str) -> str:
    if output == "jsonl":
        return to_json(event_document(*record[:3], project, record.data))
    line = f"{clock(record.ts)} {one_line(project or record.stream_id)}  {phrase(record.data)}"
    if record.data["type"] == "gate_finished" and not record.data["passed"] and record.data["output"].strip():
        return f"{line}\n{indented(last_lines(record.data['output'], GATE_LINES), '  | ')}"
    return line


def _is_over(records: Records, found: Found) -> bool:
    """Whether every run has ended or waits for somebody."""
    runs = records.runs_by_id([row.run_id for row in found.rows()])
    return all(run.status in ("ended", "waiting") for run in runs.values())


def _is_driven(records: Records, found: Found) -> bool:
    runs = records.runs_by_id([row.run_id for row in found.rows()])
    return any(run.driven for run in runs.values())
