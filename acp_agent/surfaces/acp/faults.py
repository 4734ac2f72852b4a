"""Errors on the wire: the ones handlers raise for a client, the ones a client causes, and how any error is answered."""

import logging
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from acp_agent.domain.errors import AcpAgentError, NoModel, Refused, UsageError
from acp_agent.domain.redact import Redactor, secrets_of
from acp_agent.surfaces.acp.rpc import Code

_log = logging.getLogger(__name__)

Redact = Callable[[str], str]


class Fault(AcpAgentError):
    """An error with a code of its own on the wire; `hint` becomes `data.details`."""

    code = Code.INTERNAL_ERROR


class InvalidRequest(Fault):
    """The call makes no sense now, such as a second turn in a busy session."""

    code = Code.INVALID_REQUEST


class InvalidParams(Fault):
    """A parameter is missing, of the wrong type or names nothing that can be; the text begins with its name."""

    code = Code.INVALID_PARAMS


class NotFound(Fault):
    """No such session, file or other resource."""

    code = Code.NOT_FOUND


class AuthRequired(Fault):
    """The client has to call `authenticate` first, or a person to provide a key."""

    code = Code.AUTH_REQUIRED


class ClientFault(AcpAgentError):
    """The client answered a request of ours with an error, or with a result that is not one; `code` is its own."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(what)
        self.code = code


class Unsupported(AcpAgentError):
    """A request the client has not advertised; it was not sent."""


class Disconnected(AcpAgentError):
    """The client is gone: a request of ours will never be answered."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The error member of a response."""

    code: int
    message: str
    details: str | None = None


def answer_to(error: BaseException, redact: Redact | None = None) -> Answer:
    """How the call that raised `error` is answered.

    A person's error keeps its words. A bug is logged with its trace; the client is told its type and nothing else.
    """
    hide = redact or Redactor(secrets_of(os.environ))
    known = _known_in(error)
    if known is None:
        name = type(_innermost(error)).__name__
        _log.error("a call failed:\n%s", hide("".join(traceback.format_exception(error))))
        return Answer(Code.INTERNAL_ERROR, f"internal error ({name})", "the agent's log on stderr has the trace")
    return Answer(_code_of(known), hide(known.what), hide(known.hint) if known.hint else None)


def _code_of(error: AcpAgentError) -> int:
    match error:
        case Fault():
            return error.code
        case NoModel():
            return Code.AUTH_REQUIRED
        case UsageError():
            return Code.INVALID_PARAMS
        case Refused():
            return Code.INVALID_REQUEST
        case _:
            return Code.INTERNAL_ERROR


def _known_in(error: BaseException) -> AcpAgentError | None:
    """The error that a person can mend; task groups wrap what their tasks raise."""
    if isinstance(error, BaseExceptionGroup):
        people = error.subgroup(AcpAgentError)
        return _known_in(people.exceptions[0]) if people else None
    return error if isinstance(error, AcpAgentError) else None


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
