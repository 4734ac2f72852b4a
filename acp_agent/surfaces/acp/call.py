"""What a method is given: the call, its client, and the sessions it may speak about."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic

import anyio
from pydantic import BaseModel

from acp_agent.surfaces.acp.asked import Asked, R
from acp_agent.surfaces.acp.faults import Unsupported
from acp_agent.surfaces.acp.fields import P, Params
from acp_agent.surfaces.acp.handshake import Capabilities, ClientInfo, Initialize
from acp_agent.surfaces.acp.ordering import Order
from acp_agent.surfaces.acp.outbox import Outbox
from acp_agent.surfaces.acp.rpc import Request

Result = BaseModel | Mapping[str, Any] | None
"""The result of a call: a model, a JSON object, or None for `{}`."""

Answering = Callable[[P, "Call"], Awaitable[Result]]
AtEnd = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Method(Generic[P]):
    """How a method is answered: its parameters' model and the function that gives the result."""

    parameters: type[P]
    answer: Answering[P]


class Client:
    """The other end of a connection: what it can do, and ways to reach it besides calls; `left` once it is over."""

    def __init__(self, order: Order, asked: Asked, outbox: Outbox) -> None:
        self._order = order
        self._asked = asked
        self._outbox = outbox
        self.capabilities = Capabilities()
        self.info: ClientInfo | None = None
        self.left = anyio.Event()

    def met(self, parameters: Initialize) -> None:
        """Remember what the client said of itself in `initialize`."""
        self.capabilities = parameters.client_capabilities or Capabilities()
        self.info = parameters.client_info

    @property
    def is_gone(self) -> bool:
        """Whether the connection is over: nobody hears or answers any more."""
        return self.left.is_set()

    def take_over(self, session_id: str) -> None:
        """A turn of that session, which another client asked for, is told here from now on, until `let_go`."""
        self._order.take_over(session_id)

    def let_go(self, session_id: str) -> None:
        """That turn is over; nothing for a session whose turn was asked for here."""
        self._order.let_go(session_id)

    def session(self, session_id: str) -> "SessionUpdates":
        """Updates of a session that belong to no call, such as a title found later. See `Order` for when they go."""
        return SessionUpdates(self._order, self._outbox, session_id, None)

    async def request(self, method: str, parameters: Mapping[str, Any], reply: type[R]) -> R:
        """Ask the client, as `Call.request` does."""
        if not self.capabilities.allows(method):
            raise Unsupported(f"the client does not offer {method}")
        return await self._asked.request(method, parameters, reply)


class SessionUpdates:
    """Says things about one session. In order, and never waits for the reader."""

    __slots__ = ("_call", "_order", "_outbox", "session_id")

    def __init__(self, order: Order, outbox: Outbox, session_id: str, call: "Call | None") -> None:
        self._order = order
        self._outbox = outbox
        self._call = call
        self.session_id = session_id

    def update(self, update: Mapping[str, Any]) -> None:
        """Say `update`: an object with `sessionUpdate` and the fields of its kind. Never blocks, never raises."""
        self._order.update(self._call, self.session_id, update)

    async def room(self) -> None:
        """Wait until the reader has nearly caught up.

        Only a replay needs it: of what is said without waiting, words beyond 16 MiB that the reader has not taken yet
        are left out.
        """
        await self._outbox.room()


class Call:
    """One request of the client, while it is answered.

    `meta` is the request's `_meta`. `cancelled` is set when the client cancels the turn (`session/cancel`, or
    `$/cancel_request` for a prompt): stop, and return the stop reason `cancelled`. Any other call is cancelled from
    outside, by anyio's cancellation; so is every call when the connection ends. `answered` is set once the answer is
    queued.
    """

    def __init__(self, request: Request, parameters: Params, client: Client) -> None:
        self.id = request.id
        self.method = request.method
        self.meta = request.meta
        self.client = client
        self.cancelled = anyio.Event()
        self.answered = anyio.Event()
        self.scope = anyio.CancelScope()
        self.at_end: list[AtEnd] = []
        named = getattr(parameters, "session_id", None)
        self.session_id: str | None = named if isinstance(named, str) else None

    def session(self, session_id: str) -> SessionUpdates:
        """Updates on behalf of this call."""
        return SessionUpdates(self.client._order, self.client._outbox, session_id, self)

    async def request(self, method: str, parameters: Mapping[str, Any], reply: type[R]) -> R:
        """Ask the client and wait for its answer, a `reply`. Cancelling the wait cancels the request.

        Raises Unsupported when the client has not advertised `method` (nothing is sent then), ClientFault when it
        answers with an error or nonsense, Disconnected when it is gone.
        """
        return await self.client.request(method, parameters, reply)

    def on_end(self, callback: AtEnd) -> None:
        """Await `callback` once the answer is queued or the call was cut off: shielded, for at most 1.5 seconds."""
        self.at_end.append(callback)
