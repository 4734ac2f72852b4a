"""A loop over several projects from a terminal: whose turn it is, what came of it, and what all of them came to."""

import json
import os
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

import anyio
import click

from acp_agent.domain.errors import ExitCode
from acp_agent.loops.view import LoopView
from acp_agent.surfaces.cli.document import event_document
from acp_agent.surfaces.cli.drive import Driven, heed_signals
from acp_agent.surfaces.cli.formats import clock, money
from acp_agent.surfaces.cli.glyphs import at_least, speaks_unicode
from acp_agent.surfaces.cli.grid import Grid, is_terminal, painted, to_json
from acp_agent.surfaces.cli.loop_report import loop_document, sparkline
from acp_agent.surfaces.cli.phrases import is_change, phrase
from acp_agent.surfaces.cli.records import open_records
from acp_agent.surfaces.cli.text import one_line

if TYPE_CHECKING:
    from acp_agent.app import App
    from acp_agent.domain.events import Event
    from acp_agent.domain.fleet_loop import FleetState
    from acp_agent.loops.driver import Invocation
    from acp_agent.loops.resolve import LoopAsk, Resolved
    from acp_agent.surfaces.cli.loop_run import Way


async def run_fleet(
    app: "App",
    ask: "LoopAsk",
    resolved: "Resolved",
    invocation: "Invocation",
    way: "Way",
    stream: IO[str],
) -> int:
    """Start the fleet loop or go on with it, drive it, and write its report; returns the exit code."""
    from acp_agent.loops.fleet import Fleet, fleet_exit_of

    fleet = Fleet(app.loops())
    output = way.output
    loop_id = await fleet.ready(ask, resolved, fresh=way.fresh)
    if output not in ("quiet", "jsonl"):
        names = ", ".join(one_line(project.name) for project in resolved.projects)
        click.echo(f"loop: {loop_id} over {names}", err=True)
    driven, work, why = Driven(), anyio.CancelScope(), "interrupted"

    def see(event: "Event") -> None:
        try:
            _tell(output, event, stream)
        except BrokenPipeError:
            driven.reader_gone = True
            work.cancel()

    def say(line: str) -> None:
        click.echo(f"\n{line}", err=True)

    async with anyio.create_task_group() as helpers:
        await helpers.start(heed_signals, driven, work, say)
        try:
            with work:
                _, why = await fleet.drive(loop_id, invocation, on_event=see)
        finally:
            helpers.cancel_scope.cancel()
    state = await fleet.state(loop_id)
    code, reason = fleet_exit_of(state, why)
    if driven.exit_code is not None:
        code, reason = driven.exit_code, "interrupted"
    _write(state, output, stream, int(code), reason)
    if driven.exit_code is not None and output != "quiet":
        click.echo(f"interrupted; continue with: acp loop {one_line(state.name)}", err=True)
    return int(code)


def _tell(output: str, event: "Event", stream: IO[str]) -> None:
    data = event.data.model_dump(mode="json")
    if output == "jsonl":
        click.echo(to_json(event_document(event.stream_id, event.seq, event.ts, "", data)), file=stream)
    elif output != "quiet" and is_change(data) and not event.stream_id.startswith("r_"):
        click.echo(f"{clock(event.ts)}  {phrase(data)}", err=True)


def _write(state: "FleetState", output: str, stream: IO[str], code: int, reason: str) -> None:
    records = open_records(os.environ)
    views = {project: records.loop_view(member.loop_id) for project, member in state.members.items()}
    if output == "json":
        document = fleet_document(state, views)
        document["exit"] = {"code": code, "reason": reason}
        click.echo(json.dumps(document, ensure_ascii=True, indent=2, default=str), file=stream)
    elif output not in ("jsonl", "quiet"):
        click.echo(fleet_report(state, views, stream), file=stream)


def fleet_report(state: "FleetState", views: Mapping[str, LoopView], stream: IO[str]) -> str:
    """One line for each project, the whole, and what to do next."""
    unicode = speaks_unicode(stream)
    rows = []
    for project, member in state.members.items():
        view = views[project]
        scores = "  ".join(
            f"{name} {sparkline(values, unicode, 20)} {values[-1]:g}" for name, values in view.scores().items()
        )
        cost = money(view.cost, view.cost_known, at_least=at_least(unicode))
        taken = f"{member.accepted}/{member.iterations}"
        rows.append((project, member.loop_id, taken, cost, scores, member.over or ""))
    grid = Grid(("project", "loop", "accepted", "cost", "metrics", "over"), tuple(rows), right=frozenset({2, 3}))
    spec = state.spec
    ended = f": {state.ended.reason}: {one_line(state.ended.message)}" if state.ended else ""
    most = spec.max_iter if spec else 0
    whole = f"loop {one_line(state.name)} ({state.loop_id}): {state.iterations}/{most} iterations, {money(state.cost)}"
    steps = [f"acp show {member.loop_id}" for member in state.members.values()][:1]
    steps += [f"acp accept {member.loop_id}" for member in state.members.values() if member.accepted]
    parts = [whole + ended, painted(grid, terminal=is_terminal(stream))]
    return "\n\n".join([*parts, "next:\n" + "\n".join(f"  {step}" for step in steps)])


def fleet_document(state: "FleetState", views: Mapping[str, LoopView]) -> dict[str, Any]:
    """The document of `-o json`: the whole, and that of each project's loop."""
    return {
        "v": 1,
        "loop": state.loop_id,
        "name": state.name,
        "status": "ended" if state.ended else "running",
        "reason": state.ended.reason if state.ended else None,
        "iterations": state.iterations,
        "cost": state.cost,
        "projects": {project: loop_document(view) for project, view in views.items()},
    }


async def show_fleet(app: "App", loop_id: str, output: str, stream: IO[str]) -> int:
    """The report of a fleet loop as it stands on record."""
    from acp_agent.loops.fleet import Fleet

    _write(await Fleet(app.loops()).state(loop_id), "json" if output == "json" else "table", stream, 0, "")
    return int(ExitCode.OK)
