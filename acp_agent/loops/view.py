"""A loop as a person watches it: one row per iteration, folded from the rows of the event log.

Pure and standard library only, as `fleet.view` is: the fast commands, the live view and the report share it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Data = Mapping[str, Any]


@dataclass(slots=True)
class Turn:
    """One iteration. `outcome` is running, accepted or rejected; times are Unix seconds, money US dollars."""

    iteration: int
    outcome: str = "running"
    why: str = ""
    detail: str = ""
    subject: str = ""
    commit: str | None = None
    ref: str | None = None
    files: int = 0
    added: int = 0
    removed: int = 0
    cost: float = 0.0
    cost_known: bool = True
    tokens: int = 0
    attempts: int = 0
    run_id: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    started_at: float = 0.0
    ended_at: float | None = None


@dataclass(slots=True)
class Rotation:
    """One session, and what it was told at its beginning."""

    number: int
    session_id: str
    why: str
    handover: str
    ts: float


@dataclass(slots=True)
class LoopView:
    """A loop with its iterations in order. `step` is what it does now; `base_metrics` are those it began with."""

    loop_id: str
    name: str = ""
    project: str = ""
    spec: Data = field(default_factory=dict)
    branch: str | None = None
    target: str | None = None
    root: str = ""
    models: tuple[str, ...] = ()
    turns: dict[int, Turn] = field(default_factory=dict)
    rotations: list[Rotation] = field(default_factory=list)
    base_metrics: dict[str, float] = field(default_factory=dict)
    salvages: list[Data] = field(default_factory=list)
    stagnations: list[Data] = field(default_factory=list)
    steered: list[str] = field(default_factory=list)
    iteration: int = 0
    step: str = ""
    status: str = "running"
    reason: str = ""
    message: str = ""
    parked: Data | None = None
    done: Data | None = None
    change_refused: str = ""
    landed: str | None = None
    seq: int = 0
    started_at: float = 0.0
    updated_at: float = 0.0

    def apply(self, seq: int, ts: float, data: Data) -> None:
        """Fold one event row; events already seen change nothing."""
        if seq <= self.seq:
            return
        self.seq, self.updated_at = seq, ts
        step = _FOLDS.get(data["type"])
        if step is not None:
            step(self, ts, data)

    @property
    def accepted(self) -> list[Turn]:
        """The iterations that were kept."""
        return [turn for turn in self.turns.values() if turn.outcome == "accepted"]

    @property
    def rejected(self) -> list[Turn]:
        """Those that were not."""
        return [turn for turn in self.turns.values() if turn.outcome == "rejected"]

    @property
    def cost(self) -> float:
        """US dollars of all attempts: a lower bound unless `cost_known`."""
        return sum(turn.cost for turn in self.turns.values())

    @property
    def cost_known(self) -> bool:
        """Whether every price was known."""
        return all(turn.cost_known for turn in self.turns.values())

    @property
    def tokens(self) -> int:
        """Tokens of all attempts."""
        return sum(turn.tokens for turn in self.turns.values())

    @property
    def max_iter(self) -> int:
        """The most iterations."""
        return int(self.spec.get("max_iter", 0))

    def scores(self) -> dict[str, list[float]]:
        """Each metric's values in order: that of the base, then those of accepted changes."""
        found = {name: [value] for name, value in self.base_metrics.items()}
        for turn in self.accepted:
            for name, value in turn.metrics.items():
                found.setdefault(name, []).append(value)
        return found

    def turn(self) -> Turn:
        """The iteration under way."""
        return self.turns.setdefault(self.iteration, Turn(self.iteration))


def _started(view: LoopView, ts: float, data: Data) -> None:
    view.name, view.project, view.spec = data["name"], data["project"], data["spec"]
    view.branch, view.root = data["work"]["branch"], data["work"]["root"]
    view.target, view.models, view.started_at = data["work"]["target"], tuple(data["agent"]["models"]), ts


def _changed(view: LoopView, ts: float, data: Data) -> None:
    view.spec, view.change_refused = data["spec"], ""


