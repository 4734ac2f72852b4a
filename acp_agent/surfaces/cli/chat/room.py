"""The agent beside the terminal: the app on an event loop of its own thread, and the one session that is talked to."""

import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from acp_agent.app import App, open_app
from acp_agent.config.offered_commands import CommandFiles
from acp_agent.config.settings import DEFAULT_ROLE, resolve_chain
from acp_agent.config.skills import Skills
from acp_agent.domain.budget import Spent
from acp_agent.domain.errors import NothingSelected, UsageError
from acp_agent.domain.events import Event
from acp_agent.domain.events_session import SessionChanged, SessionStarted
from acp_agent.domain.policy import Mode
from acp_agent.domain.session import SessionState
from acp_agent.fleet.undo import Outcome
from acp_agent.runs.past import Past
from acp_agent.surfaces.cli.text import one_line

R = TypeVar("R")
LOOK = 100
"""Sessions looked at in one go."""


@dataclass(frozen=True)
class Wish:
    """What the command line asks for; None leaves it as it is. `resume` is an id, its beginning, or `last`."""

    directory: str | None = None
    model: str | None = None
    role: str | None = None
    mode: Mode | None = None
    resume: str | None = None


@dataclass
class Room:
    """The app as the main thread uses it, and the session; a new one is on record from its first message on."""

    portal: BlockingPortal
    app: App
    session: SessionState = field(default_factory=SessionState)

    @property
    def actor(self) -> str:
        """Who is named in the facts of a person here."""
        return self.app.conversations.actor

    def call(self, function: Callable[..., Awaitable[R]], *arguments: object) -> R:
        """The result of an async function; an interruption cancels it."""
        future = self.portal.start_task_soon(function, *arguments)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def enter(self, wish: Wish) -> None:
        """Take up the session that is wished for. Raises UsageError, and NothingSelected where there is none."""
        changed = SessionChanged(mode=wish.mode, role=wish.role, model=wish.model)
        if wish.role is not None:
            self.app.settings.role(wish.role)
        if wish.model is not None:
            resolve_chain(self.app.settings, wish.model)
        if wish.resume is None:
            cwd = _directory(wish.directory or ".")
            self.session = SessionState(
                cwd=cwd, mode=wish.mode or Mode.ASK, role=wish.role or DEFAULT_ROLE, model=wish.model
            )
            return
        self.session = self.call(self._found, wish.resume, wish.directory)
        if not os.path.isdir(self.session.cwd):
            raise UsageError(f"the directory of {self.session.session_id} is gone: {self.session.cwd}")
        if changed != SessionChanged():
            self.change(changed)

    def begin(self) -> None:
        """Put a new session on record."""
        if self.session.session_id:
            return
        state = self.session
        started = SessionStarted(cwd=state.cwd, mode=state.mode, role=state.role, model=state.model)
        session_id = self.call(self.app.sessions.start, started, self.actor)
        self.session = self.call(self.app.sessions.state, session_id)

    def change(self, changed: SessionChanged) -> None:
        """Change what the next turn is asked with."""
        self.begin()
        self.session = self.call(self.app.sessions.change, self.session.session_id, changed, self.actor)

    def refresh(self) -> None:
        """Take over what others, or an approval, changed."""
        self.session = self.call(self.app.sessions.state, self.session.session_id)

    def told(self) -> list[Event]:
        """The whole conversation so far."""
        return self.call(self.app.sessions.told, self.session.session_id) if self.session.session_id else []

    def skills(self) -> Skills:
        """The skills on offer here."""
        return self.app.conversations.skills(self.session.cwd)

    def model(self) -> tuple[tuple[str, ...], str]:
        """The chain the next turn asks, and why that one. Raises UsageError where there is none."""
        return self.call(self._model)

    def undo(self, *, back: bool) -> Outcome:
        """Take back what the newest turn with changes did, or bring the last undo back. Raises NothingSelected."""
        return self.call(self._undone, back)

    def spent(self) -> tuple[int, Past, Spent]:
        """Turns, money and tokens of the session."""
        if not self.session.session_id:
            return 0, Past(), Spent()
        return self.call(self.app.conversations.spent, self.session.session_id)

    def commands(self) -> CommandFiles:
        """The command files on offer here."""
        return self.app.conversations.commands(self.session.cwd)

    async def _model(self) -> tuple[tuple[str, ...], str]:
        models, session = self.app.models, self.session
        chain = models.named(flag=session.model, role=session.role)
        if chain is None:
            choice = await models.found()
            return choice.models, choice.rows[-1].source
        if session.model is not None:
            return chain, "chosen" if session.model in chain else f"alias {session.model}"
        if self.app.environ.get("ACP_MODEL"):
            return chain, "ACP_MODEL"
        return chain, f"role {session.role}" if self.app.settings.role(session.role).model else "config.toml"

    async def _undone(self, back: bool) -> Outcome:
        session_id = self.session.session_id
        if not session_id:
            raise NothingSelected("nothing was said in this session yet")
        return await self.app.undo.of_session(session_id, back=back)

    async def _found(self, name: str, directory: str | None) -> SessionState:
        cwd = None if directory is None else _directory(directory)
        if name == "last":
            place = cwd or _directory(".")
            listed = await self.app.sessions.listed(place, None, 1)
            if not listed:
                raise NothingSelected(f"there is no session in {place} yet", hint="acp chat starts one")
            return await self._usable(listed[0].session_id, None)
        return await self._usable(await self._full(name), cwd)

    async def _full(self, name: str) -> str:
        """The id of the one session that `name` is the beginning of."""
        found: list[str] = []
        before: tuple[float, str] | None = None
        while page := await self.app.sessions.listed(None, before, LOOK):
            found += [row.session_id for row in page if row.session_id.startswith(name)]
            before = (page[-1].updated_at, page[-1].session_id)
        if name in found:
            return name
        if not found:
            raise UsageError(f"there is no session {name}", hint="acp chat --resume goes on with the last one here")
        if len(found) > 1:
            raise UsageError(f"{one_line(name)} begins {len(found)} sessions: {', '.join(found[:5])}", hint="give more")
        return found[0]

    async def _usable(self, session_id: str, cwd: str | None) -> SessionState:
        state = await self.app.sessions.state(session_id)
        if cwd is not None and cwd != state.cwd:
            raise UsageError(f"{session_id} works in {state.cwd}, not in {cwd}", hint="leave the directory out")
        return state


@contextmanager
def open_room() -> Iterator[Room]:
    """The room, until the block ends. Raises UsageError for bad settings."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(open_app(os.environ, Path.cwd())) as app,
    ):
        yield Room(portal, app)


def _directory(given: str) -> str:
    path = os.path.realpath(os.path.expanduser(given))
    if not os.path.isdir(path):
        raise UsageError(f"{given!r} is not a directory", hint="acp chat [DIR]")
    return path
