"""A batch as a person watches it: one row per project, folded from the same events every surface gets.

Pure and standard library only: it reads the event rows of the store (`data` as plain dictionaries), so that the fast
commands, the live table and the report share it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from acp_agent.domain.errors import ExitCode

LIMITS = frozenset({"max_steps", "max_tool_calls", "max_tokens", "max_cost", "max_time"})


@dataclass(slots=True)
class Row:
    """One run of a batch. Times are Unix seconds, money US dollars; `cost` is a lower bound unless `cost_known`.

    `updated_at` is the time of the last event; `step` the short phrase of what it does now; `text` the last words of
    `model`, the last that was asked; `answer` the value that fits `--schema`.
    """

    run_id: str
    project: str = ""
    status: str = "queued"
    waiting_for: str | None = None
    reason: str | None = None
    message: str = ""
    step: str = ""
    steps: int = 0
    tool_calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    cost_known: bool = True
    created_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None
    updated_at: float = 0.0
    branch: str | None = None
    commit: str | None = None
    files: int = 0
    added: int = 0
    removed: int = 0
    text: str = ""
    answer: Any = None
    model: str = ""
    asked: tuple[str, str] | None = None
    binding: str | None = None
    failed_gates: tuple[str, ...] = ()
    landed: str | None = None
    seq: int = 0

    @property
    def outcome(self) -> str:
        """One word for the result: ok, failed, limit, waiting, cancelled, or the status while it is alive."""
        if self.status != "ended":
            return self.status
        if self.failed_gates:
            return "failed"
        if self.reason == "end_turn":
            return "ok"
        if self.reason == "cancelled":
            return "cancelled"
        return "limit" if self.reason in LIMITS else "failed"


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over rows; `cost_known` only where every row's is."""

    done: int
    total: int
    tokens_in: int
    tokens_out: int
    cost: float
    cost_known: bool
    added: int
    removed: int


@dataclass(slots=True)
class BatchView:
    """All rows of a batch in the order of its plan, updated by `apply`."""

    batch_id: str
    prompt: str = ""
    rows: dict[str, Row] = field(default_factory=dict)

    def apply(self, run_id: str, seq: int, ts: float, data: Mapping[str, Any]) -> Row:
        """Fold one event row of a run; events already seen change nothing."""
        row = self.rows.setdefault(run_id, Row(run_id=run_id))
        if seq > row.seq:
            row.seq, row.updated_at = seq, ts
            update(row, ts, data)
        return row

    def totals(self) -> Totals:
        """Sums over all rows."""
        return totals(self.rows.values())

    def exit(self) -> tuple[ExitCode, str]:
        """The exit code of the whole batch and its reason."""
        return exit_of(self.rows.values())


def totals(rows: Iterable[Row]) -> Totals:
    """Sums over `rows`."""
    kept = list(rows)
    return Totals(
        done=sum(row.status == "ended" for row in kept),
        total=len(kept),
        tokens_in=sum(row.tokens_in for row in kept),
        tokens_out=sum(row.tokens_out for row in kept),
        cost=sum(row.cost for row in kept),
        cost_known=all(row.cost_known for row in kept),
        added=sum(row.added for row in kept),
        removed=sum(row.removed for row in kept),
    )


def exit_of(rows: Iterable[Row]) -> tuple[ExitCode, str]:
    """What `rows` mean for a script: failed beats interrupted beats waiting beats limit beats success."""
    kept = list(rows)
    failed = next((row for row in kept if row.outcome in ("failed", "cancelled")), None)
    if failed is not None:
        return ExitCode.FAILED, "gate" if failed.failed_gates else failed.reason or "error"
    if any(row.status in ("queued", "running") for row in kept):
        return ExitCode.INTERRUPTED, "interrupted"
    waiting = next((row for row in kept if row.status in ("waiting", "paused")), None)
    if waiting is not None:
        return ExitCode.WAITS, waiting.waiting_for or waiting.status
    limited = next((row for row in kept if row.outcome == "limit"), None)
    if limited is not None:
        return ExitCode.LIMIT, limited.reason or "limit"
    return ExitCode.OK, "end_turn"


