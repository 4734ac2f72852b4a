"""Ending an effect that yields nothing: a silent model, a tool that hangs."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from acp_agent.domain.events import LimitReached
from acp_agent.domain.progress import heard_by

SLACK = 1 / 64
"""Of the time allowed: so much later a block may end. Each word that moved the deadline would set a timer anew."""


@contextmanager
def ended_when_idle(idle: float | None) -> Iterator[anyio.CancelScope]:
    """End the block once nothing has moved in it for `idle` seconds (None: never); `cancelled_caught` says so."""
    longest = None if idle is None else idle * (1 + SLACK)
    with anyio.move_on_after(longest) as scope:

        def hear() -> None:
            if idle is None or longest is None:
                return
            now = anyio.current_time()
            if scope.deadline - now < idle:
                scope.deadline = now + longest

        with heard_by(hear):
            yield scope


def stalled(what: str, idle: float | None) -> LimitReached:
    """The fact that ends such a run: its partial result is kept, and nobody is asked for a last word."""
    return LimitReached(limit="stalled", detail=f"{what} yielded nothing for {idle or 0:g} s.", last_call=False)
