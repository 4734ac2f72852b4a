"""Requests of ours that the client has not answered yet."""

import itertools
from collections.abc import Mapping
from typing import Any, TypeVar

import anyio
import anyio.lowlevel

from acp_agent.surfaces.acp.encode import LONGEST_LINE_OUT, notification_line, one_line, request_line
from acp_agent.surfaces.acp.faults import ClientFault, Disconnected, InvalidParams
from acp_agent.surfaces.acp.fields import Params, parsed
from acp_agent.surfaces.acp.outbox import Outbox
from acp_agent.surfaces.acp.rpc import Code, Response
from acp_agent.surfaces.acp.shrink import fitting_tool_call

R = TypeVar("R", bound=Params)


class _Question:
    """One request and, once it came, its answer."""

    __slots__ = ("answered", "response")

    def __init__(self) -> None:
        self.answered = anyio.Event()
        self.response: Response | None = None


class Asked:
    """Sends requests and hands out their answers; each waits for its own."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._ids = itertools.count(1)
        self._open: dict[int, _Question] = {}
        self.is_gone = False

    async def request(self, method: str, parameters: Mapping[str, Any], reply: type[R]) -> R:
        """The client's answer as a `reply`. A cancelled wait tells the client by `$/cancel_request`.

        Raises ClientFault for an error or a result that is no `reply`, Disconnected when the client is gone.
        """
        if self.is_gone:
            raise Disconnected("the client is gone")
        message_id = next(self._ids)
        line = _fitting_line(message_id, method, parameters)
        question = self._open[message_id] = _Question()
        entry = self._outbox.put(line)
        try:
            await question.answered.wait()
        except anyio.get_cancelled_exc_class():
            if message_id in self._open and not self._outbox.withdraw(entry):
                self._outbox.put(notification_line("$/cancel_request", {"requestId": message_id}))
            raise
        finally:
            self._open.pop(message_id, None)
        return await _result_of(method, question.response, reply)

    def resolve(self, response: Response) -> None:
        """Hand over an answer; one to nothing we asked, or no longer wait for, is ignored."""
        if type(response.id) is int and (question := self._open.pop(response.id, None)) is not None:
            question.response = response
            question.answered.set()

    def disconnect(self) -> None:
        """No answer will come any more."""
        self.is_gone = True
        for question in self._open.values():
            question.answered.set()


def _fitting_line(message_id: int, method: str, parameters: Mapping[str, Any]) -> bytes:
    line = request_line(message_id, method, parameters)
    if len(line) > LONGEST_LINE_OUT and isinstance(parameters.get("toolCall"), Mapping):
        smaller = {**parameters, "toolCall": fitting_tool_call(parameters["toolCall"])}
        line = request_line(message_id, method, smaller)
    if len(line) > LONGEST_LINE_OUT:
        # Cutting what a client should write to a file would damage the file.
        raise ClientFault(f"{method}: {len(line)} bytes are more than a client can take", Code.INVALID_PARAMS)
    return line


async def _result_of(method: str, response: Response | None, reply: type[R]) -> R:
    if response is None:
        # Whoever is being cancelled learns that, and not that the client has left.
        await anyio.lowlevel.checkpoint_if_cancelled()
        raise Disconnected(f"the client left before it answered {method}")
    if response.error is not None:
        code, message = response.error.get("code"), response.error.get("message")
        said = one_line(message) if isinstance(message, str) else "no reason given"
        raise ClientFault(f"{method}: the client answered: {said}", code if type(code) is int else Code.INTERNAL_ERROR)
    result = response.result if isinstance(response.result, Mapping) else {}
    try:
        return parsed(reply, {name: value for name, value in result.items() if name != "_meta"})
    except InvalidParams as error:
        raise ClientFault(f"{method}: the client's answer is not valid: {error.what}", Code.INVALID_PARAMS) from None
