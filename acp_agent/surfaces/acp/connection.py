"""One connection with one client: reads messages, answers each request exactly once, keeps what is said in order."""

import logging
import math
import os
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from acp_agent.surfaces.acp.admission import Admission
from acp_agent.surfaces.acp.asked import Asked
from acp_agent.surfaces.acp.call import Call, Client, Method
from acp_agent.surfaces.acp.encode import LONGEST_LINE_OUT, error_line, plain_object, result_line
from acp_agent.surfaces.acp.faults import Answer, InvalidParams, Redact, answer_to
from acp_agent.surfaces.acp.fields import Params, parsed
from acp_agent.surfaces.acp.first import initialize_result
from acp_agent.surfaces.acp.framing import Oversized
from acp_agent.surfaces.acp.handshake import Initialize
from acp_agent.surfaces.acp.ordering import ENDING, TURN, Order
from acp_agent.surfaces.acp.outbox import Outbox
from acp_agent.surfaces.acp.params import Cancel, CancelRequest
from acp_agent.surfaces.acp.rpc import Code, Identifier, Malformed, Notification, Request, Response, message_of
from acp_agent.surfaces.acp.transport import Transport

_log = logging.getLogger(__name__)

CancelElsewhere = Callable[[str, Client], Awaitable[None]]
"""Ends the turn of a session that a client speaks for without having asked for it."""

GRACE = 1.5
"""Seconds that what must be finished after a cancellation gets."""

_AT_ONCE = 32
_SHORT_CALLS = 0.2
_FLUSH = 0.2
_MOST_UNREAD = 32 * 1024 * 1024
"""Bytes of answers that a client may leave unread before we stop reading what it asks."""


