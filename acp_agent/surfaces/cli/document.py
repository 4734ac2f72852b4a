"""The result of a batch for machines: one JSON document, and one line per event."""

from collections.abc import Mapping
from typing import Any

from acp_agent.fleet.view import BatchView, Row
from acp_agent.surfaces.cli.details import NOTHING, Details
from acp_agent.surfaces.cli.formats import stamp


def batch_document(
    view: BatchView, code: int, reason: str, details: Mapping[str, Details] | None = None
) -> dict[str, Any]:
    """The document of `-o json`; money is US dollars, None where no price is known; times are seconds."""
    totals = view.totals()
    known = details or {}
    return {
        "v": 1,
        "batch": view.batch_id,
        "prompt": view.prompt,
        "projects": [row_document(row, known.get(row.run_id, NOTHING)) for row in view.rows.values()],
        "totals": {
            "projects": totals.total,
            "ended": totals.done,
            "tokens": {"input": totals.tokens_in, "output": totals.tokens_out},
            "cost": cost_of(totals.cost, totals.cost_known),
            "cost_known": totals.cost_known,
            "added": totals.added,
            "removed": totals.removed,
        },
        "exit": {"code": int(code), "reason": reason},
    }


def row_document(row: Row, details: Details = NOTHING) -> dict[str, Any]:
    """One run. `cost` is a lower bound unless `cost_known`; `left_in` is where changes lie that are in no commit."""
    return {
        "project": row.project,
        "run": row.run_id,
        "status": row.status,
        "outcome": row.outcome,
        "reason": row.reason,
        "message": row.message,
        "waiting_for": row.waiting_for,
        "branch": row.branch,
        "commit": row.commit,
        "landed": row.landed,
        "files": row.files,
        "added": row.added,
        "removed": row.removed,
        "failed_gates": list(row.failed_gates),
        "gate_failures": [gate._asdict() for gate in details.gates],
        "left_in": details.left_in,
        "steps": row.steps,
        "tool_calls": row.tool_calls,
        "tokens": {"input": row.tokens_in, "output": row.tokens_out},
        "cost": cost_of(row.cost, row.cost_known),
        "cost_known": row.cost_known,
        "seconds": None if row.started_at is None else round((row.ended_at or row.started_at) - row.started_at, 3),
        "text": row.text,
        "answer": row.answer,
        "model": row.model,
    }


def cost_of(cost: float, known: bool) -> float | None:
    """The number, or None where not even a part of it is known."""
    return cost if known or cost else None


def event_document(stream_id: str, seq: int, ts: float, project: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The line of `-o jsonl`: the row of the event log, its kind beside its data."""
    rest = {name: value for name, value in data.items() if name != "type"}
    whose = {"run": stream_id, "project": project}
    if stream_id.startswith("l_"):
        whose = {"loop": stream_id, "project": project}
    elif data["type"].startswith("batch_"):
        whose = {"batch": stream_id}
    return {"v": 1, "seq": seq, "ts": stamp(ts), **whose, "type": data["type"], "data": rest}
