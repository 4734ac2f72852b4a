"""Drive a loop from a terminal: show what happens, stop gracefully at a signal, tell the night's story at the end."""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Protocol

import anyio
import click

from acp_agent.domain.errors import UsageError
from acp_agent.domain.hold import LIFT
from acp_agent.loops.view import LoopView
from acp_agent.surfaces.cli.document import event_document
from acp_agent.surfaces.cli.drive import Driven, heed_signals, tick
from acp_agent.surfaces.cli.formats import clock
from acp_agent.surfaces.cli.grid import is_terminal, to_json
from acp_agent.surfaces.cli.loop_report import loop_document, report
from acp_agent.surfaces.cli.outcome import result_stream
from acp_agent.surfaces.cli.phrases import is_change, phrase
from acp_agent.surfaces.cli.records import Record
from acp_agent.surfaces.cli.text import one_line
from acp_agent.surfaces.cli.watch import can_move_the_cursor

if TYPE_CHECKING:
    from acp_agent.app import App
    from acp_agent.domain.events import Event
    from acp_agent.domain.loop import LoopState
    from acp_agent.loops.driver import Invocation
    from acp_agent.loops.loops import Ready
    from acp_agent.loops.notify import Notify
    from acp_agent.loops.resolve import LoopAsk

DAY = 86_400.0
TOLD = frozenset({"iteration_planned", "iteration_accepted", "iteration_rejected", "loop_parked", "loop_ended"})
"""Facts after which a service manager is told where the loop stands."""