def _planned(view: LoopView, ts: float, data: Data) -> None:
    view.iteration, view.status, view.step = data["iteration"], "running", "prepares"
    turn = view.turn()
    turn.attempts += 1
    turn.started_at = turn.started_at or ts


def _iteration_started(view: LoopView, ts: float, data: Data) -> None:
    view.step = "works"
    view.turn().run_id = data["run_id"]


def _ran(view: LoopView, ts: float, data: Data) -> None:
    turn = view.turn()
    turn.cost += data["cost"]
    turn.cost_known = turn.cost_known and data["cost_known"]
    turn.tokens += data["tokens_in"] + data["tokens_out"]
    view.step, view.parked = f"run ended: {data['reason']}", None


def _captured(view: LoopView, ts: float, data: Data) -> None:
    turn = view.turn()
    turn.files, turn.added, turn.removed = data["files"], data["added"], data["removed"]


def _gate(view: LoopView, ts: float, data: Data) -> None:
    view.step = f"gate {data['gate']}"


def _measured(view: LoopView, ts: float, data: Data) -> None:
    view.step = f"measured {data['metric']}"
    if data["value"] is None:
        return
    if data["iteration"] == 0:
        view.base_metrics[data["metric"]] = data["value"]
    else:
        view.turn().metrics[data["metric"]] = data["value"]


def _accepted(view: LoopView, ts: float, data: Data) -> None:
    turn = view.turn()
    turn.outcome, turn.commit, turn.subject, turn.ended_at = "accepted", data["commit"], data["subject"], ts
    view.step = "accepted"


def _rejected(view: LoopView, ts: float, data: Data) -> None:
    turn = view.turn()
    turn.outcome, turn.why, turn.detail, turn.ended_at = "rejected", data["why"], data["detail"], ts
    turn.ref, view.step = data["ref"], "rejected"


def _salvaged(view: LoopView, ts: float, data: Data) -> None:
    view.salvages.append(data)
    view.step = f"again: {data['why']}"


def _rotated(view: LoopView, ts: float, data: Data) -> None:
    view.rotations.append(Rotation(data["rotation"], data["session_id"], data["why"], data["handover"], ts))


def _stagnated(view: LoopView, ts: float, data: Data) -> None:
    view.stagnations.append(data)
    view.step = f"{data['step']}: {data['why']}"


def _done(view: LoopView, ts: float, data: Data) -> None:
    view.done = data


def _steered(view: LoopView, ts: float, data: Data) -> None:
    view.steered.append(data["text"])


def _paused(view: LoopView, ts: float, data: Data) -> None:
    view.status = "paused"


def _resumed(view: LoopView, ts: float, data: Data) -> None:
    view.status, view.reason, view.message = "running", "", ""
    if view.parked and view.parked["run_id"] is None:
        view.parked = None


def _parked(view: LoopView, ts: float, data: Data) -> None:
    view.status, view.reason, view.message, view.parked = "waiting", data["waiting"], data["detail"], data


def _ended(view: LoopView, ts: float, data: Data) -> None:
    view.status, view.reason, view.message, view.step = "ended", data["reason"], data["message"], ""


def _refused(view: LoopView, ts: float, data: Data) -> None:
    view.change_refused = data["why"]


def _landed(view: LoopView, ts: float, data: Data) -> None:
    view.landed = data["type"]


_FOLDS: Mapping[str, Callable[[LoopView, float, Data], None]] = {
    "loop_started": _started,
    "loop_changed": _changed,
    "loop_change_refused": _refused,
    "iteration_planned": _planned,
    "iteration_started": _iteration_started,
    "iteration_ran": _ran,
    "iteration_captured": _captured,
    "gate_started": _gate,
    "metric_measured": _measured,
    "iteration_accepted": _accepted,
    "iteration_rejected": _rejected,
    "iteration_salvaged": _salvaged,
    "rotated": _rotated,
    "stagnation_met": _stagnated,
    "done_checked": _done,
    "loop_steered": _steered,
    "loop_paused": _paused,
    "loop_resumed": _resumed,
    "loop_parked": _parked,
    "loop_ended": _ended,
    "accepted": _landed,
    "rejected": _landed,
}
