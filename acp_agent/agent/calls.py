"""Which of the open tool calls is next, and in what company: reads together, writes one by one in the order given."""

from collections.abc import Mapping
from itertools import islice, takewhile

from acp_agent.agent.actions import Act, Action, Answer, Ask, Limit, Recover
from acp_agent.domain.budget import reached_by_tools
from acp_agent.domain.policy import POLICIES, Verdict
from acp_agent.domain.request import RunRequest
from acp_agent.domain.run import OpenCall, RunState
from acp_agent.domain.tool import Risk, ToolResult, ToolSpec
from acp_agent.domain.weight import Weight, Weights


def next_call(
    state: RunState, request: RunRequest, specs: Mapping[str, ToolSpec], weights: Weights, elapsed: float
) -> Action:
    """What to do about `state.calls`, of which there is at least one."""
    under_way = state.started_calls
    if under_way:
        return Recover(under_way[0])
    first = state.calls[0]
    weight = _weight(first, specs, weights)
    if first.phase == "unknown" and first.decision is not None:
        return _decided(first, weight)
    if first.phase == "denied":
        return Answer(first, _refused("denied", "A person denied this call.", "Find another way, or end your turn."))
    if state.limit:
        return Answer(first, _refused("limit", f"The limit {state.limit} is reached.", "Sum up: done, left, next."))
    limit = reached_by_tools(state.spent, request.limits, elapsed)
    if limit is not None:
        return Limit(limit)
    spec = specs.get(first.call.name)
    if spec is None:
        return Act((first,))
    verdict = _verdict(first, weight, request)
    if verdict == "deny":
        return Answer(first, _refused("denied", f"{spec.name} is not allowed in mode {request.mode}.", None))
    if verdict == "ask":
        return Ask(first, weight)
    return Act(_free_reads(state, request, specs, weights) or (first,))


def _weight(open_call: OpenCall, specs: Mapping[str, ToolSpec], weights: Weights) -> Weight:
    """What the call weighs; one that nobody weighed is as risky as its tool and hides what it does."""
    spec = specs.get(open_call.call.name)
    return weights.get(open_call.call.call_id) or Weight(risk=spec.risk if spec else Risk.READ, opaque=True)


def _verdict(open_call: OpenCall, weight: Weight, request: RunRequest) -> Verdict:
    """A person's answer holds for the very call they were asked about, as it stood then."""
    if open_call.phase == "allowed" and open_call.binding == weight.binding:
        return "allow"
    return POLICIES[request.mode].verdict(open_call.call.name, weight.risk)


def _free_reads(
    state: RunState, request: RunRequest, specs: Mapping[str, ToolSpec], weights: Weights
) -> tuple[OpenCall, ...]:
    def is_free(open_call: OpenCall) -> bool:
        spec = specs.get(open_call.call.name)
        ready = open_call.phase in ("proposed", "allowed") and spec is not None and spec.repeatable
        return ready and _verdict(open_call, _weight(open_call, specs, weights), request) == "allow"

    most = request.limits.max_tool_calls
    left = None if most is None else most - state.spent.tool_calls
    return tuple(islice(takewhile(is_free, state.calls), left))


def _decided(open_call: OpenCall, weight: Weight) -> Action:
    """What a person said about a call whose outcome nobody could tell."""
    if open_call.decision == "retry":
        same = open_call.binding == weight.binding
        return Act((open_call,)) if same else Ask(open_call, weight)
    text = "A person checked: it took effect." if open_call.decision == "done" else "A person chose to skip it."
    return Answer(open_call, ToolResult(status="ok", output=f"Interrupted; its output is lost. {text}"))


def _refused(kind: str, output: str, hint: str | None) -> ToolResult:
    return ToolResult(status="refused", kind=kind, output=output, hint=hint)
