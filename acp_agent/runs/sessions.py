"""Conversations: started, changed, listed and told again; their runs are driven like any other."""

from collections.abc import Sequence

from acp_agent.domain.errors import UsageError
from acp_agent.domain.events import Event
from acp_agent.domain.events_session import SessionChanged, SessionDeleted, SessionStarted
from acp_agent.domain.ports import Journal, NewStream
from acp_agent.domain.run import fold
from acp_agent.domain.session import SessionState, SessionSummary, fold_session
from acp_agent.runs.ids import new_id


class Sessions:
    """The sessions of a store. Whoever changes one is named as the actor of the fact."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def start(self, started: SessionStarted, actor: str) -> str:
        """A new session; returns its id."""
        session_id = new_id("s")
        await self._journal.create([NewStream(stream_id=session_id, kind="session", facts=(started,))], actor)
        return session_id

    async def state(self, session_id: str) -> SessionState:
        """What the next run of a session is asked with. Raises UsageError for one that is unknown or deleted."""
        state = fold_session(await self._journal.events(session_id))
        if not state.session_id or state.deleted:
            raise UsageError(f"there is no session {session_id}")
        return state

    async def change(self, session_id: str, changed: SessionChanged, actor: str) -> SessionState:
        """Change what the next run is asked with; returns the new state."""
        await self._journal.note(session_id, [changed], actor)
        return await self.state(session_id)

    async def delete(self, session_id: str, actor: str) -> None:
        """Take a session out of lists; an unknown or deleted one is none already."""
        state = fold_session(await self._journal.events(session_id))
        if state.session_id and not state.deleted:
            await self._journal.note(session_id, [SessionDeleted()], actor)

    async def listed(self, cwd: str | None, before: tuple[float, str] | None, limit: int) -> Sequence[SessionSummary]:
        """Sessions, the last used first, from after `before` on."""
        return await self._journal.sessions(cwd, before, limit)

    async def runs(self, session_id: str) -> list[str]:
        """Ids of the runs that are the session's conversation, oldest first: those it inherited, then its own."""
        inherited = fold_session(await self._journal.events(session_id)).inherited
        return [*inherited, *await self._journal.runs_of(session_id)]

    async def fork(self, state: SessionState, cwd: str, actor: str) -> str:
        """A new session in `cwd` with the conversation of another, without a run that has not ended; returns its id."""
        runs = await self.runs(state.session_id)
        if runs and fold(await self._journal.events(runs[-1])).ended is None:
            del runs[-1]
        started = SessionStarted(
            cwd=cwd, mode=state.mode, role=state.role, model=state.model, effort=state.effort, inherited=tuple(runs)
        )
        session_id = await self.start(started, actor)
        if state.title:
            await self.change(session_id, SessionChanged(title=state.title), actor)
        return session_id

    async def told(self, session_id: str) -> list[Event]:
        """Every fact of every run of the session, in order."""
        runs = await self.runs(session_id)
        return [event for run_id in runs for event in await self._journal.events(run_id)]
