"""What a loop can do next: each step is one effect, or one fact."""

from dataclasses import dataclass

from acp_agent.domain.events_loop import LoopEndReason, RejectReason
from acp_agent.domain.loop_spec import Metric
from acp_agent.domain.request import Gate


@dataclass(frozen=True, slots=True)
class Leave:
    """Nothing more can be done now; `why` is one word: ended, paused, parked, deadline, once."""

    why: str


@dataclass(frozen=True, slots=True)
class End:
    """The loop is over."""

    reason: LoopEndReason
    message: str = ""


@dataclass(frozen=True, slots=True)
class Park:
    """A person, or a provider's reset, must come first."""

    waiting: str
    detail: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing may begin before `until` (Unix time)."""

    until: float
    why: str


@dataclass(frozen=True, slots=True)
class Rotate:
    """Begin a new session from a written hand-over."""

    why: str


@dataclass(frozen=True, slots=True)
class Stagnate:
    """Do `step` of the ladder about `why`: rotate, or escalate to another role."""

    step: str
    why: str


@dataclass(frozen=True, slots=True)
class Measure:
    """Measure a metric of the change under judgement, or of the base (`iteration` 0)."""

    metric: Metric
    iteration: int


@dataclass(frozen=True, slots=True)
class CheckDone:
    """See whether the goal is reached at the base."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Put the next iteration, or the next attempt at the same one, on record."""

    iteration: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Prepare:
    """Make the working tree stand clean at the base."""


@dataclass(frozen=True, slots=True)
class Start:
    """Name the run that is about to begin."""


@dataclass(frozen=True, slots=True)
class Work:
    """Drive the run of this iteration; one that another process left is brought to its end first."""


@dataclass(frozen=True, slots=True)
class Salvage:
    """Keep what an attempt left that does not count; not before `pause` seconds from now does the next one begin."""

    why: str
    pause: float | None = None


@dataclass(frozen=True, slots=True)
class Capture:
    """Turn what the run changed into a commit on no branch, and look at what it touched."""


@dataclass(frozen=True, slots=True)
class Verify:
    """Run a gate on the change."""

    gate: Gate


@dataclass(frozen=True, slots=True)
class Accept:
    """Make the change the head of the branch."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Keep the change aside, and say why."""

    why: RejectReason
    detail: str = ""
    fingerprint: str = ""


Step = (
    Leave
    | End
    | Park
    | Wait
    | Rotate
    | Stagnate
    | Measure
    | CheckDone
    | Plan
    | Prepare
    | Start
    | Work
    | Salvage
    | Capture
    | Verify
    | Accept
    | Reject
)
