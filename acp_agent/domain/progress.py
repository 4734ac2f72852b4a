"""Signs of life of an effect: words of a model, output of a tool. A heartbeat is none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_HEARD: ContextVar[Callable[[], None] | None] = ContextVar("acp_progress", default=None)


def moved() -> None:
    """Something came of the effect under way; called on its event loop, as often as it likes."""
    told = _HEARD.get()
    if told is not None:
        told()


@contextmanager
def heard_by(hear: Callable[[], None]) -> Iterator[None]:
    """Hear of all that moves in the block, and in the tasks begun in it."""
    token = _HEARD.set(hear)
    try:
        yield
    finally:
        _HEARD.reset(token)