def update(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    """Fold one fact (as its JSON object) into `row`."""
    kind = data["type"]
    step = _FOLDS.get(kind)
    if step is not None:
        step(row, ts, data)


def _started(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    request = data["request"]
    row.project, row.created_at = request.get("project", ""), ts
    row.branch = request["workplace"].get("branch")


def _prepared(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    row.status, row.step = "running", "prepared"
    row.started_at = row.started_at or ts


def _model_called(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    row.status, row.step, row.model = "running", f"asks {data['model']}", data["model"]
    row.started_at = row.started_at or ts


def _model_replied(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    reply = data["reply"]
    usage = reply.get("usage") or {}
    row.steps += 1
    row.tokens_in += usage.get("input_tokens", 0)
    row.tokens_out += usage.get("output_tokens", 0)
    row.text = reply["message"].get("text") or row.text
    row.step = "replied"
    _charge(row, data.get("cost"))


def _model_failed(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    row.step = f"{data['model']}: {data['fault']}"
    _charge(row, data.get("cost", 0.0))


def _charge(row: Row, cost: float | None) -> None:
    if cost is None:
        row.cost_known = False
    else:
        row.cost += cost


def _tool_started(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    row.tool_calls += 1
    row.step = data.get("intent", {}).get("title") or data["tool"]


def _tool_ended(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    status = data["result"]["status"]
    row.step = f"{data['tool']}: {status}" if status != "ok" else data["tool"]


def _approval_asked(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    row.asked, row.binding = (data["call_id"], data["title"]), data.get("binding")


def _approval_given(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    row.asked, row.binding, row.waiting_for, row.status = None, None, None, "queued"
    row.step = f"answered: {data['decision']}"


def _question_asked(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    row.asked, row.binding = (data["call_id"], data["question"]), None


def _question_answered(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    row.status = "queued" if row.status == "waiting" else row.status
    row.asked, row.waiting_for, row.step = None, None, f"answered by {data['by']}"


def _parked(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    row.status, row.waiting_for, row.message = "waiting", data["waiting"], data["detail"]
    row.step = f"waits: {data['waiting']}"
    if data["waiting"] == "outcome_unknown":
        row.asked = (data.get("call_id") or "", data["detail"])


def _taken(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    row.status, row.step = "paused", "in a person's hands"


def _given_back(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    row.status, row.step = "waiting" if row.waiting_for else "queued", "given back"


def _limit(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    row.step = data["limit"]


def _answer(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    if data.get("problem") is None:
        row.answer = data.get("value")


def _gate_started(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    row.step = f"gate {data['gate']}"


def _gate_finished(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    others = tuple(gate for gate in row.failed_gates if gate != data["gate"])
    row.failed_gates = others if data["passed"] else (*others, data["gate"])


def _committed(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    row.commit = data.get("commit")
    row.files, row.added, row.removed = data.get("files", 0), data.get("added", 0), data.get("removed", 0)


def _ended(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    row.status, row.reason, row.ended_at = "ended", data["reason"], ts
    row.message = data.get("message", "")
    row.waiting_for, row.asked, row.step = None, None, ""


def _resumed(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    row.status = "running"


def _cancel(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    row.step = "cancelling"


def _accepted(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    row.landed = "accepted"


def _rejected(row: Row, ts: float, data: Mapping[str, Any]) -> None:
    row.landed = "rejected"


_FOLDS = {
    "run_started": _started,
    "workspace_prepared": _prepared,
    "model_called": _model_called,
    "model_replied": _model_replied,
    "model_failed": _model_failed,
    "tool_started": _tool_started,
    "tool_finished": _tool_ended,
    "tool_refused": _tool_ended,
    "approval_asked": _approval_asked,
    "approval_given": _approval_given,
    "question_asked": _question_asked,
    "question_answered": _question_answered,
    "parked": _parked,
    "taken": _taken,
    "given_back": _given_back,
    "limit_reached": _limit,
    "answer_checked": _answer,
    "gate_started": _gate_started,
    "gate_finished": _gate_finished,
    "committed": _committed,
    "run_ended": _ended,
    "resumed": _resumed,
    "cancel_asked": _cancel,
    "accepted": _accepted,
    "rejected": _rejected,
}
