"""Kills `acp run` before and after every single commit of a small run, and its resumption too at a random one."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from random import Random

from tests.campaigns.kill_run import summary
from tests.crash.writes import POINTS, commits_of_a_run, crash_at


def main(n: int | None, seed: int) -> int:
    """Crash at every n-th commit (default: each); returns 1 where a promise was broken."""
    began = time.monotonic()
    random = Random(seed)
    root = Path(tempfile.mkdtemp(prefix="acp-every-write-"))
    commits = commits_of_a_run(root / "calibration")
    print(f"an undisturbed run makes {commits} commits", flush=True)
    outcomes = []
    for count in range(1, commits + 1, n or 1):
        for point in POINTS:
            second = [] if random.random() < 0.5 else [f"{random.choice(POINTS)}:{random.randint(1, commits)}"]
            crashes = [f"{point}:{count}", *second]
            outcome = crash_at(root / f"{point}-{count:03}", crashes, seed + count)
            outcomes.append(outcome)
            if outcome.problems:
                print(f"crash at {', then '.join(crashes)}:", *outcome.problems, sep="\n  ")
                print(f"  again: ACP_CRASH_AT={crashes[0]} acp run ...; kept: {root}", flush=True)
            if not outcome.kills:
                print(f"{crashes[0]} was not reached", flush=True)
    summary(outcomes, time.monotonic() - began)
    if any(outcome.problems for outcome in outcomes):
        return 1
    shutil.rmtree(root)
    return 0
