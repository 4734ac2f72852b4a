"""How much a client may ask at once: some calls run, some wait their turn, the rest are told that we are busy."""

from collections import deque
from collections.abc import Callable

MOST_TURNS = 64
"""Turns in flight. They take long, so a further one is refused rather than kept waiting."""

MOST_CALLS = 64
"""Other calls in flight; what comes beyond waits until one is done."""

MOST_WAITING = 1000
MOST_BYTES = 256 * 1024 * 1024
"""Size of all requests together that are not yet answered."""

Start = Callable[[], object]


class Admission:
    """Counts calls in flight. Turns never take the place of other calls, so a busy session blocks no listing."""

    def __init__(self) -> None:
        self._turns = 0
        self._calls = 0
        self._bytes = 0
        self._waiting: deque[Start] = deque()

    def admit(self, start: Start, size: int, *, turn: bool) -> bool:
        """Begin a call by `start`, now or when there is room; False when there is too much of everything."""
        if self._bytes + size > MOST_BYTES:
            return False
        if turn:
            if self._turns >= MOST_TURNS:
                return False
            self._turns += 1
        elif self._calls < MOST_CALLS:
            self._calls += 1
        elif len(self._waiting) < MOST_WAITING:
            self._bytes += size
            self._waiting.append(start)
            return True
        else:
            return False
        self._bytes += size
        start()
        return True

    def done(self, size: int, *, turn: bool) -> None:
        """A call that began has been answered; the longest waiting one takes its place."""
        self._bytes -= size
        if turn:
            self._turns -= 1
        elif self._waiting:
            self._waiting.popleft()()
        else:
            self._calls -= 1

    @property
    def others(self) -> int:
        """Calls in flight or waiting that are no turns."""
        return self._calls + len(self._waiting)
