"""What can happen next to a run: the answers of `next_action`, each done by the driver and then recorded."""

from dataclasses import dataclass

from acp_agent.domain.blast import Excess
from acp_agent.domain.budget import LimitReason
from acp_agent.domain.events import EndReason
from acp_agent.domain.policy import Mode
from acp_agent.domain.request import Gate
from acp_agent.domain.run import OpenCall
from acp_agent.domain.tool import ToolResult
from acp_agent.domain.weight import Weight


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing to do here: the run has ended or waits."""


@dataclass(frozen=True, slots=True)
class Prepare:
    """Make the workplace."""


@dataclass(frozen=True, slots=True)
class Think:
    """Ask `model`, after `delay` seconds; a `final` call offers no tools."""

    model: str
    final: bool = False
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Forget:
    """A model call was in flight when its driver died: book it as lost."""


@dataclass(frozen=True, slots=True)
class Act:
    """Run these calls, at the same time when there are several: all of them are repeatable."""

    calls: tuple[OpenCall, ...]


@dataclass(frozen=True, slots=True)
class Recover:
    """A call was in flight when its driver died: find out what became of it."""

    call: OpenCall


@dataclass(frozen=True, slots=True)
class Answer:
    """Close a call with a result that no tool made."""

    call: OpenCall
    result: ToolResult


@dataclass(frozen=True, slots=True)
class Ask:
    """A person must decide about this call, which weighs `weight`; `why` says what asks for it.

    `always`: such calls may be allowed always. `needed` different approvers must say yes.
    """

    call: OpenCall
    weight: Weight
    why: str = ""
    always: bool = False
    needed: int = 1


@dataclass(frozen=True, slots=True)
class Inquire:
    """Put the question of this call to a person; where `alone`, nobody ever answers and the default must do."""

    call: OpenCall
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Propose:
    """Put the plan of this call on record, for a person to approve."""

    call: OpenCall
    weight: Weight


@dataclass(frozen=True, slots=True)
class Adopt:
    """A person approved the plan: it holds, and the run goes on in `mode`."""

    call: OpenCall
    mode: Mode


@dataclass(frozen=True, slots=True)
class Consult:
    """The reviewer, asked as `model`, gives its opinion on a call that cannot be taken back."""

    call: OpenCall
    weight: Weight
    model: str


@dataclass(frozen=True, slots=True)
class Check:
    """Hold the last words against the schema of the answer."""


@dataclass(frozen=True, slots=True)
class Park:
    """What was done goes beyond a limit of what a run may do: a person looks."""

    exceeds: tuple[Excess, ...]


@dataclass(frozen=True, slots=True)
class Tell:
    """Answer in the place of the model."""

    answer: str


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit is used up."""

    limit: LimitReason


@dataclass(frozen=True, slots=True)
class Verify:
    """Run a gate."""

    gate: Gate


@dataclass(frozen=True, slots=True)
class Commit:
    """Turn what changed into a commit."""


@dataclass(frozen=True, slots=True)
class Finish:
    """End the run."""

    reason: EndReason
    message: str = ""


_OfCalls = Act | Recover | Answer | Ask | Inquire | Propose | Adopt | Consult
Action = Stop | Prepare | Park | Think | Forget | _OfCalls | Check | Tell | Limit | Verify | Commit | Finish
