"""A loop file as it stands: one model per table; `[projects.NAME.loop]` is the same without its projects."""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from acp_agent.config.duration import parse_duration
from acp_agent.config.projects_tables import GateEntries
from acp_agent.config.settings_tables import Count, ModelName
from acp_agent.config.tables import Money, Name, Seconds, Table, Text, Texts, plain
from acp_agent.domain.loop_spec import DoneWhen, Operator, Rotation

MAX_ITERATIONS = 100_000
CONDITION = re.compile(
    r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(>=|<=|==|>|<)\s*(-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)\s*\Z"
)
TOKENS = re.compile(r"([1-9][0-9]{0,8})(k|M)?t\Z")
SHARE = re.compile(r"([1-9][0-9]?)%\Z")
QUIET = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])\Z")
STAGNATE = re.compile(r"rotate|ask|stop|escalate:[A-Za-z0-9][A-Za-z0-9._-]*")
ROTATE_WORDS = 'should be a number of iterations, tokens such as "120kt", or a share of the context such as "60%"'


def rotation(value: object) -> Rotation:
    """`25`, `"120kt"` or `"60%"`. Raises a validator's error with what is expected."""
    if type(value) is int and 0 < value <= MAX_ITERATIONS:
        return Rotation(iterations=value)
    if isinstance(value, str):
        text = value.strip()
        if tokens := TOKENS.match(text):
            return Rotation(tokens=int(tokens[1]) * {None: 1, "k": 1_000, "M": 1_000_000}[tokens[2]])
        if share := SHARE.match(text):
            return Rotation(share=int(share[1]) / 100)
        if text.isdigit() and 0 < int(text) <= MAX_ITERATIONS:
            return Rotation(iterations=int(text))
    raise plain(ROTATE_WORDS)


def condition(text: str) -> tuple[str, Operator, float]:
    """`perf >= 95` as its parts. Raises ValueError."""
    match = CONDITION.match(text)
    if match is None:
        raise ValueError('should be a metric against a number, such as "perf >= 95"')
    operator: Operator = match[2]  # type: ignore[assignment]
    return match[1], operator, float(match[3])


def _metric_condition(value: object) -> object:
    if isinstance(value, str):
        try:
            condition(value)
        except ValueError as error:
            raise plain(str(error)) from None
    return value


def _quiet(value: object) -> object:
    if not isinstance(value, str) or not QUIET.match(value) or value[:5] == value[6:]:
        raise plain('should be two times of day, such as "08:00-18:00"')
    return value


def _stagnate(value: object) -> object:
    words = value if isinstance(value, list) else [value]
    if not words or not all(isinstance(word, str) and STAGNATE.fullmatch(word) for word in words):
        raise plain('should be a list of "rotate", "escalate:ROLE", "ask" and "stop"')
    return tuple(words)


def _rate_limit(value: object) -> object:
    words = value if isinstance(value, list) else [value]
    for word in words:
        if not isinstance(word, str) or not (word == "fallback" or word.startswith("wait:")):
            raise plain('should be a list of "fallback" and "wait:TIME"')
        if word.startswith("wait:"):
            try:
                parse_duration(word[5:])
            except ValueError as error:
                raise plain(f"wait: {error}") from None
    return tuple(words)


def _finish(value: object) -> object:
    if value == "pr":
        raise plain("pull requests are not in this version; branch or none is")
    return value


def _rotate(value: object) -> object:
    rotation(value)
    return value


Rotate = Annotated[int | str, BeforeValidator(_rotate)]


class MetricTable(Table):
    """A number that a command prints."""

    run: Text
    direction: Literal["up", "down"] = "up"
    repeat: Annotated[int, Field(gt=0, le=99)] = 1
    min_effect: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    keep: Literal["better", "not_worse", "gates_only"] = "better"
    timeout: Seconds = 600.0


class DoneTable(Table):
    """When the goal is reached."""

    run: Text | None = None
    metric: Annotated[Text, BeforeValidator(_metric_condition)] | None = None
    confirm: Annotated[int, Field(gt=0, le=20)] = 1
    timeout: Seconds = 600.0

    def noun(self) -> DoneWhen:
        """The same as the rest works with it."""
        rest = {"run": self.run, "confirm": self.confirm, "timeout": self.timeout}
        if self.metric is None:
            return DoneWhen.model_validate(rest)
        name, operator, target = condition(self.metric)
        return DoneWhen.model_validate({**rest, "metric": name, "operator": operator, "target": target})


class OnTable(Table):
    """What follows what happens."""

    accept: Literal["commit"] = "commit"
    reject: Literal["revert"] = "revert"
    stagnate: Annotated[tuple[str, ...], BeforeValidator(_stagnate)] = ("stop",)
    rate_limit: Annotated[tuple[str, ...], BeforeValidator(_rate_limit)] = ("fallback", "wait:6h")
    finish: Annotated[Literal["none", "branch"], BeforeValidator(_finish)] = "branch"


class ScheduleTable(Table):
    """When it runs by itself."""

    at: Text


class LoopTable(Table):
    """The whole file."""

    project: Name | None = None
    projects: Text | None = None
    goal: Text | None = None
    prompt: Text | None = None
    max_iter: Annotated[int, Field(gt=0, le=MAX_ITERATIONS)] = 100
    rotate: Rotate = 25
    max_cost: Money | None = None
    max_tokens: Count | None = None
    max_time: Seconds | None = None
    patience: Annotated[int, Field(gt=0, le=MAX_ITERATIONS)] = 6
    same_failure: Annotated[int, Field(gt=1, le=MAX_ITERATIONS)] = 3
    flat: Count | None = None
    quiet: Annotated[str, BeforeValidator(_quiet)] | None = None
    gates: GateEntries | None = None
    done_when: DoneTable | None = None
    protect: Texts = ()
    scope: Texts = ()
    egress: Texts = ()
    role: Name | None = None
    model: ModelName | None = None
    timeout: Seconds | None = None
    max_steps: Count | None = None
    metric: dict[Name, MetricTable] = Field(default_factory=dict)
    on: OnTable = Field(default_factory=OnTable)
    schedule: ScheduleTable | None = None

    def quiet_minutes(self) -> tuple[int, int] | None:
        """The quiet hours as minutes after midnight."""
        if self.quiet is None:
            return None
        begin, end = (int(part[:2]) * 60 + int(part[3:]) for part in self.quiet.split("-"))
        return begin, end
