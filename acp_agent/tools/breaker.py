"""A circuit breaker: a tool that keeps failing for reasons of its own rests for a while, then one call tries it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from acp_agent.domain.errors import ToolError

THRESHOLD = 5
"""Failures in a row that open it."""
REST = 30.0
"""Seconds of the first rest; each further one is twice as long."""
LONGEST_REST = 600.0

Phase = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class Circuit:
    """Where a breaker stands. Pure: the time is given, in seconds of a clock that never goes back.

    `failures` in a row, `openings` without a success between them, `until` when the rest ends (None: closed),
    `trying` whether the one call that a half-open circuit admits is under way.
    """

    failures: int = 0
    openings: int = 0
    until: float | None = None
    trying: bool = False

    def phase(self, now: float) -> Phase:
        """`closed`: calls pass. `open`: none does. `half_open`: one may try."""
        if self.until is None:
            return "closed"
        return "half_open" if now >= self.until else "open"

    def admits(self, now: float) -> bool:
        """Whether a call may begin."""
        phase = self.phase(now)
        return phase == "closed" or (phase == "half_open" and not self.trying)

    def begun(self, now: float) -> "Circuit":
        """After a call that was admitted began."""
        return replace(self, trying=True) if self.phase(now) == "half_open" else self

    def succeeded(self) -> "Circuit":
        """After a call that the tool answered: whatever was wrong is over."""
        return Circuit()

    def failed(self, now: float) -> "Circuit":
        """After a call that the tool could not answer."""
        failures = self.failures + 1
        phase = self.phase(now)
        if phase == "open":
            # It had begun before the circuit opened: no reason to rest longer.
            return replace(self, failures=failures)
        if phase == "closed" and failures < THRESHOLD:
            return replace(self, failures=failures)
        rest = min(REST * 2**self.openings, LONGEST_REST)
        return Circuit(failures, min(self.openings + 1, 32), now + rest)

    def released(self) -> "Circuit":
        """After a call that was cancelled: it tells nothing, and another one may try."""
        return replace(self, trying=False)


class Breaker:
    """The circuit of one tool, shared by all runs of a process that use it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._circuit = Circuit()
        self._why = ""

    @property
    def rests(self) -> bool:
        """Whether the tool is out of reach now."""
        return self._circuit.phase(self._clock()) == "open"

    @property
    def reason(self) -> str:
        """What the tool failed with last, and how often; without a time, so that it only changes with the state."""
        return f"failed {self._circuit.failures} times, last with: {self._why}"

    def begin(self) -> None:
        """A call begins. Raises ToolError(kind="resting") while the tool rests."""
        now = self._clock()
        if not self._circuit.admits(now):
            rest = max(1.0, (self._circuit.until or now) - now)
            raise ToolError(
                f"The tool rests: it {self.reason}.",
                kind="resting",
                retryable=True,
                hint=f"Find another way, or try again in about {rest:.0f} seconds.",
            )
        self._circuit = self._circuit.begun(now)

    def ended(self, failure: str | None) -> None:
        """A call ended; `failure` is what the tool failed with, None where it answered."""
        if failure is None:
            self._circuit = self._circuit.succeeded()
        else:
            self._why = failure
            self._circuit = self._circuit.failed(self._clock())

    def release(self) -> None:
        """A call was cancelled."""
        self._circuit = self._circuit.released()
