"""From what a person asked to the runs of a batch: nothing is spent and nothing is written here."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from acp_agent import __version__
from acp_agent.domain.blast import BlastLimits, batch_scope
from acp_agent.domain.budget import Cap, Limits
from acp_agent.domain.errors import Refused
from acp_agent.domain.events_batch import BatchStarted
from acp_agent.domain.hook import Hook
from acp_agent.domain.policy import Mode
from acp_agent.domain.ports import NewStream
from acp_agent.domain.request import Lookup, RunRequest, Workplace
from acp_agent.domain.rules import Rule
from acp_agent.fleet.resolve import Site
from acp_agent.runs.ids import new_id
from acp_agent.runs.runner import new_run

TYPICAL_LOW = (2, 4_000, 300)
TYPICAL_HIGH = (15, 12_000, 600)
FIRST_INPUT = 8_000
"""Tokens that the system text, the tools and a prompt can have at worst."""
CAPPED_OUTPUT = 8_192
LEAST_OUTPUT = 1_024
"""Tokens of one reply under a money cap, at most and at least: the worst case that is set aside before a call."""
OUTPUTS_IN_A_CAP = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """Who works on a target: its chain of models, its role and what it may use."""

    models: tuple[str, ...]
    limits: Limits
    role: str = "coder"
    role_prompt: str = ""
    mode: Mode = Mode.AUTO
    blast: BlastLimits = field(default_factory=BlastLimits)
    protect_ignored: bool = False
    egress: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """One project of a plan: who works where."""

    agent: Agent
    site: Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What every run of the batch shares. `max_cost` caps the whole batch, in US dollars, `caps` each day and month."""

    prompt: str
    read_only: bool = False
    commit: bool = True
    answer_schema: dict[str, Any] | None = None
    max_cost: float | None = None
    caps: Mapping[str, float] = field(default_factory=dict)
    hooks: tuple[Hook, ...] = ()
    rules: tuple[Rule, ...] = ()
    lookup: Lookup = "none"


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One run that would start."""

    project: str
    request: RunRequest
    url: str | None = None
    base: str | None = None

    def queued(self, queue: str | None, config: Mapping[str, str]) -> RunRequest:
        """The request as it is recorded for `queue`.

        For `any` it says where hosts without the checkout clone from, and carries the hashes of skills and of `config`.
        """
        if queue is None:
            return self.request
        place = self.request.workplace
        carried: dict[str, object] = {}
        if queue == "any":
            from acp_agent.config.skills import pinned

            carried = {"config": dict(config), "skills": pinned(self.request.skills)}
            if self.base is not None and (place.kind == "worktree" or self.request.read_only):
                place = place.model_copy(update={"url": self.url, "base": self.base})
        return self.request.model_copy(update={"queue": queue, "version": __version__, "workplace": place, **carried})

    @property
    def kind(self) -> str:
        """`worktree` or `inplace`."""
        return self.request.workplace.kind

    @property
    def root(self) -> str:
        """The repository or directory."""
        return self.request.workplace.root

    @property
    def branch(self) -> str | None:
        """The branch the result will be on."""
        return self.request.workplace.branch


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A batch that could start. `low` and `high` estimate its cost in US dollars, None where a price is unknown."""

    batch_id: str
    prompt: str
    items: tuple[PlannedRun, ...]
    models: tuple[str, ...]
    model_source: str
    low: float | None
    high: float | None
    max_cost: float | None = None
    warnings: tuple[str, ...] = ()

    def with_warnings(self, warnings: Iterable[str]) -> "Plan":
        """The same plan with `warnings` that a person reads before it starts."""
        return replace(self, warnings=tuple(warnings))


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for one input and one output token of a model; None where unknown."""

    input_cost: float | None
    output_cost: float | None

    @property
    def known(self) -> bool:
        """Whether both are."""
        return self.input_cost is not None and self.output_cost is not None


def build(job: Job, targets: Sequence[Target], price: Callable[[str], Price], source: str, worktrees: Path) -> Plan:
    """The plan of `job` over `targets`; worktrees go below `worktrees`/BATCH.

    Raises Refused (exit 6) when a money cap is set and a model of a chain has no known price, or when even the low
    estimate is over the cap.
    """
    batch_id = new_id("b")
    models = tuple(dict.fromkeys(model for target in targets for model in target.agent.models))
    unknown = [model for model in models if not price(model).known]
    if unknown and any(_cap(job, target) is not None for target in targets):
        raise Refused(
            f"the price of {', '.join(unknown)} is unknown, so a money cap cannot be kept",
            hint="set it in config.toml: [providers.NAME.prices.MODEL], input and output in US$ per million tokens",
        )
    first = [price(target.agent.models[0]) for target in targets]
    low = None if unknown else sum(_cost(each, *TYPICAL_LOW) for each in first)
    high = None if unknown else sum(_cost(each, *TYPICAL_HIGH) for each in first)
    if job.max_cost is not None and low is not None and low > job.max_cost:
        raise Refused(
            f"the estimate (at least {dollars(low)}) is over the budget of {dollars(job.max_cost)}",
            hint="raise --max-cost or select fewer projects",
        )
    for target in targets:
        _check_room(job, target, price)
    return Plan(
        batch_id=batch_id,
        prompt=job.prompt,
        items=tuple(_planned(job, target, batch_id, worktrees, price) for target in targets),
        models=models,
        model_source=source,
        low=low,
        high=high if job.max_cost is None or high is None else min(high, job.max_cost),
        max_cost=job.max_cost,
    )


def streams(plan: Plan, queue: str | None = None, config: Mapping[str, str] | None = None) -> list[NewStream]:
    """What starting `plan` puts on record, in one transaction: the batch, then its runs, for workers of `queue`.

    `config` are the hashes of the settings (`config/fingerprint.py`).
    """
    started = BatchStarted(
        prompt=plan.prompt,
        projects=tuple(item.project for item in plan.items),
        options={"models": list(plan.models), "max_cost": plan.max_cost, **({"queue": queue} if queue else {})},
    )
    cap = Cap(scope=f"batch:{plan.batch_id}", cap=plan.max_cost)
    shared = plan.items[0].request.blast.shared if plan.items else {}
    counts = (Cap(scope=batch_scope(plan.batch_id, name), cap=limit) for name, limit in shared.items())
    batch = NewStream(stream_id=plan.batch_id, kind="batch", facts=(started,), caps=(cap, *counts))
    return [batch, *(new_run(item.queued(queue, config or {})) for item in plan.items)]


def _check_room(job: Job, target: Target, price: Callable[[str], Price]) -> None:
    """Refuse a cap that has no room for the worst case of a first call and of the last words."""
    cap = _cap(job, target)
    if cap is None:
        return
    for model in target.agent.models:
        least = 2 * _cost(price(model), 1, FIRST_INPUT, LEAST_OUTPUT)
        if least > cap:
            raise Refused(
                f"project {target.site.project}: a cap of {dollars(cap)} has no room for one call of {model} and a last"
                f" word (at worst {dollars(least)})",
                hint=f"raise the cap to {dollars(least)} or more, or choose a cheaper model",
            )


def _cap(job: Job, target: Target) -> float | None:
    caps = (job.max_cost, target.agent.limits.max_cost, *job.caps.values())
    return min((cap for cap in caps if cap is not None), default=None)


def _capped_output(job: Job, target: Target, price: Callable[[str], Price]) -> int | None:
    """How long a reply may be under a money cap, so that its worst case leaves room for a few more."""
    cap = _cap(job, target)
    if cap is None:
        return None
    dearest = max(price(model).output_cost or 0.0 for model in target.agent.models)
    share = CAPPED_OUTPUT if dearest == 0.0 else int(cap / OUTPUTS_IN_A_CAP / dearest)
    return max(LEAST_OUTPUT, min(CAPPED_OUTPUT, share))


def dollars(amount: float) -> str:
    """Money with enough digits that two different small amounts look different."""
    return f"${amount:.2f}" if amount >= 1 else f"${amount:.4f}"


def _cost(price: Price, steps: int, tokens_in: int, tokens_out: int) -> float:
    """What a run of so many steps costs; the two typical ones give a rough range."""
    return steps * (tokens_in * (price.input_cost or 0.0) + tokens_out * (price.output_cost or 0.0))


def _planned(job: Job, target: Target, batch_id: str, worktrees: Path, price: Callable[[str], Price]) -> PlannedRun:
    agent = target.agent
    request = RunRequest(
        prompt=job.prompt,
        workplace=_workplace(job, target.site, batch_id, worktrees),
        models=agent.models,
        project=target.site.project,
        batch_id=batch_id,
        role=agent.role,
        role_prompt=agent.role_prompt,
        instructions=target.site.instructions,
        skills=target.site.skills,
        egress=agent.egress,
        lookup=job.lookup,
        hooks=job.hooks,
        mode=Mode.PLAN if job.read_only else agent.mode,
        read_only=job.read_only,
        commit=job.commit,
        blast=agent.blast.model_copy(update={"shared": {}, "batch_time": None}) if job.read_only else agent.blast,
        protect_ignored=agent.protect_ignored,
        protect=target.site.protect,
        limits=agent.limits.model_copy(update={"max_output": _capped_output(job, target, price)}),
        scopes=(f"batch:{batch_id}",),
        caps=dict(job.caps),
        answer_schema=job.answer_schema,
        setup=None if job.read_only else target.site.setup,
        gates=() if job.read_only else target.site.gates,
        rules=job.rules,
        tags=target.site.tags,
    )
    return PlannedRun(target.site.project, request, target.site.url, target.site.base)


def _workplace(job: Job, site: Site, batch_id: str, worktrees: Path) -> Workplace:
    if job.read_only or site.inplace:
        return Workplace(kind="inplace", root=str(site.root), subdir=site.subdir)
    return Workplace(
        kind="worktree",
        root=str(site.root),
        worktree=str(worktrees / batch_id / site.project),
        branch=site.branch.replace("{batch}", batch_id).replace("{project}", site.project),
        base=site.base,
        target=site.branch_from,
        subdir=site.subdir,
    )
