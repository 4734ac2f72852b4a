"""Restarts PostgreSQL, or kills it, again and again during a batch: all runs finish, and nothing is done twice."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from acp_agent.testing.postgres import PostgresServer
from tests.crash.cluster import restarts_trial

RESTARTS = 20


def main(n: int | None, seed: int) -> int:
    """Restart it `n` times (default 20) during one batch; returns 1 where a promise was broken."""
    restarts = RESTARTS if n is None else n
    root = Path(tempfile.mkdtemp(prefix="acp-restarts-"))
    names = [f"p{number:02}" for number in range(max(2, restarts // 2))]
    with PostgresServer() as server:
        seen = restarts_trial(root, server, names, seed, restarts)
    print(f"{seen.restarts} restarts during {len(names)} runs, {seen.seconds:.0f} s", *seen.problems[:12], sep="\n  ")
    if not seen.problems:
        shutil.rmtree(root)
    return 1 if seen.problems or seen.restarts < restarts else 0
