"""From a loop's file, its project and the command line to the rules that are put on record."""

from collections.abc import Mapping

from acp_agent.config.duration import parse_duration
from acp_agent.config.loop_tables import rotation
from acp_agent.config.projects import Project
from acp_agent.domain.errors import UsageError
from acp_agent.domain.loop_spec import LoopSpec, Metric
from acp_agent.loops.judges import judges_of
from acp_agent.loops.resolve import LoopAsk, Resolved

Flags = Mapping[str, str | int | float]


def flags_of(ask: LoopAsk) -> dict[str, str | int | float]:
    """What the command line says of the rules; it stays said for the loop's life. Raises UsageError for a rotation."""
    if ask.rotate is not None:
        try:
            rotation(ask.rotate)
        except ValueError as error:
            raise UsageError(f"--rotate: {error}") from None
    names = ("goal", "max_iter", "rotate", "max_cost", "max_time", "patience")
    return {name: value for name in names if (value := getattr(ask, name)) is not None}


def spec_of(resolved: Resolved, project: Project, flags: Flags) -> LoopSpec:
    """The rules in force for one project of a loop."""
    table = resolved.table
    gates = resolved.gates(project)
    metrics = tuple(Metric(name=name, **metric.model_dump()) for name, metric in table.metric.items())
    done = table.done_when.noun() if table.done_when else None
    measures = [metric.run for metric in metrics] + ([done.run] if done is not None and done.run else [])
    waits = [parse_duration(word[5:]) for word in table.on.rate_limit if word.startswith("wait:")]
    given = {
        "max_iter": table.max_iter,
        "max_cost": table.max_cost,
        "max_time": table.max_time,
        "patience": table.patience,
        **{name: value for name, value in flags.items() if name not in ("goal", "rotate")},
    }
    return LoopSpec.model_validate(
        {
            **given,
            "name": resolved.name,
            "goal": flags.get("goal") or resolved.goal,
            "prompt": resolved.prompt,
            "rotate": rotation(flags.get("rotate", table.rotate)),
            "max_tokens": table.max_tokens,
            "same_failure": table.same_failure,
            "flat": table.flat,
            "quiet": table.quiet_minutes(),
            "gates": gates,
            "metrics": metrics,
            "done_when": done,
            "protect": tuple(dict.fromkeys((*project.protect, *table.protect))),
            "scope": table.scope,
            "judges": judges_of([gate.run for gate in gates], measures),
            "stagnate": table.on.stagnate,
            "rate_limit_wait": max(waits, default=0.0),
            "finish": table.on.finish,
            "egress": table.egress,
        }
    )