class LoopWatcher(Protocol):
    """Told of every new event of the loop and its runs."""

    def seen(self, record: Record) -> None:
        """A fact happened; the view has it folded in."""
        ...

    def tick(self) -> None:
        """Time passes."""
        ...

    def say(self, line: str) -> None:
        """Tell whoever watches, beside what is shown."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


class Quiet:
    """Nobody watches."""

    def seen(self, record: Record) -> None:
        """Say nothing."""

    def tick(self) -> None:
        """Say nothing."""

    def say(self, line: str) -> None:
        """On stderr, on a line of its own."""
        click.echo(f"\n{line}", err=True)

    def close(self) -> None:
        """Say nothing."""


class Lines(Quiet):
    """One plain line per fact of the loop on stderr, and one per change of the run under way."""

    def __init__(self, view: LoopView) -> None:
        self._view = view

    def seen(self, record: Record) -> None:
        """`02:03:44 faster 12  accepted: ...`."""
        if is_change(record.data):
            indent = "  " if record.stream_id.startswith("r_") else ""
            name = f"{one_line(self._view.name)} {self._view.iteration}"
            click.echo(f"{clock(record.ts)} {name}  {indent}{phrase(record.data)}", err=True)


class EventRows(Quiet):
    """The rows of the event log on stdout as they happen."""

    def __init__(self, view: LoopView, write: Callable[[str], None]) -> None:
        self._view = view
        self._write = write

    def seen(self, record: Record) -> None:
        """One JSON line."""
        row = event_document(*record[:3], self._view.project, record.data)
        self._write(to_json({**row, "loop": self._view.loop_id, "iter": self._view.iteration}))


def until_of(text: str | None, now: float) -> float | None:
    """The next moment at a time of day (`06:00`, local) as Unix time. Raises UsageError."""
    if text is None:
        return None
    hour, colon, minute = text.partition(":")
    if not (colon and hour.isdigit() and minute.isdigit() and int(hour) < 24 and int(minute) < 60):
        raise UsageError(f"--until {text!r}: no time of day", hint="--until 06:00")
    today = time.localtime(now)
    moment = time.mktime((*today[:3], int(hour), int(minute), 0, *today[6:8], -1))
    return moment if moment > now else moment + DAY


class Way(NamedTuple):
    """How a loop is driven: `until` is a time of day (`06:00`, local), `out` a file for what goes to stdout."""

    output: str
    out: str | None = None
    until: str | None = None
    fresh: bool = False
    once: bool = False
    watch: bool = False


async def run_loop(ask: "LoopAsk", way: Way) -> int:
    """Start the loop or go on with it, drive it, and write its report; returns the exit code."""
    from acp_agent.app import open_app
    from acp_agent.loops.driver import Invocation

    until = until_of(way.until, time.time())
    if way.watch and way.once:
        raise UsageError("--watch and --once do not go together", hint="--watch goes on until Ctrl-C or --until")
    async with open_app(os.environ, Path.cwd()) as app:
        loops = app.loops()
        with result_stream(way.out) as stream:
            invocation = Invocation(until=until, turns=1 if way.once else None)
            resolved = await loops.resolved(ask)
            if resolved.many:
                from acp_agent.surfaces.cli.loop_fleet import run_fleet

                if way.watch:
                    raise UsageError(
                        "--watch is for a loop over one project", hint="name one with project = in its file"
                    )
                return await run_fleet(app, ask, resolved, invocation, way, stream)
            seat = Seat(app, way.output, stream)
            if way.watch:
                from acp_agent.surfaces.cli.loop_watch import watch_loop

                return seat.end(await watch_loop(seat, ask, until, fresh=way.fresh))
            return seat.end(await seat.drive(await loops.ready(ask, fresh=way.fresh), invocation))


@dataclass(frozen=True)
class Turn:
    """How driving a loop stopped: `why` in one word, `state` as it is on record."""

    view: LoopView
    driven: Driven
    why: str
    state: "LoopState"


class Seat:
    """Where a person sits: what they see of a loop that is driven, and what they are told at the end."""

    def __init__(self, app: "App", output: str, stream: IO[str]) -> None:
        from acp_agent.loops.notify import Notify

        self.app = app
        self.output = output
        self._stream = stream
        self._notify = Notify.from_env(os.environ, os.getpid())
        self._shown = ""

    async def drive(self, ready: "Ready", invocation: "Invocation") -> Turn:
        """Drive the loop until it ends, waits or is interrupted."""
        loop_id = ready.loop_id
        if loop_id != self._shown:
            self.say(f"loop: {loop_id} {'begins' if ready.fresh else 'goes on'}")
            for warning in ready.warnings:
                self.say(f"warning: {one_line(warning)}")
        self._shown = loop_id
        view = LoopView(loop_id)
        watcher = _watcher(self.output, view, lambda line: click.echo(line, file=self._stream))
        for event in await self.app.journal.events(loop_id):
            _tell(view, None, event)
        self._notify.send("READY=1", f"STATUS={view.name}: begins")
        driven, why = await _drive(self.app, view, watcher, invocation, self._notify)
        return Turn(view, driven, why, await self.app.loops().state(loop_id))

    def say(self, line: str) -> None:
        """A line on stderr, where somebody reads it."""
        if self.output not in ("quiet", "jsonl"):
            click.echo(line, err=True)

    def end(self, turn: Turn) -> int:
        """Write the report; returns the exit code."""
        from acp_agent.loops.loops import exit_of

        view, driven = turn.view, turn.driven
        self._notify.send("STOPPING=1", f"STATUS={view.name}: {view.status} {view.reason}")
        code, reason = exit_of(turn.state, turn.why)
        if driven.exit_code is not None:
            code, reason = driven.exit_code, "interrupted"
        interrupted = driven.exit_code is not None or turn.why in ("deadline", "once")
        if self.output == "json":
            document = loop_document(view, int(code), reason)
            click.echo(json.dumps(document, ensure_ascii=True, indent=2, default=str), file=self._stream)
        elif self.output not in ("jsonl", "quiet"):
            click.echo(report(view, self._stream, interrupted=interrupted), file=self._stream)
        if turn.why == "held":
            self.say(f"stopped: {LIFT}, and acp loop {one_line(view.name)} this loop")
        if driven.exit_code is not None and self.output != "quiet":
            click.echo(f"interrupted; continue with: acp loop {one_line(view.name)}", err=True)
        return int(code)


async def _drive(
    app: "App", view: LoopView, watcher: LoopWatcher, invocation: Any, notify: "Notify"
) -> tuple[Driven, str]:
    driven = Driven()
    work = anyio.CancelScope()
    why = "interrupted"

    def see(event: "Event") -> None:
        try:
            _tell(view, watcher, event)
            if event.data.type in TOLD:
                told = f"{len(view.accepted)} accepted, {len(view.rejected)} rejected"
                notify.send(f"STATUS={view.name} {view.iteration}/{view.max_iter}: {told}; {view.step}")
        except BrokenPipeError:
            driven.reader_gone = True
            work.cancel()

    try:
        async with anyio.create_task_group() as helpers:
            await helpers.start(heed_signals, driven, work, watcher.say)
            helpers.start_soon(tick, watcher)
            helpers.start_soon(notify.live)
            try:
                with work:
                    why = await app.loops().drive(view.loop_id, invocation, on_event=see)
            finally:
                helpers.cancel_scope.cancel()
    finally:
        watcher.close()
    # What an interruption cut off comes over no bus.
    with anyio.CancelScope(shield=True):
        for event in await app.journal.events(view.loop_id, view.seq):
            _tell(view, None, event)
    return driven, why


def _tell(view: LoopView, watcher: LoopWatcher | None, event: "Event") -> None:
    record = Record(event.stream_id, event.seq, event.ts, event.data.model_dump(mode="json"))
    if event.stream_id == view.loop_id:
        if event.seq <= view.seq:
            return
        view.apply(*record[1:])
    if watcher is not None:
        watcher.seen(record)


def _watcher(output: str, view: LoopView, write: Callable[[str], None]) -> LoopWatcher:
    match output:
        case "quiet":
            return Quiet()
        case "jsonl":
            return EventRows(view, write)
        case "stream":
            return Lines(view)
        case _ if is_terminal(sys.stderr) and can_move_the_cursor():
            from acp_agent.surfaces.cli.loop_live import LiveLoop

            return LiveLoop(view)
        case _:
            return Lines(view)