class Connection:
    """Speaks the protocol over a transport and calls `methods`, which know nothing of lines, ids or order.

    A method has typed parameters, gets its `Call` and returns its result::

        async def prompt(parameters: Prompt, call: Call) -> dict[str, str]:
            session = call.session(parameters.session_id)
            session.update({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "Hello"}})
            asked = {"sessionId": parameters.session_id, "toolCall": {"toolCallId": "t1"}, "options": [...]}
            reply = await call.request("session/request_permission", asked, PermissionReply)
            return {"stopReason": "cancelled" if call.cancelled.is_set() else "end_turn"}

        connection = Connection(transport, {"session/prompt": Method(Prompt, prompt)}, initialized=start.initialized)
        await connection.serve()

    `initialize`, `session/cancel` and `$/cancel_request` are handled here, and so is everything a client can do wrong:
    a method is only called with parameters of its model, and `_meta` can never pass for one (it is `call.meta`).

    What it raises is answered: a Fault with its own code, UsageError with -32602, Refused with -32600, any other
    AcpAgentError with -32603, each with its words and its hint as `data.details`. Anything else is a bug: logged with
    its trace, answered with -32603 and the name of its type.

    Order. Requests run side by side and are answered as they finish. `update` never waits; updates of a session go out
    in the order they were given, all of a turn before its answer and none after it, all of a replay before the answer
    to `session/load`, and what is said about a new session after the answer that announces it (see `Order`). While the
    client reads too slowly, waiting updates are merged (see `Outbox`); a replay calls `await session.room()` between
    its updates instead.

    Cancelling. A turn is asked to stop: `call.cancelled` is set, and it returns its stop reason; a wait for the client
    inside it is best put in a scope that is cancelled then, which withdraws the question. Any other call is cancelled
    and answered with -32800. `session/close` and `session/delete` ask the session's turn to stop, and are called once
    it is answered. A `session/cancel` for a session without a turn of this connection goes to `cancel`, if it is given:
    the process may be at work on a turn that was asked for on another one.

    End. `serve` returns after the end of input, `stop`, or when nobody reads any more: short calls get a moment to
    finish after the end of input, then every call is cancelled as anyio does it. What must still be recorded goes
    into a shielded scope or `call.on_end`, and gets 1.5 seconds. An answer of a call cut off so is -32800.
    """

    def __init__(
        self,
        transport: Transport,
        methods: Mapping[str, Method[Any]],
        *,
        initialized: Mapping[str, Any] | None = None,
        redact: Redact | None = None,
        cancel: CancelElsewhere | None = None,
    ) -> None:
        self._transport = transport
        self._methods = methods
        self._redact = redact
        self._cancel_elsewhere = cancel
        self._outbox = Outbox()
        self._order = Order(self._outbox.update)
        self._asked = Asked(self._outbox)
        self._admission = Admission()
        self._calls: dict[tuple[str, Identifier], Call] = {}
        self._initialized = initialized is not None
        self._hurry = False
        self._settled = anyio.Event()
        self._group: TaskGroup | None = None
        self.client = Client(self._order, self._asked, self._outbox)
        self.over = self.client.left
        if initialized is not None:
            self.client.met(parsed(Initialize, initialized))

    @property
    def dropped(self) -> int:
        """Updates that came too late and were not written."""
        return self._order.dropped

    async def serve(self) -> None:
        """Answer the client until the connection is over."""
        async with anyio.create_task_group() as ends:
            ends.start_soon(self._write)
            async with anyio.create_task_group() as self._group:
                ends.start_soon(self._read)
                await self.over.wait()
                await self._let_short_calls_finish()
                self._group.cancel_scope.cancel()
                self._asked.disconnect()
            with anyio.move_on_after(_FLUSH):
                await self._outbox.emptied()
            self._outbox.close()
            ends.cancel_scope.cancel()

    def stop(self) -> None:
        """End the connection from our side, now."""
        self._hurry = True
        self.over.set()

    async def _read(self) -> None:
        try:
            while lines := await self._transport.receive():
                for number, line in enumerate(lines, start=1):
                    self._take(line)
                    if number % _AT_ONCE == 0:
                        # Short calls come to their end here, so that only long ones add up.
                        await anyio.lowlevel.checkpoint()
                if self._outbox.weight > _MOST_UNREAD:
                    await self._outbox.room()
        except OSError as error:
            _log.warning("cannot read from the client: %s", error)
        self.over.set()

    async def _write(self) -> None:
        try:
            await self._outbox.run(self._transport.send)
        except OSError as error:
            _log.info("nobody reads any more: %s", error)
            self._outbox.close()
            self.stop()

    async def _let_short_calls_finish(self) -> None:
        with anyio.move_on_after(_SHORT_CALLS):
            while self._admission.others and not self._hurry:
                self._settled = anyio.Event()
                await self._settled.wait()

    def _take(self, line: bytes | Oversized) -> None:
        match message_of(line):
            case Request() as request:
                self._requested(request, len(line) if isinstance(line, bytes) else 0)
            case Notification() as notification:
                self._notified(notification)
            case Response() as response:
                self._asked.resolve(response)
            case Malformed() as malformed:
                self._refuse(malformed.id, malformed.code, malformed.message)

    def _requested(self, request: Request, size: int) -> None:
        method = self._methods.get(request.method)
        try:
            if request.method == "initialize":
                self._initialize(request)
            elif not self._initialized:
                self._refuse(request.id, Code.INVALID_REQUEST, "initialize comes first")
            elif self.over.is_set():
                self._refuse(request.id, Code.INVALID_REQUEST, "the agent is stopping")
            elif method is None:
                self._refuse(request.id, Code.METHOD_NOT_FOUND, f"method not found: {request.method[:100]}")
            elif _key(request.id) in self._calls:
                self._refuse(request.id, Code.INVALID_REQUEST, "id: belongs to a request that is not answered yet")
            else:
                self._begin(request, method, parsed(method.parameters, request.parameters), size)
        except InvalidParams as error:
            self._refuse(request.id, error.code, error.what)

    def _initialize(self, request: Request) -> None:
        if self._initialized:
            self._refuse(request.id, Code.INVALID_REQUEST, "initialize was answered before")
            return
        self.client.met(parsed(Initialize, request.parameters))
        self._initialized = True
        self._outbox.put(result_line(request.id, initialize_result(request.parameters, os.environ)))

    def _begin(self, request: Request, method: Method[Any], parameters: Params, size: int) -> None:
        assert self._group is not None
        call = Call(request, parameters, self.client)
        start = partial(self._group.start_soon, self._run, call, method, parameters, size)
        if not self._admission.admit(start, size, turn=call.method == TURN):
            self._refuse(request.id, Code.INTERNAL_ERROR, "busy: too many requests are not answered yet; ask again")
            return
        # It has not run yet: a new task waits for its first turn, so the order learns of it in time.
        self._calls[_key(call.id)] = call
        self._order.begin(call)
        if call.method in ENDING:
            self._cancel_turns(call.session_id)

    async def _run(self, call: Call, method: Method[Any], parameters: Params, size: int) -> None:
        try:
            with call.scope:
                await self._answer(call, method, parameters)
        finally:
            self._admission.done(size, turn=call.method == TURN)
            self._settled.set()
            await self._finish(call)

    async def _answer(self, call: Call, method: Method[Any], parameters: Params) -> None:
        try:
            await anyio.lowlevel.checkpoint_if_cancelled()
            if call.method in ENDING:
                for turn in self._turns(call.session_id):
                    await turn.answered.wait()
            result = plain_object(await method.answer(parameters, call))
        except anyio.get_cancelled_exc_class():
            reason = "the agent is stopping" if self.over.is_set() else "cancelled"
            self._fail(call, Answer(Code.REQUEST_CANCELLED, reason))
            if anyio.current_effective_deadline() == -math.inf:
                raise
            # Nobody cancelled this call: something it awaited was, which is an error like any other.
            _log.error("call of %s was cancelled from within", call.method)
        except Exception as error:
            self._fail(call, answer_to(error, self._redact))
        else:
            self._succeed(call, result)

    def _succeed(self, call: Call, result: dict[str, Any]) -> None:
        line = result_line(call.id, result)
        if len(line) > LONGEST_LINE_OUT:
            _log.error("the answer to %s has %d bytes, too many for a client", call.method, len(line))
            self._fail(call, Answer(Code.INTERNAL_ERROR, "the answer is larger than 8 MiB"))
        else:
            self._end(call, line, result)

    def _fail(self, call: Call, answer: Answer) -> None:
        self._end(call, error_line(call.id, answer.code, answer.message, answer.details), None)

    def _end(self, call: Call, line: bytes, result: dict[str, Any] | None) -> None:
        self._outbox.put(line)
        self._order.end(call, result)
        call.answered.set()
        del self._calls[_key(call.id)]

    async def _finish(self, call: Call) -> None:
        with anyio.move_on_after(GRACE, shield=True):
            for callback in call.at_end:
                try:
                    await callback()
                except Exception as error:
                    answer_to(error, self._redact)

    def _refuse(self, message_id: Identifier, code: Code, message: str) -> None:
        self._outbox.put(error_line(message_id, code, message))

    def _notified(self, notification: Notification) -> None:
        try:
            match notification.method:
                case "session/cancel":
                    self._cancelled(parsed(Cancel, notification.parameters).session_id)
                case "$/cancel_request":
                    self._cancel(parsed(CancelRequest, notification.parameters).request_id)
                case _:
                    _log.debug("unknown notification %s", notification.method[:100])
        except InvalidParams as error:
            _log.debug("%s: %s", notification.method, error.what)

    def _cancelled(self, session_id: str) -> None:
        if self._turns(session_id) or self._cancel_elsewhere is None or self._group is None:
            self._cancel_turns(session_id)
        else:
            self._group.start_soon(self._cancel_there, self._cancel_elsewhere, session_id)

    async def _cancel_there(self, cancel: CancelElsewhere, session_id: str) -> None:
        try:
            await cancel(session_id, self.client)
        except Exception as error:
            # Nobody is told: a notification has no answer.
            answer_to(error, self._redact)

    def _turns(self, session_id: str | None) -> list[Call]:
        return [call for call in self._calls.values() if call.method == TURN and call.session_id == session_id]

    def _cancel_turns(self, session_id: str | None) -> None:
        for turn in self._turns(session_id):
            turn.cancelled.set()

    def _cancel(self, message_id: Identifier) -> None:
        call = self._calls.get(_key(message_id))
        if call is None:
            return
        if call.method == TURN:
            # A turn says itself how far it came.
            call.cancelled.set()
        else:
            call.scope.cancel()


def _key(message_id: Identifier) -> tuple[str, Identifier]:
    # Python finds 1 and True equal; a client that counts in strings is another matter again.
    return type(message_id).__name__, message_id
