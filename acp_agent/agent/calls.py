"""Which of the open tool calls is next, and in what company: reads together, writes one by one in the order given."""

from collections.abc import Mapping
from dataclasses import dataclass

from acp_agent.agent.actions import Act, Action, Adopt, Answer, Ask, Consult, Inquire, Limit, Propose, Recover
from acp_agent.domain.approving import is_enough, needed
from acp_agent.domain.budget import reached_by_tools
from acp_agent.domain.policy import InForce, Judgement, Mode, judge
from acp_agent.domain.request import RunRequest
from acp_agent.domain.run import OpenCall, RunState
from acp_agent.domain.tool import Risk, ToolResult, ToolSpec
from acp_agent.domain.weight import Trait, Weight, Weights

FREELY = "edit"
"""The note of an approval of a plan after which edits are not asked about."""
PROTECTED = "No agent may change it by itself, and nobody watches this run."


@dataclass(frozen=True, slots=True)
class Scene:
    """What holds while calls are decided: the tools on offer, what the open calls weigh, and the policy in force."""

    specs: Mapping[str, ToolSpec]
    weights: Weights
    policy: InForce


def next_call(state: RunState, request: RunRequest, scene: Scene, elapsed: float) -> Action:
    """What to do about `state.calls`, of which there is at least one."""
    under_way = state.started_calls
    if under_way:
        return Recover(under_way[0])
    first = state.calls[0]
    weight = _weight(first, scene)
    if first.phase == "unknown" and first.decision is not None:
        return _decided(first, weight)
    if first.phase == "denied":
        return Answer(first, _denied(first))
    if state.limit:
        return Answer(first, _refused("limit", f"The limit {state.limit} is reached.", "Sum up: done, left, next."))
    limit = reached_by_tools(state.spent, request.limits, elapsed)
    if limit is not None:
        return Limit(limit)
    if first.call.name not in scene.specs:
        return Act((first,))
    judgement = _judgement(first, weight, state, scene, state.taint)
    if judgement.verdict == "allow":
        return _allowed(first, state, request, scene)
    if judgement.verdict == "ask" and (request.attended or not weight.governing):
        return _asked(first, weight, judgement, request, scene.policy)
    return Answer(first, _forbidden(weight, judgement))


def _allowed(first: OpenCall, state: RunState, request: RunRequest, scene: Scene) -> Action:
    """A call that nothing stands against: it runs, or a person is asked what it asks."""
    asks = scene.specs[first.call.name].asks
    alone = not request.attended and scene.policy.unattended == "deny"
    if asks == "question":
        return Inquire(first, alone=alone)
    if asks == "plan" and alone:
        return Answer(first, _refused("denied", "Nobody is there to approve a plan.", "Say it in your last words."))
    if asks == "plan" and (first.phase != "allowed" or state.proposed is None):
        return Propose(first, _weight(first, scene))
    if asks == "plan":
        freely = Mode.EDIT if first.note == FREELY else Mode.ASK
        return Adopt(first, freely if request.attended else Mode.AUTO)
    return Act(_free_reads(state, request, scene) or (first,))


def _denied(open_call: OpenCall) -> ToolResult:
    words = "" if open_call.note in ("", "deny") else f" They say: {open_call.note}"
    return _refused("denied", f"A person denied this call.{words}", "Find another way, or end your turn.")


def _weight(open_call: OpenCall, scene: Scene) -> Weight:
    """What the call weighs; one that nobody weighed is as risky as its tool and hides what it does."""
    spec = scene.specs.get(open_call.call.name)
    weight = scene.weights.get(open_call.call.call_id)
    return weight or Weight(risk=spec.risk if spec else Risk.READ, opaque=True)


def _judgement(
    open_call: OpenCall, weight: Weight, state: RunState, scene: Scene, taint: frozenset[Trait]
) -> Judgement:
    """A person's answer holds for the very call they were asked about, as it stood then."""
    request = state.request
    if request is None:
        raise ValueError("a run without its first event has no calls")
    same = open_call.phase == "allowed" and open_call.binding == weight.binding
    if same and is_enough(open_call.approved, _needed(weight, request, scene.policy)):
        return Judgement(verdict="allow")
    policy = scene.policy.and_rules(request.rules)
    return judge(state.mode or request.mode, policy, (request.role, open_call.call.name), weight, taint)


def _asked(open_call: OpenCall, weight: Weight, judgement: Judgement, request: RunRequest, policy: InForce) -> Action:
    if not request.attended and policy.unattended == "deny":
        why = f"Nobody is there to allow it: {judgement.why}"
        return Answer(open_call, _refused("denied", why, "Find another way."))
    reviewer = _reviewer(request, policy) if weight.risk >= Risk.IRREVERSIBLE else None
    review = open_call.review if open_call.review and open_call.review.binding == weight.binding else None
    if reviewer is not None and (review is None or review.verdict is None):
        return Consult(open_call, weight, reviewer)
    if review is not None and review.verdict == "deny":
        return Answer(open_call, _refused("denied", f"The reviewer denied this call: {review.reason}", None))
    return Ask(open_call, weight, judgement.why, judgement.always, _needed(weight, request, policy))


def _reviewer(request: RunRequest, policy: InForce) -> str | None:
    """The model that reviews: never one that the run itself may be asked of."""
    return next((model for model in policy.reviewer if model not in request.models), None)


def _needed(weight: Weight, request: RunRequest, policy: InForce) -> int:
    reviewed = _reviewer(request, policy) is not None
    return needed(weight.risk, attended=request.attended, tags=request.tags, reviewed=reviewed)


def _forbidden(weight: Weight, judgement: Judgement) -> ToolResult:
    """The model is told, and the run goes on: nobody is asked about what is protected in a run nobody watches."""
    if judgement.verdict == "ask":
        what = f"{', '.join(weight.governing)} is protected. {PROTECTED}"
        return _refused("protected", what, "Say in the end what should be changed there, and by whom.")
    return _refused("denied", judgement.why, "Find another way, or say in the end why it was not done.")


def _free_reads(state: RunState, request: RunRequest, scene: Scene) -> tuple[OpenCall, ...]:
    """The calls from the first on that may run at the same time; each sees what those before it will have touched."""
    most = request.limits.max_tool_calls
    left = len(state.calls) if most is None else most - state.spent.tool_calls
    taint = state.taint
    free: list[OpenCall] = []
    for open_call in state.calls[:left]:
        spec = scene.specs.get(open_call.call.name)
        weight = _weight(open_call, scene)
        if open_call.phase not in ("proposed", "allowed") or spec is None or not spec.repeatable:
            break
        if _judgement(open_call, weight, state, scene, taint).verdict != "allow":
            break
        free.append(open_call)
        taint |= weight.traits | {"untrusted"}
    return tuple(free)


def _decided(open_call: OpenCall, weight: Weight) -> Action:
    """What a person said about a call whose outcome nobody could tell."""
    if open_call.decision == "retry":
        same = open_call.binding == weight.binding
        return Act((open_call,)) if same else Ask(open_call, weight)
    text = "A person checked: it took effect." if open_call.decision == "done" else "A person chose to skip it."
    return Answer(open_call, ToolResult(status="ok", output=f"Interrupted; its output is lost. {text}"))


def _refused(kind: str, output: str, hint: str | None) -> ToolResult:
    return ToolResult(status="refused", kind=kind, output=output, hint=hint)
