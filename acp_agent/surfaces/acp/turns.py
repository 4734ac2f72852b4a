"""The turns that a process drives, whichever of its connections asked for them, and who hears of each.

A turn on stdio ends with its connection, because the process does. Where a process outlives its connections, turns run
in a task group of its own (`Turns(group)`): a connection that drops leaves its turn at work, and the next client that
loads or resumes the session hears the rest of it and is asked what is still to be approved.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.abc import TaskGroup

from acp_agent.domain.events import Event
from acp_agent.domain.message import Word
from acp_agent.domain.tool import call_key
from acp_agent.runs.people import Turn
from acp_agent.surfaces.acp.asked import R
from acp_agent.surfaces.acp.call import Call, Client
from acp_agent.surfaces.acp.faults import Disconnected, InvalidRequest
from acp_agent.surfaces.acp.updates import Narrator

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """How far the record was told to somebody: up to the fact `seq` of a run, by `narrator`."""

    run_id: str
    seq: int
    narrator: Narrator


class LiveTurn:
    """One turn under way. It is told to one client at a time: the one that asked for it, or who took it over."""

    def __init__(self, session_id: str, call: Call) -> None:
        self.session_id = session_id
        self.turn = Turn()
        self.over = anyio.Event()
        self.narrator: Narrator | None = None
        self._audience: Call | Client = call
        self._client = call.client
        self._moved = anyio.Event()
        self.was_taken_over = False
        self._heard = 0
        self._missed: list[tuple[Event | Word, list[Result]]] | None = None
        self._next: Told | None = None

    def is_held_by(self, client: Client) -> bool:
        """Whether `client` may speak for it: whose turn it is, or anybody once that one is gone."""
        return self._client is client or self._client.is_gone

    @property
    def is_orphaned(self) -> bool:
        """Whether the client it is told to is gone."""
        return self._client.is_gone

    async def orphaned_or_over(self) -> None:
        """Wait for the end of the turn, or of the connection it is told to."""
        async with anyio.create_task_group() as group:

            async def end_after(event: anyio.Event) -> None:
                await event.wait()
                group.cancel_scope.cancel()

            group.start_soon(end_after, self.over)
            group.start_soon(end_after, self._client.left)

    @property
    def holder(self) -> str:
        """The client whose turn it is, in words."""
        info = self._client.info
        return "another client" if info is None else f"{info.title or info.name} {info.version}"

    def tell(self, item: Event | Word) -> None:
        """Say what an editor is shown of a fact or a word."""
        assert self.narrator is not None
        updates = [self.narrator.word(item)] if isinstance(item, Word) else self.narrator.fact(item)
        if isinstance(item, Event):
            self._heard = item.seq
        if self._missed is not None:
            self._missed.append((item, updates))
        elif self._next is None:
            self._say(updates)
        elif self._heard >= self._next.seq:
            self._go_on_from(self._next)

    @property
    def client(self) -> Client:
        """The client it is told to."""
        return self._client

    def close(self) -> None:
        """End the cards that are open, of a turn that ends before its run."""
        assert self.narrator is not None
        self._say(self.narrator.close())

    def show_terminal(self, key: str, terminal_id: str) -> None:
        """Show a terminal in the card of the call with that idempotency key, until its result stands there."""
        open_calls = self.narrator.open_calls if self.narrator is not None else ()
        for call_id in open_calls:
            if call_key(self.turn.run_id or "", call_id) == key:
                content = [{"type": "terminal", "terminalId": terminal_id}]
                self.say({"sessionUpdate": "tool_call_update", "toolCallId": call_id, "content": content})

    def say(self, update: Mapping[str, Any]) -> None:
        """Say something else about the session, such as its title."""
        self._audience.session(self.session_id).update(update)

    async def request(self, method: str, parameters: Mapping[str, Any], reply: type[R]) -> R:
        """Ask whoever hears of the turn; after a disconnection the next one who does, however long that takes."""
        while True:
            audience, moved = self._audience, self._moved
            try:
                return await audience.request(method, parameters, reply)
            except Disconnected:
                await moved.wait()

    def pause(self) -> None:
        """Say nothing while somebody reads the record, from which it is told to them first."""
        self._missed = []

    def take_over(self, client: Client, told: "Told | None" = None) -> None:
        """From now on tell `client`, who was `told` of the record (None: nothing) while nothing was said here."""
        missed, self._missed, self._next = self._missed or [], None, None
        if self._client is not client:
            client.take_over(self.session_id)
        self._audience = self._client = client
        self.was_taken_over = True
        moved, self._moved = self._moved, anyio.Event()
        moved.set()
        if told is None or told.run_id != self.turn.run_id or self.narrator is None:
            # What was told ends before this run begins.
            for _, updates in missed:
                self._say(updates)
        elif self._heard >= told.seq:
            later = [item for item, _ in missed if isinstance(item, Event) and item.seq > told.seq]
            for event in later:
                self._say(told.narrator.fact(event))
            self._go_on_from(told)
        else:
            # The record was ahead of what is heard here: words and facts up to there have been told.
            self._next = told
        if self.over.is_set():
            # It came to its end while the record was read.
            client.let_go(self.session_id)

    def end(self) -> None:
        """It is over."""
        self._client.let_go(self.session_id)
        self.over.set()

    def _go_on_from(self, told: "Told") -> None:
        assert self.narrator is not None
        before, self.narrator, self._next = self.narrator, told.narrator, None
        self._say(told.narrator.catch_up(before))

    def _say(self, updates: list[Result]) -> None:
        for update in updates:
            self.say(update)


class Turns:
    """The turns under way, by session. With `group` they outlive the connection that asked for them."""

    def __init__(self, group: TaskGroup | None = None) -> None:
        self._group = group
        self._live: dict[str, LiveTurn] = {}

    def of(self, session_id: str) -> LiveTurn | None:
        """The turn under way in a session."""
        return self._live.get(session_id)

    def check(self, session_id: str, client: Client) -> LiveTurn | None:
        """The turn under way in a session, if `client` may end it. Raises InvalidRequest that names who holds it."""
        live = self._live.get(session_id)
        if live is not None and not live.is_held_by(client):
            raise InvalidRequest(f"{session_id} is worked on by {live.holder}", hint="wait for the end of its turn")
        return live

    async def hold(self, session_id: str, call: Call, work: Callable[[LiveTurn], Awaitable[Result]]) -> Result:
        """Hold a turn by `work` and return its result. Raises InvalidRequest while another one is under way.

        The end of a turn that the client took over is waited for: nothing in the protocol would have told it.
        """
        while (under_way := self._live.get(session_id)) is not None:
            if under_way.was_taken_over and under_way.is_held_by(call.client):
                await under_way.over.wait()
                continue
            whose = "another turn" if under_way.is_held_by(call.client) else f"a turn of {under_way.holder}"
            raise InvalidRequest(f"the session is busy with {whose}", hint="cancel it, or wait for its end")
        live = self._live[session_id] = LiveTurn(session_id, call)
        if self._group is None:
            try:
                return await work(live)
            finally:
                self._ended(live)
        return await self._apart(self._group, live, work)

    async def _apart(self, group: TaskGroup, live: LiveTurn, work: Callable[[LiveTurn], Awaitable[Result]]) -> Result:
        outcome: list[Result | Exception] = []

        async def run() -> None:
            try:
                outcome.append(await work(live))
            except Exception as error:
                outcome.append(error)
            finally:
                self._ended(live)

        group.start_soon(run)
        await live.over.wait()
        if not outcome:
            raise InvalidRequest("the agent is stopping", hint="load the session again")
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def _ended(self, live: LiveTurn) -> None:
        del self._live[live.session_id]
        live.end()
