"""From a batch on record to its result: drive it, show it, write it where it was asked for, and say the exit code."""

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from acp_agent.domain.errors import ExitCode, UsageError
from acp_agent.fleet.view import BatchView
from acp_agent.surfaces.cli.document import batch_document
from acp_agent.surfaces.cli.drive import Work as Driving
from acp_agent.surfaces.cli.drive import drive, tell
from acp_agent.surfaces.cli.records import Record, Records
from acp_agent.surfaces.cli.report import report
from acp_agent.surfaces.cli.watch import watcher_for

if TYPE_CHECKING:
    from acp_agent.app import App

_WORST_FIRST = (ExitCode.FAILED, ExitCode.WAITS, ExitCode.LIMIT, ExitCode.OK)


@dataclass(frozen=True)
class Form:
    """What the result looks like: `output` is the word of `-o`, `out` the file of `--out`; `jobs` runs at a time."""

    output: str
    out: str | None
    jobs: int


@contextlib.contextmanager
def result_stream(out: str | None) -> Iterator[IO[str]]:
    """Standard output, or the file `out`, opened before anything is spent. Raises UsageError where it cannot be."""
    if out is None:
        yield sys.stdout
        return
    with contextlib.ExitStack() as stack:
        try:
            opened = stack.enter_context(Path(out).open("w", encoding="utf-8", buffering=1))
        except (OSError, ValueError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).lower()
            raise UsageError(f"--out {out}: {reason}", hint="name a file that can be written") from None
        yield opened


@dataclass(frozen=True)
class Work:
    """Driving batches, and single runs of conversations, with `app`, and writing their results to `stream`."""

    app: "App"
    records: Records
    form: Form
    stream: IO[str]

    async def carry_out(self, views: Sequence[BatchView], new: Iterable[Record] = ()) -> int:
        """Drive batches one after the other and write their results; returns the exit code.

        A view without a batch is one run of a conversation. `views` hold what is on record already; `new` are records
        that were never shown.
        """
        documents: list[dict[str, Any]] = []
        codes: list[int] = []
        for view in views:
            code, reason = await self._drive(view, new)
            codes.append(code)
            interrupted = code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED)
            if self.form.output == "json":
                documents.append(batch_document(view, code, reason, self.records.details(view.rows.values())))
            elif self.form.output not in ("jsonl", "quiet"):
                details = self.records.details(view.rows.values())
                click.echo(report(view, self.stream, details, interrupted=interrupted), file=self.stream)
            if interrupted:
                if self.form.output != "quiet":
                    click.echo(
                        f"interrupted; continue with: acp resume {view.batch_id or next(iter(view.rows))}", err=True
                    )
                break
        worst = _worst(codes)
        if documents:
            whole = documents[0] if len(views) == 1 else {"v": 1, "batches": documents, "exit": {"code": worst}}
            click.echo(json.dumps(whole, ensure_ascii=True, indent=2, default=str), file=self.stream)
        return worst

    def _work(self, view: BatchView) -> Driving:
        if not view.batch_id:
            return partial(self.app.conversations.go_on, next(iter(view.rows)))
        return partial(self.app.batches.work, view.batch_id, self.form.jobs)

    async def _drive(self, view: BatchView, new: Iterable[Record]) -> tuple[int, str]:
        watcher = watcher_for(self.form.output, view, lambda line: click.echo(line, file=self.stream))
        batch_seq = max((record.seq for record in self.records.records_after({view.batch_id: 0})), default=0)
        try:
            for record in new:
                tell(view, watcher, record)
            driven = await drive(self._work(view), view, watcher)
            # What others and the batch itself put on record, and what an interruption cut off, comes over no bus.
            seen = {run_id: row.seq for run_id, row in view.rows.items()}
            for record in self.records.records_after({**seen, view.batch_id: batch_seq}):
                tell(view, watcher, record)
        finally:
            watcher.close()
        if driven.exit_code is not None:
            return int(driven.exit_code), "interrupted"
        code, reason = view.exit()
        return int(code), reason


def _worst(codes: Sequence[int]) -> int:
    if codes and codes[-1] in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
        return codes[-1]
    return int(next((code for code in _WORST_FIRST if code in codes), ExitCode.OK))
