"""The ratchet: a change is kept when every gate passed and every metric says so. Pure."""

import hashlib
import re

from acp_agent.domain.events import GateFinished
from acp_agent.domain.loop import LoopState, Measured, is_better, is_not_worse
from acp_agent.domain.loop_spec import DoneWhen, LoopSpec, Metric
from acp_agent.loops.steps import Accept, Reject

SHOWN = 1_500
"""Characters of a failing gate's output that go on: into the record of the rejection and to the agent."""
_VARYING = re.compile(r"0x[0-9a-fA-F]+|\d+|/tmp/\S+")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def verdict(state: LoopState, spec: LoopSpec) -> Accept | Reject:
    """What becomes of a change whose gates have run and whose metrics are measured."""
    failed = [gate for gate in state.gates if not gate.passed]
    if failed:
        detail = "\n".join(f"gate {gate.gate} failed ({_how(gate)}):\n{last_words(gate.output)}" for gate in failed)
        return Reject("gate", detail, fingerprint=fingerprint(failed[0]))
    for metric in spec.metrics:
        if (refusal := _refused(metric, state.measured.get(metric.name), state.best.get(metric.name))) is not None:
            return refusal
    return Accept()


def _refused(metric: Metric, value: Measured | None, best: Measured | None) -> Reject | None:
    if value is None:
        what = f"{metric.name} could not be measured"
        return Reject("unmeasured", what, fingerprint=f"unmeasured {metric.name}")
    if best is None or metric.keep == "gates_only":
        return None
    kept = is_better(metric, value, best) if metric.keep == "better" else is_not_worse(metric, value, best)
    if kept:
        return None
    noise = max(value.noise, best.noise)
    around = f" (noise {noise:g})" if noise else ""
    word = "not better than" if metric.keep == "better" else "worse than"
    detail = f"{metric.name} is {value.value:g}, {word} {best.value:g}{around}"
    return Reject("metric", detail, fingerprint=f"metric {metric.name} {value.value:g}")


def is_met(done: DoneWhen, value: float | None) -> bool:
    """Whether a metric is where it should be."""
    if value is None:
        return False
    match done.operator:
        case ">=":
            return value >= done.target
        case "<=":
            return value <= done.target
        case ">":
            return value > done.target
        case "<":
            return value < done.target
        case "==":
            return value == done.target


def last_number(output: str) -> float | None:
    """The last number on the last line that has one."""
    for line in reversed(output.splitlines()):
        if found := _NUMBER.findall(line):
            value = float(found[-1])
            return value if abs(value) < float("inf") else None
    return None


def measured(values: tuple[float, ...]) -> Measured:
    """The median, and as noise the median distance from it."""
    middle = _median(values)
    return Measured(value=middle, noise=_median(tuple(abs(value - middle) for value in values)))


def fingerprint(gate: GateFinished) -> str:
    """The same for failures that differ in times, addresses and counts only."""
    lines = [_VARYING.sub("#", line.strip()) for line in gate.output.splitlines() if line.strip()]
    text = "\n".join([gate.gate, str(gate.exit_status), *lines[-20:]])
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def last_words(output: str) -> str:
    """The end of what a gate printed, whole lines where there are several."""
    text = output.strip()
    if len(text) <= SHOWN:
        return text
    cut = text[-SHOWN:]
    return cut.partition("\n")[2] or cut


def _how(gate: GateFinished) -> str:
    return "stopped, or never begun" if gate.exit_status is None else f"exit status {gate.exit_status}"


def _median(values: tuple[float, ...]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
