"""The campaign `kill_run` with the record in PostgreSQL: `acp run` and what resumes it are killed at random moments."""

from __future__ import annotations

from acp_agent.testing.postgres import PostgresServer
from tests.campaigns.kill_run import campaign

TRIALS = 220


def main(n: int | None, seed: int) -> int:
    """Run `n` trials (default 220), trial i with seed `seed` + i; returns 1 where a promise was broken."""
    with PostgresServer() as server:
        return campaign("kill_postgres", TRIALS if n is None else n, seed, server.new_url)
