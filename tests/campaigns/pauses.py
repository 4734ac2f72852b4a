"""Stops a driver for longer than its lease, overtakes and wakes it: every late write is refused, none is lost."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import anyio

from tests.crash.pause_trial import trial

PAUSES = 200
EACH = 50


def main(n: int | None, seed: int) -> int:
    """Pause `n` times (default 200); returns 1 where a promise was broken."""
    began = time.monotonic()
    wanted = PAUSES if n is None else n
    root = Path(tempfile.mkdtemp(prefix="acp-pauses-"))
    pauses = late = failed = 0
    while pauses < wanted:
        done = anyio.run(trial, root / f"trial-{pauses}", seed + pauses, min(EACH, wanted - pauses))
        pauses += done.pauses
        late += done.late
        if done.problems:
            failed += 1
            print(*done.problems, sep="\n  ", flush=True)
    print(f"{pauses} pauses, {late} late writes refused and kept aside, {time.monotonic() - began:.0f} s")
    print(f"trials that broke a promise: {failed}")
    if not failed:
        shutil.rmtree(root)
    return 1 if failed else 0
