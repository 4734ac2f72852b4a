"""Connections that come and go in a process that outlives them: over HTTP and WebSocket, at an address or a file.

They share the turns of the process, so that a turn goes on whose connection dropped, and whoever loads its session
hears the rest (see `turns`).
"""

import secrets

from anyio.abc import TaskGroup

from acp_agent.app import App
from acp_agent.domain.errors import UsageError
from acp_agent.surfaces.acp.agent import Agent
from acp_agent.surfaces.acp.connection import Connection
from acp_agent.surfaces.acp.faults import answer_to
from acp_agent.surfaces.acp.transport import Transport
from acp_agent.surfaces.acp.turns import Turns

MOST = 64
"""Connections at a time; each may hold a few MiB for a client that does not read."""


class Guest:
    """A connection by an id that nobody can guess; `caller` is the name of the token it came with."""

    def __init__(self, caller: str, connection: Connection) -> None:
        self.id = secrets.token_hex(16)
        self.caller = caller
        self.connection = connection


class Guests:
    """The connections of this process. `group` is that of the turns, and ends after all of them."""

    def __init__(self, app: App, group: TaskGroup, most: int = MOST) -> None:
        self.app = app
        self._turns = Turns(group)
        self._most = most
        self._here: dict[str, Guest] = {}
        self._is_stopping = False

    def __len__(self) -> int:
        return len(self._here)

    def admit(self, caller: str, transport: Transport) -> Guest | None:
        """A new connection, to be given to `host`; None while there are too many, or none is taken any more."""
        if self._is_stopping or len(self._here) >= self._most:
            return None
        agent = Agent(self.app, self._turns)
        connection = Connection(transport, agent.methods(), redact=self.app.redact, cancel=agent.cancel)
        guest = Guest(caller, connection)
        self._here[guest.id] = guest
        return guest

    def find(self, guest_id: str, caller: str) -> Guest | None:
        """The connection of that id, for whoever came with the token that opened it."""
        guest = self._here.get(guest_id)
        return guest if guest is not None and guest.caller == caller else None

    async def host(self, guest: Guest) -> None:
        """Serve a connection until it is over."""
        try:
            await guest.connection.serve()
        except Exception as error:
            # A bug in one connection ends that one.
            answer_to(error, self.app.redact)
        finally:
            del self._here[guest.id]

    def stop(self) -> None:
        """End every connection, and take no more."""
        self._is_stopping = True
        for guest in tuple(self._here.values()):
            guest.connection.stop()

    async def knows_session(self, session_id: str) -> bool:
        """Whether there is such a session."""
        try:
            await self.app.sessions.state(session_id)
        except UsageError:
            return False
        return True
