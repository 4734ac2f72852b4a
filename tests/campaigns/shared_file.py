"""Four processes drive the runs of one SQLite file for two minutes and more: no locking error, nothing done twice."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import anyio

from tests.crash.shared_file import trial

SECONDS = 120.0
RUNS = 400


def main(n: int | None, seed: int) -> int:
    """Drive `n` runs, or 400 at a time until two minutes are over; returns 1 where something went wrong."""
    began = time.monotonic()
    root = Path(tempfile.mkdtemp(prefix="acp-shared-file-"))
    runs, problems = 0, list[str]()
    while not problems and (runs == 0 or (n is None and time.monotonic() - began < SECONDS)):
        problems = anyio.run(trial, root / f"{seed}-{runs}", n or RUNS)
        runs += n or RUNS
    print(f"4 processes, {runs} runs of 3 steps, {time.monotonic() - began:.0f} s")
    print(*(problems or ["no locking error, nothing done twice"]), sep="\n")
    if not problems:
        shutil.rmtree(root)
    return 1 if problems else 0
