"""Who works on a loop: the chain of models, the role, and what one iteration may use."""

from pathlib import Path

import anyio.to_thread

from acp_agent.config.projects import Project, load_projects
from acp_agent.config.window_caps import window_caps
from acp_agent.domain.budget import Limits
from acp_agent.domain.errors import Refused
from acp_agent.domain.events_loop import LoopAgent
from acp_agent.domain.loop_spec import LoopSpec
from acp_agent.domain.policy import Mode
from acp_agent.fleet.plan import CAPPED_OUTPUT, FIRST_INPUT, LEAST_OUTPUT, OUTPUTS_IN_A_CAP, dollars
from acp_agent.llm.demonstration import is_demonstration
from acp_agent.loops.resolve import Resolved
from acp_agent.runs.models import Models


async def agent_for(
    models: Models,
    resolved: Resolved,
    project: Project,
    spec: LoopSpec,
    *,
    model: str | None = None,
    role: str | None = None,
) -> LoopAgent:
    """The agent of one project of a loop; `role` stands in for the loop's own, with the model of that role first.

    Raises NoModel, UsageError for an unknown role, Refused for a money cap that cannot be kept.
    """
    table = resolved.table
    name = role or table.role or project.role
    about = models.settings.role(name)
    chosen = about.model if role else None
    chain = models.named(flag=chosen or model, role=name, task=table.model, project=project.model)
    if chain is None:
        chain = (await models.found()).models
    if any(map(is_demonstration, chain)):
        raise Refused("the demonstration model cannot work on a loop: it has no tools", hint="acp models ls")
    own = min((cap for cap in (project.max_cost, about.max_cost) if cap is not None), default=None)
    file = await anyio.to_thread.run_sync(load_projects, Path(resolved.place))
    shared = window_caps(file.budget, models.settings.table.budget)
    capped = [cap for cap in (own, spec.max_cost, *shared.values()) if cap is not None]
    if capped and (unknown := [each for each in chain if models.price(each) is None]):
        what = f"the price of {', '.join(unknown)} is unknown, so a money cap cannot be kept"
        hint = "set it in config.toml: [providers.NAME.prices.MODEL], input and output in US$ per million tokens"
        raise Refused(what, hint=hint)
    for each in chain if capped else ():
        _check_room(models, each, min(capped))
    defaults = Limits()
    limits = Limits(
        max_steps=table.max_steps or about.max_steps or defaults.max_steps,
        max_time=table.timeout or min(t for t in (project.timeout, about.max_time or project.timeout) if t),
        max_cost=own,
        idle=project.idle,
        max_output=_output(models, chain, min(capped)) if capped else None,
    )
    windows = [price.context_window for each in chain if (price := models.price(each)) and price.context_window]
    return LoopAgent(
        models=chain,
        limits=limits,
        role=name,
        role_prompt=about.prompt or "",
        mode=about.policy or Mode.AUTO,
        context_window=min(windows, default=None),
    )


def _check_room(models: Models, model: str, cap: float) -> None:
    """Refuse a cap that has no room for the worst case of a first call and of the last words."""
    price = models.price(model)
    if price is None:
        return
    least = 2 * (FIRST_INPUT * price.input + LEAST_OUTPUT * price.output)
    if least > cap:
        what = (
            f"a cap of {dollars(cap)} has no room for one call of {model} and a last word (at worst {dollars(least)})"
        )
        raise Refused(what, hint=f"raise the cap to {dollars(least)} or more, or choose a cheaper model")


def _output(models: Models, chain: tuple[str, ...], cap: float) -> int:
    """How long a reply may be under a money cap, so that its worst case leaves room for a few more."""
    dearest = max((price.output for each in chain if (price := models.price(each))), default=0.0)
    share = CAPPED_OUTPUT if dearest == 0.0 else int(cap / OUTPUTS_IN_A_CAP / dearest)
    return max(LEAST_OUTPUT, min(CAPPED_OUTPUT, share))
