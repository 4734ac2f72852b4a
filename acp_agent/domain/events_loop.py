"""Facts of loops: what an iteration did, what was decided about its change, and what people said meanwhile."""

from typing import Literal

from pydantic import Field

from acp_agent.domain.base import Frozen
from acp_agent.domain.budget import Limits
from acp_agent.domain.errors import ModelFault
from acp_agent.domain.loop_spec import LoopSpec
from acp_agent.domain.policy import Mode
from acp_agent.domain.request import Workplace

LoopEndReason = Literal[
    "done", "max_iter", "max_cost", "max_tokens", "max_time", "stagnation", "error", "cancelled", "fleet"
]
RejectReason = Literal[
    "nothing_changed",
    "protected",
    "scope",
    "secret",
    "repeated",
    "gate",
    "metric",
    "unmeasured",
    "run_failed",
    "cancelled",
]


class LoopAgent(Frozen):
    """Who works on the iterations: the chain of models, the role and what one run may use."""

    models: tuple[str, ...]
    limits: Limits
    role: str = "coder"
    role_prompt: str = ""
    mode: Mode = Mode.AUTO
    context_window: int | None = None


class LoopStarted(Frozen):
    """The loop exists. `place` is the projects.toml it belongs to; `work` is where the agent works, `judge` where gates
    and metrics run, which no agent ever touches; `setup` prepares both. `scopes` are budgets it shares with others;
    `flags` are what the command line said of its rules, which hold until it says something else; `slot` is that of the
    schedule for which a worker began it."""

    type: Literal["loop_started"] = "loop_started"
    name: str
    place: str
    project: str
    spec: LoopSpec
    agent: LoopAgent
    work: Workplace
    judge: Workplace
    setup: str | None = None
    scopes: tuple[str, ...] = ()
    parent: str | None = None
    flags: dict[str, str | int | float] = Field(default_factory=dict)
    slot: float | None = None


class FleetStarted(Frozen):
    """A loop over several projects exists: each has a loop of its own, and all of them share the budget of this one.

    `slot` is as in `loop_started`."""

    type: Literal["fleet_started"] = "fleet_started"
    name: str
    place: str
    spec: LoopSpec
    loops: dict[str, str]
    slot: float | None = None


class TurnGiven(Frozen):
    """The next iteration of a fleet loop is that of `project`; `loop_id` is its loop."""

    type: Literal["turn_given"] = "turn_given"
    project: str
    loop_id: str


class TurnTaken(Frozen):
    """Where the project's loop stands after its turn; `over` says why it takes no more of them."""

    type: Literal["turn_taken"] = "turn_taken"
    project: str
    iterations: int
    accepted: int
    cost: float = 0.0
    tokens: int = 0
    over: str | None = None


class LoopChanged(Frozen):
    """The loop goes on by other rules: its file was edited, or a person gave other limits (`source`)."""

    type: Literal["loop_changed"] = "loop_changed"
    spec: LoopSpec
    source: str = ""
    flags: dict[str, str | int | float] = Field(default_factory=dict)


class LoopChangeRefused(Frozen):
    """The loop's file was edited and cannot be used as it is: broken, or with commands that nobody trusted."""

    type: Literal["loop_change_refused"] = "loop_change_refused"
    why: str


class IterationPlanned(Frozen):
    """Intent: another iteration, or another attempt at the same one, begins."""

    type: Literal["iteration_planned"] = "iteration_planned"
    iteration: int
    attempt: int = 1


class IterationPrepared(Frozen):
    """The working tree stands clean at `base`."""

    type: Literal["iteration_prepared"] = "iteration_prepared"
    iteration: int
    base: str


class IterationStarted(Frozen):
    """Intent: the agent begins to work as run `run_id`."""

    type: Literal["iteration_started"] = "iteration_started"
    iteration: int
    attempt: int
    run_id: str


class IterationRan(Frozen):
    """The run is over. `reason` is its end, or `interrupted` for one that its process left; `fault` what its model
    failed with, `retry_after` in seconds. `refused` are the edits of files that govern the agent which it tried;
    `context_tokens` is how much the model had read at last."""

    type: Literal["iteration_ran"] = "iteration_ran"
    iteration: int
    run_id: str
    reason: str
    message: str = ""
    text: str = ""
    cost: float = 0.0
    cost_known: bool = True
    tokens_in: int = 0
    tokens_out: int = 0
    context_tokens: int = 0
    refused: tuple[str, ...] = ()
    fault: ModelFault | None = None
    retry_after: float | None = None


class IterationSalvaged(Frozen):
    """An attempt that does not count: what it left is kept under `ref` (None: nothing), and the iteration starts again.

    Not before `until` (Unix time), where a provider or a network needs a pause.
    """

    type: Literal["iteration_salvaged"] = "iteration_salvaged"
    iteration: int
    attempt: int
    why: str
    ref: str | None = None
    until: float | None = None


