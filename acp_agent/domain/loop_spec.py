"""What a loop is asked to do: its goal, its limits, and what decides whether a change is kept."""

from typing import Literal

from pydantic import Field

from acp_agent.domain.base import Frozen
from acp_agent.domain.request import Gate

Direction = Literal["up", "down"]
Keep = Literal["better", "not_worse", "gates_only"]
Operator = Literal[">=", "<=", ">", "<", "=="]
Finish = Literal["none", "branch"]


class Metric(Frozen):
    """A number that a command prints last. The median of `repeat` runs counts; `timeout` in seconds, of each.

    A change is better when the number moved in `direction` by at least `min_effect` and by more than its noise.
    """

    name: str
    run: str
    direction: Direction = "up"
    repeat: int = 1
    min_effect: float = 0.0
    keep: Keep = "better"
    timeout: float = 600.0


class DoneWhen(Frozen):
    """When the goal is reached: a command that succeeds, or a metric against `target`; `confirm` times in a row."""

    run: str | None = None
    metric: str | None = None
    operator: Operator = ">="
    target: float = 0.0
    confirm: int = 1
    timeout: float = 600.0


class Rotation(Frozen):
    """When a new session begins: after so many iterations, tokens, or this share (0 to 1) of the model's context."""

    iterations: int | None = None
    tokens: int | None = None
    share: float | None = None


class LoopSpec(Frozen):
    """One loop over one project. Times are seconds, money US dollars; None is no limit.

    `patience` counts iterations in a row without an accepted change, `same_failure` those with the same failure,
    `flat` those in which no metric got better; each leads to the next word of `stagnate`. `quiet` are two times of day
    (minutes after midnight) between which no iteration begins. `protect` and `scope` are globs over the project's
    directory: what may never be changed, and what alone may be. `judges` are further files that decide and are
    protected unless `scope` names one of them without a wildcard. `rate_limit_wait` bounds one wait for a provider.
    `egress` are the presets of hosts that it asks for.
    """

    name: str
    goal: str
    prompt: str = ""
    max_iter: int = 100
    max_cost: float | None = None
    max_tokens: int | None = None
    max_time: float | None = None
    rotate: Rotation = Field(default_factory=lambda: Rotation(iterations=25))
    patience: int = 6
    same_failure: int = 3
    flat: int | None = None
    quiet: tuple[int, int] | None = None
    gates: tuple[Gate, ...] = ()
    metrics: tuple[Metric, ...] = ()
    done_when: DoneWhen | None = None
    protect: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()
    judges: tuple[str, ...] = ()
    stagnate: tuple[str, ...] = ("stop",)
    rate_limit_wait: float = 6 * 3600.0
    finish: Finish = "branch"
    egress: tuple[str, ...] = ()

    @property
    def checks_something(self) -> bool:
        """Whether anything of ours decides about a change."""
        return bool(self.gates or self.metrics)
