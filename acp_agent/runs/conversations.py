"""A conversation as every surface holds it.

A prompt becomes a run, its approvals are asked, its facts and words told.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import anyio

from acp_agent.config.settings import Settings
from acp_agent.domain.budget import Limits
from acp_agent.domain.errors import Refused, UsageError
from acp_agent.domain.events import ApprovalAsked, Event, SessionChanged
from acp_agent.domain.message import Word
from acp_agent.domain.ports import Journal
from acp_agent.domain.request import RunRequest, Workplace
from acp_agent.domain.run import RunState
from acp_agent.domain.session import SessionState
from acp_agent.runs.bus import Bus, Subscription
from acp_agent.runs.instructions import instructions_for
from acp_agent.runs.models import Models
from acp_agent.runs.port import Engine
from acp_agent.runs.runner import Runner
from acp_agent.runs.sessions import Sessions

Verdict = Literal["allow", "always", "deny"]
Ask = Callable[[ApprovalAsked], Awaitable[Verdict]]
Tell = Callable[[Event | Word], None]
TITLE_LENGTH = 80


@dataclass(frozen=True, slots=True)
class Conversations:
    """The sessions of this process: what `acp serve` and `acp chat` do with a prompt."""

    models: Models
    journal: Journal
    sessions: Sessions
    runner: Runner
    engine: Engine
    bus: Bus

    @property
    def settings(self) -> Settings:
        """The user's settings."""
        return self.models.settings

    async def prompt(self, session: SessionState, text: str, tell: Tell, ask: Ask, actor: str) -> RunState:
        """Put `text` to the session and drive the run to its end; `tell` sees every fact and word, in order.

        What an interrupted run left open is closed first. Raises UsageError where there is no model, Refused while
        another process drives a run of the session.
        """
        await self._close_interrupted(session.session_id, actor)
        request = await self.request(session, text)
        run_id = await self.runner.start(request, actor)
        with self.bus.subscribe(run_id) as subscription:
            async with anyio.create_task_group() as group:
                group.start_soon(_forward, subscription, tell)
                state = await self._drive(session.session_id, run_id, ask, actor)
                subscription.close()
        return state

    async def cancel(self, session_id: str, actor: str) -> None:
        """End what the session is doing, if anything."""
        runs = await self.journal.runs_of(session_id)
        if runs and not (await self.runner.state(runs[-1])).ended:
            await self.runner.cancel(self.engine, runs[-1], actor=actor)

    async def request(self, session: SessionState, text: str) -> RunRequest:
        """What a run of the session is asked."""
        role = self.settings.role(session.role)
        chain = self.models.named(flag=session.model, role=session.role)
        if chain is None:
            chain = (await self.models.found()).models
        defaults = Limits()
        return RunRequest(
            prompt=text,
            title=title_of(text),
            workplace=Workplace(kind="inplace", root=session.cwd),
            models=chain,
            session_id=session.session_id,
            project=Path(session.cwd).name,
            role=session.role,
            role_prompt=role.prompt or "",
            instructions=await instructions_for(session.cwd),
            mode=session.mode,
            effort=session.effort,
            limits=Limits(
                max_steps=role.max_steps or defaults.max_steps, max_time=role.max_time, max_cost=role.max_cost
            ),
            attended=True,
        )

    async def _drive(self, session_id: str, run_id: str, ask: Ask, actor: str) -> RunState:
        while True:
            state = await self.engine.drive(run_id)
            if state.waiting_for != "approval" or state.asked is None:
                return state
            await self._answer(session_id, state.asked, run_id, ask, actor)

    async def _answer(self, session_id: str, asked: ApprovalAsked, run_id: str, ask: Ask, actor: str) -> None:
        session = await self.sessions.state(session_id)
        name = name_of(asked)
        verdict: Verdict = "allow" if name in session.allowed else await ask(asked)
        if verdict == "always":
            allowed = (*session.allowed, name)
            await self.sessions.change(session_id, SessionChanged(allowed=allowed), actor)
        decision: Literal["allow", "deny"] = "deny" if verdict == "deny" else "allow"
        try:
            await self.runner.answer(self.engine, run_id, decision, call_id=asked.call_id, note=verdict, actor=actor)
        except Refused:
            # A cancellation, or another surface, was faster: the next look at the run shows what holds.
            if (await self.runner.state(run_id)).waiting_for == "approval":
                raise

    async def _close_interrupted(self, session_id: str, actor: str) -> None:
        runs = await self.journal.runs_of(session_id)
        if not runs or (await self.runner.state(runs[-1])).ended:
            return
        await self.runner.cancel(self.engine, runs[-1], note="interrupted; the conversation went on", actor=actor)
        if not (await self.runner.state(runs[-1])).ended:
            raise Refused(f"another process works on this session ({runs[-1]})", hint=f"acp cancel {runs[-1]}")


async def _forward(subscription: Subscription, tell: Tell) -> None:
    async for item in subscription:
        tell(item)


def title_of(text: str) -> str:
    """A line that names a conversation by its first prompt. Raises UsageError for an empty one."""
    lines = text.strip().splitlines()
    if not lines:
        raise UsageError("the prompt is empty")
    return lines[0][:TITLE_LENGTH]


def name_of(asked: ApprovalAsked) -> str:
    """By which name a person allows such a call always: the tool, for a command the command itself."""
    return f"{asked.tool}: {asked.title}" if asked.tool == "shell" else asked.tool