class IterationCaptured(Frozen):
    """What the attempt changed, as a commit on no branch (None: nothing); `violations` name what it may not have."""

    type: Literal["iteration_captured"] = "iteration_captured"
    iteration: int
    commit: str | None
    tree: str | None = None
    files: int = 0
    added: int = 0
    removed: int = 0
    why: RejectReason | None = None
    violations: tuple[str, ...] = ()


class MetricMeasured(Frozen):
    """A metric of the change of `iteration` (0: of the base); `value` is None where it could not be measured."""

    type: Literal["metric_measured"] = "metric_measured"
    iteration: int
    metric: str
    value: float | None
    noise: float = 0.0
    values: tuple[float, ...] = ()
    output: str = ""


class DoneChecked(Frozen):
    """Whether the goal is reached at `commit`, as often as it must be confirmed."""

    type: Literal["done_checked"] = "done_checked"
    commit: str
    met: bool
    detail: str = ""


class IterationAccepted(Frozen):
    """The change is the new head of the loop's branch; `metrics` are its values."""

    type: Literal["iteration_accepted"] = "iteration_accepted"
    iteration: int
    commit: str
    subject: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)


class IterationRejected(Frozen):
    """The change is not kept, and why; its diff stays under `ref`, with secrets masked."""

    type: Literal["iteration_rejected"] = "iteration_rejected"
    iteration: int
    why: RejectReason
    detail: str = ""
    ref: str | None = None
    fingerprint: str = ""


class Rotated(Frozen):
    """A new session begins with `handover`, all that it knows of the earlier ones."""

    type: Literal["rotated"] = "rotated"
    rotation: int
    session_id: str
    handover: str = ""
    why: str = ""


class StagnationMet(Frozen):
    """Nothing got better for too long (`why`), and `step` was done about it; `agent` works from now on, if given."""

    type: Literal["stagnation_met"] = "stagnation_met"
    step: str
    why: str
    agent: LoopAgent | None = None


class LoopSteered(Frozen):
    """A person's words for the next iteration."""

    type: Literal["loop_steered"] = "loop_steered"
    text: str


class LoopPaused(Frozen):
    """A person wants no further iteration for now; the one under way is brought to its end."""

    type: Literal["loop_paused"] = "loop_paused"
    note: str = ""


class LoopResumed(Frozen):
    """The loop goes on; `reopened` says that it had ended, `slot` for which one of its schedule a worker goes on."""

    type: Literal["loop_resumed"] = "loop_resumed"
    reopened: bool = False
    slot: float | None = None


class LoopStopAsked(Frozen):
    """A person wants the loop to end: after the iteration under way, or `now`."""

    type: Literal["loop_stop_asked"] = "loop_stop_asked"
    now: bool = False
    note: str = ""


class LoopParked(Frozen):
    """The loop waits for a person or for a provider, and has freed its process; `run_id` is the run that asks."""

    type: Literal["loop_parked"] = "loop_parked"
    waiting: str
    detail: str
    run_id: str | None = None


class LoopEnded(Frozen):
    """The loop is over; `message` is for a person, `trace` only for a bug of ours."""

    type: Literal["loop_ended"] = "loop_ended"
    reason: LoopEndReason
    message: str = ""
    trace: str | None = None


class ScheduleStarted(Frozen):
    """The slots of a loop are counted from here; `place` is the projects.toml it belongs to."""

    type: Literal["schedule_started"] = "schedule_started"
    name: str
    place: str


class ScheduleGiven(Frozen):
    """From now on the workers of `queue` run the loop at its times, which are those of `zone` (IANA)."""

    type: Literal["schedule_given"] = "schedule_given"
    when: str
    queue: str
    zone: str


class ScheduleWithdrawn(Frozen):
    """Workers run it no more; a slot that is under way ends as it would."""

    type: Literal["schedule_withdrawn"] = "schedule_withdrawn"


class SlotTaken(Frozen):
    """A process runs the slot of this time (Unix): nobody else does. That of a `worker` is gone on with by another."""

    type: Literal["slot_taken"] = "slot_taken"
    slot: float
    when: str = ""
    worker: bool = False


class SlotEnded(Frozen):
    """What a worker did for a slot is over: `why` in one word, as driving the loop stopped; `detail` where it said."""

    type: Literal["slot_ended"] = "slot_ended"
    slot: float
    loop_id: str = ""
    why: str = ""
    detail: str = ""


LoopFact = (
    LoopStarted
    | FleetStarted
    | TurnGiven
    | TurnTaken
    | LoopChanged
    | LoopChangeRefused
    | IterationPlanned
    | IterationPrepared
    | IterationStarted
    | IterationRan
    | IterationSalvaged
    | IterationCaptured
    | MetricMeasured
    | DoneChecked
    | IterationAccepted
    | IterationRejected
    | Rotated
    | StagnationMet
    | LoopSteered
    | LoopPaused
    | LoopResumed
    | LoopStopAsked
    | LoopParked
    | LoopEnded
    | ScheduleStarted
    | ScheduleGiven
    | ScheduleWithdrawn
    | SlotTaken
    | SlotEnded
)
