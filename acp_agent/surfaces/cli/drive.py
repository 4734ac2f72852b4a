"""Drive a batch from a terminal: show its events, end gracefully on the first signal and at once on the second."""

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import anyio

from acp_agent.domain.errors import ExitCode
from acp_agent.fleet.view import BatchView, Row
from acp_agent.surfaces.cli.records import Record
from acp_agent.surfaces.cli.watch import Watcher

if TYPE_CHECKING:
    from acp_agent.domain.events import Event

Work = Callable[[Callable[["Event"], None]], Awaitable[object]]
"""What drives runs; it tells every fact as it is recorded."""
TICK = 0.125
"""Seconds between two drawings of the live table."""


class Ticking(Protocol):
    """Anything that is drawn anew as time passes."""

    def tick(self) -> None:
        """Time passes."""
        ...


@dataclass
class Driven:
    """How driving ended: `signal` is what stopped it, `reader_gone` that nobody reads our output any more."""

    signal: int | None = None
    reader_gone: bool = False

    @property
    def exit_code(self) -> ExitCode | None:
        """The code of the interruption, None where there was none."""
        if self.signal is None:
            return ExitCode.INTERRUPTED if self.reader_gone else None
        return ExitCode.TERMINATED if self.signal == signal.SIGTERM else ExitCode.INTERRUPTED


async def drive(work: Work, view: BatchView, watcher: Watcher) -> Driven:
    """Do `work` until every run has ended or waits, or a signal comes; `view` and `watcher` get every event."""
    driven = Driven()
    scope = anyio.CancelScope()

    def see(event: "Event") -> None:
        record = Record(event.stream_id, event.seq, event.ts, event.data.model_dump(mode="json"))
        try:
            tell(view, watcher, record)
        except BrokenPipeError:
            # The work goes on record anyhow; it stops here because whoever wanted to watch it has left.
            driven.reader_gone = True
            scope.cancel()

    async with anyio.create_task_group() as helpers:
        await helpers.start(heed_signals, driven, scope, watcher.say)
        helpers.start_soon(tick, watcher)
        try:
            with scope:
                await work(see)
        finally:
            helpers.cancel_scope.cancel()
    return driven


def tell(view: BatchView, watcher: Watcher, record: Record) -> None:
    """Fold one record of a run into the view and show it, unless it is known already; a batch's own is only shown."""
    if record.data["type"].startswith("batch_"):
        watcher.seen(record, Row(run_id=record.stream_id))
        return
    known = view.rows.get(record.stream_id)
    if known is not None and record.seq <= known.seq:
        return
    row = view.apply(*record)
    watcher.seen(record, row)


async def tick(watcher: Ticking) -> None:
    """Let `watcher` draw several times a second."""
    while True:
        watcher.tick()
        await anyio.sleep(TICK)


async def heed_signals(
    driven: Driven,
    work: anyio.CancelScope,
    say: Callable[[str], None],
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Cancel `work` at the first SIGINT or SIGTERM and end the process at the second."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for number in signals:
            if driven.signal is not None:
                sys.stdout.flush()
                os._exit(int(driven.exit_code or ExitCode.INTERRUPTED))
            driven.signal = int(number)
            say("stopping; once more to kill at once")
            work.cancel()
