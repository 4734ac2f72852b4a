"""Kills `acp run` at a random commit, and whoever goes on at another: pairs of crashes, checked as single ones are."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from random import Random

from tests.campaigns.kill_run import summary
from tests.crash.writes import POINTS, commits_of_a_run, crash_at

PAIRS = 100


def main(n: int | None, seed: int) -> int:
    """Try `n` pairs (default 100); returns 1 where a promise was broken."""
    began = time.monotonic()
    random = Random(seed)
    root = Path(tempfile.mkdtemp(prefix="acp-crash-pairs-"))
    commits = commits_of_a_run(root / "calibration")
    outcomes = []
    for number in range(PAIRS if n is None else n):
        pair = [f"{random.choice(POINTS)}:{random.randint(1, commits)}" for _ in range(2)]
        outcome = crash_at(root / f"pair-{number}", pair, seed)
        outcomes.append(outcome)
        if outcome.problems:
            print(f"crash at {', then '.join(pair)}:", *outcome.problems, sep="\n  ", flush=True)
    summary(outcomes, time.monotonic() - began)
    if any(outcome.problems for outcome in outcomes):
        return 1
    shutil.rmtree(root)
    return 0
