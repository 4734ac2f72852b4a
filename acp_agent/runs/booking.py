"""The budgets of one call, as a tree: what it is set aside in before, and booked in after."""

import time
from collections.abc import Iterator, Sequence

from acp_agent.domain.budget import CALL, Reservation, Settlement
from acp_agent.domain.message import Reply
from acp_agent.domain.ports import ModelRequest
from acp_agent.domain.request import RunRequest

SHARED = ("project:", "provider:", "model:", "day:", "month:", "tenant")
"""How the budgets begin that runs share which have nothing else in common."""
PLAUSIBLE = 24
"""Characters that no tokenizer makes one token of on average over a whole text."""
SHORT = 400


def scopes_of(request: RunRequest, model: str) -> tuple[str, ...]:
    """Every budget that a call of `model` belongs to now, from the run up; days are those of this machine."""
    day = time.strftime("%Y-%m-%d", time.localtime())
    provider = model.partition("/")[0]
    project = (f"project:{request.project}",) if request.project else ()
    shared = (*project, f"provider:{provider}", f"model:{model}", f"day:{day}", f"month:{day[:7]}", "tenant")
    return (*request.scopes, *shared)


def is_shared(scope: str) -> bool:
    """Whether runs share a budget that have nothing else in common."""
    return scope.startswith(SHARED)


def reservations(request: RunRequest, scopes: Sequence[str], amount: float, aside: float) -> Iterator[Reservation]:
    """What to set aside of `amount`; the price of a last call stays free in those of its own that it may still use."""
    yield Reservation(scope=CALL, amount=amount)
    for scope in scopes:
        window = scope.partition(":")[0] if scope.startswith(("day:", "month:")) else ""
        most = request.caps.get(window)
        free = 0.0 if is_shared(scope) else aside
        yield Reservation(scope=scope, amount=amount, aside=free, window=window, most=most)


def settlements(scopes: Sequence[str], reserved: float | None, cost: float | None) -> list[Settlement]:
    """What to book; a cost that nobody knows counts at its worst in the budgets that runs share."""
    worst = reserved or 0.0
    return [
        Settlement(scope=scope, reserved=worst, spent=cost if cost is not None else worst if is_shared(scope) else 0.0)
        for scope in scopes
    ]


def is_believable(request: ModelRequest, reply: Reply) -> bool:
    """Whether the provider's usage can be true: far too few tokens for what was said would make a cap worth nothing."""
    if reply.usage is None:
        return False
    said = len(reply.message.text) + sum(len(call.arguments) for call in reply.message.calls)
    asked = sum(len(message.text) for message in request.messages)
    few_out = said > SHORT and reply.usage.output_tokens * PLAUSIBLE < said
    few_in = asked > SHORT and reply.usage.input_tokens * PLAUSIBLE < asked
    return not (few_out or few_in)
