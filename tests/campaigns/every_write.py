"""Kills `acp run` before and after every single commit of a small run, and half of the resumptions at a random one."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from random import Random

from tests.campaigns.kill_run import summary
from tests.crash.writes import POINTS, commits_of_a_run, crash_at


def main(n: int | None, seed: int) -> int:
    """Try `n` crash points drawn at random (default: all of them); returns 1 where a promise was broken."""
    began = time.monotonic()
    random = Random(seed)
    root = Path(tempfile.mkdtemp(prefix="acp-every-write-"))
    commits = commits_of_a_run(root / "calibration")
    print(f"an undisturbed run makes {commits} commits", flush=True)
    places = [f"{point}:{count}" for count in range(1, commits + 1) for point in POINTS]
    outcomes = []
    for place in places if n is None else random.sample(places, min(n, len(places))):
        second = f"{random.choice(POINTS)}:{random.randint(1, commits)}"
        crashes = [place, second] if random.random() < 0.5 else [place]
        trial = root / place.replace(":", "-")
        outcome = crash_at(trial, crashes, seed)
        outcomes.append(outcome)
        if outcome.problems:
            print(f"crash at {', then '.join(crashes)}:", *outcome.problems, sep="\n  ")
            again = f"crash_at(Path({str(trial) + '-again'!r}), {crashes}, {seed})"
            print(f'  again: python -c "from pathlib import Path; from tests.crash.writes import *; print({again})"')
        if not outcome.kills:
            print(f"{place} was not reached", flush=True)
    summary(outcomes, time.monotonic() - began)
    if any(outcome.problems for outcome in outcomes):
        return 1
    shutil.rmtree(root)
    return 0
