"""A call that is valid and has not begun: its dry run, its tries, and how an effect is found again or undone."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import anyio

from acp_agent.domain.errors import ToolError
from acp_agent.domain.tool import Intent, ToolResult
from acp_agent.domain.weight import Weight
from acp_agent.tools.registry import Ready, Tool
from acp_agent.tools.workspace import tool_error

TRANSIENT = frozenset({"unavailable", "rate_limited", "busy"})
"""Failures that a second try a moment later may not meet. A timeout is none: it would be waited for again."""
OUTAGES = frozenset({"unavailable", "timeout", "crashed", "protocol", "not_started", "sandbox_failed"})
"""Failures of the tool itself; all others are answers."""
FIRST_PAUSE = 0.2
_TOLD = 300
_MAX_DRY_RUN = 8_000

T = TypeVar("T")


class Finishing(Protocol):
    """Makes a result fit to be recorded and read: secrets masked, output capped."""

    def finished(self, result: ToolResult) -> ToolResult:
        """The result as it may be recorded."""
        ...

    def shown(self, text: str) -> str:
        """`text` as a person may read it."""
        ...


@dataclass(frozen=True, slots=True)
class Prepared:
    """A valid call whose effect has not begun (`domain.ports.Prepared`)."""

    guard: Finishing
    tool: Tool
    ready: Ready
    intent: Intent
    weight: Weight
    arguments: Mapping[str, Any]

    @property
    def preview(self) -> str | None:
        """The diff it would make, for a person who must approve it; None where nobody knows before."""
        return None if self.ready.preview is None else self.guard.shown(self.ready.preview)

    @property
    def originals(self) -> Mapping[str, bytes]:
        """The bytes of the files it will change, by path."""
        return self.ready.originals

    async def rehearse(self) -> str | None:
        """What its dry run says; None where it has none. One that fails says so: it is no reason not to ask."""
        dry_run = self.ready.hooks.dry_run
        if dry_run is None:
            return None
        told, error = await _bounded(self.tool, lambda: dry_run(self.intent.key), self.intent.title)
        text = told if error is None else f"the dry run failed: {error.message}"
        return self.guard.shown(text or "(no output)")[:_MAX_DRY_RUN]

    async def run(self) -> ToolResult:
        """Do it, and again after a transient failure where that is harmless.

        What the tool could not do is a result; only cancellation and bugs raise.
        """
        breaker = self.tool.breaker
        if breaker is None:
            return self.guard.finished(await self._tried())
        try:
            breaker.begin()
        except ToolError as error:
            return self.guard.finished(failed(error))
        result: ToolResult | None = None
        try:
            result = self.guard.finished(await self._tried())
        finally:
            if result is None:
                breaker.release()
        breaker.ended(result.output[:_TOLD] if result.kind in OUTAGES else None)
        return result

    async def _tried(self) -> ToolResult:
        tries = 1 + (self.tool.retries if self.tool.repeatable else 0)
        told: list[str] = []
        while True:
            result = await self._once()
            if result.kind not in TRANSIENT or len(told) + 1 >= tries:
                return result.model_copy(update={"tried": tuple(told)}) if told else result
            told.append(self.guard.shown(f"{result.kind}: {result.output}")[:_TOLD])
            await anyio.sleep(FIRST_PAUSE * 2 ** (len(told) - 1))

    async def _once(self) -> ToolResult:
        result, error = await _bounded(self.tool, lambda: self.ready.run(self.intent.key), self.intent.title)
        return failed(error) if error is not None else result or ToolResult(status="ok", output="")

    async def verify(self) -> bool | None:
        """Whether the effect of a try that was cut off happened; None where nobody can tell."""
        verify = self.ready.hooks.verify
        if verify is None:
            return None
        happened, error = await _bounded(self.tool, lambda: verify(self.intent.key), self.intent.title)
        return None if error is not None else happened

    async def compensate(self) -> ToolResult | None:
        """Undo the effect; None where the tool cannot."""
        compensate = self.ready.hooks.compensate
        if compensate is None:
            return None
        result, error = await _bounded(self.tool, lambda: compensate(self.intent.key), self.intent.title)
        return self.guard.finished(failed(error) if error is not None else result or ToolResult(status="ok", output=""))


async def _bounded(tool: Tool, effect: Callable[[], Awaitable[T]], title: str) -> tuple[T | None, ToolError | None]:
    """What `effect` returns within the tool's time, or why it did not."""
    with anyio.move_on_after(tool.timeout):
        try:
            return await effect(), None
        except ToolError as error:
            return None, error
        except OSError as error:
            return None, tool_error(error, title)
    told = f"{tool.name} took longer than {tool.timeout:g} seconds and was stopped."
    return None, ToolError(told, kind="timeout", retryable=True)


def failed(error: ToolError) -> ToolResult:
    """The result of a call that met `error`."""
    return ToolResult(status="error", output=error.message, kind=error.kind, retryable=error.retryable, hint=error.hint)
