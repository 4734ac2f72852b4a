"""How runs began, of many at once, for a worker that must know whether it can drive them."""

from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json

from acp_agent.store.connection import Connection
from acp_agent.store.transaction import among

STATEMENT = """
SELECT stream_id, data FROM acp_event
WHERE tenant || '' = :tenant AND (seq = 1 OR type = 'workspace_prepared') AND data <> '' AND stream_id IN (:ids)
ORDER BY stream_id, seq"""
"""The tenant is no plain column, as in `sql.EVENTS`."""


def beginnings(connection: Connection, tenant: str, run_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The first fact of each run, and where it was prepared, as JSON says them."""
    found: dict[str, list[dict[str, Any]]] = {}
    for statement, values in among(STATEMENT, run_ids):
        for run_id, data in connection.rows(statement, {**values, "tenant": tenant}):
            found.setdefault(run_id, []).append(from_json(data))
    return found
