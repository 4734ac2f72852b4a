"""Kills one of three workers every 20 seconds while they drive 60 runs: all finish, nothing is done twice."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from acp_agent.testing.postgres import PostgresServer
from tests.crash.cluster import LEASE, workers_trial

RUNS = 60
EVERY = 20.0


def main(n: int | None, seed: int) -> int:
    """Drive `n` runs (default 60); returns 1 where a promise was broken or a take-over took twice the lease.

    On a slow machine that is also where no worker had a free slot for so long.
    """
    root = Path(tempfile.mkdtemp(prefix="acp-workers-"))
    names = [f"p{number:02}" for number in range(RUNS if n is None else n)]
    with PostgresServer() as server:
        seen = workers_trial(root, server.new_url(), names, seed, kills=1_000, every=EVERY)
    late = max(seen.takeovers, default=0.0)
    print(f"{len(names)} runs, {seen.kills} kills, {seen.seconds:.0f} s; {len(seen.takeovers)} take-overs")
    print(f"the last one after {late:.1f} s (twice the lease: {2 * LEASE:g} s)", *seen.problems[:12], sep="\n  ")
    if not seen.problems:
        shutil.rmtree(root)
    return 1 if seen.problems or late > 2 * LEASE else 0
