"""Takes back what a run did outside: each call's own compensation, the last call first, on record before and after."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from acp_agent.domain.events_effects import CompensationFinished, CompensationStarted
from acp_agent.domain.ports import Journal, Tools
from acp_agent.domain.request import RunRequest
from acp_agent.domain.tool import ToolResult
from acp_agent.runs.outside import Effect
from acp_agent.runs.parts import ToolsOf

_NOT_THERE = ToolResult(status="error", kind="no_compensation", output="the tool declares no compensate any more")


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What became of one effect: `stays` where nothing takes it back, or nobody can tell whether it happened."""

    step: int
    title: str
    state: Literal["taken_back", "failed", "stays"]
    detail: str


@dataclass(frozen=True, slots=True)
class Compensating:
    """Compensations over the record; `tools` are those that the user's configuration declares now."""

    journal: Journal
    tools: ToolsOf

    async def take_back(
        self, run_id: str, request: RunRequest, place: str, effects: Sequence[Effect], *, unsure: bool, actor: str
    ) -> tuple[TakenBack, ...]:
        """What became of each of `effects`, the last first. One that fails keeps no other from being taken back."""
        if not any(effect.is_due(unsure=unsure) for effect in effects):
            return tuple(map(_stays, reversed(effects)))
        tools = await self.tools(request, place)
        try:
            return tuple([
                await self._one(run_id, tools, effect, actor) if effect.is_due(unsure=unsure) else _stays(effect)
                for effect in reversed(effects)
            ])  # fmt: skip
        finally:
            tools.release()

    async def _one(self, run_id: str, tools: Tools, effect: Effect, actor: str) -> TakenBack:
        of = {"step": effect.step, "call_id": effect.call.call_id, "tool": effect.call.name, "title": effect.title}
        started = CompensationStarted.model_validate({**of, "key": effect.intent.key})
        await self.journal.note(run_id, [started], actor)
        result = await tools.compensate(effect.call, effect.intent) or _NOT_THERE
        finished = CompensationFinished.model_validate({**of, "result": result})
        await self.journal.note(run_id, [finished], actor)
        if result.status == "ok":
            return TakenBack(effect.step, effect.title, "taken_back", result.output)
        what = f"{result.kind}: {result.output}" if result.kind else result.output
        return TakenBack(effect.step, effect.title, "failed", what)


def _stays(effect: Effect) -> TakenBack:
    why = "its tool declares no compensate"
    if effect.intent.compensates:
        what = "whether it was taken back" if effect.taken_back == "begun" else "whether it took effect"
        why = f"nobody can tell {what}; --unsure takes it back all the same"
    return TakenBack(effect.step, effect.title, "stays", why)
