"""The three families of errors (docs/architecture.md, section 9). Standard library only.

The fast commands import it.
"""

from enum import IntEnum, StrEnum


class ExitCode(IntEnum):
    """What the process says to a script; the table stands in docs/architecture.md, section 7."""

    OK = 0
    FAILED = 1
    USAGE = 2
    LIMIT = 3
    WAITS = 4
    NOTHING = 5
    REFUSED = 6
    INTERRUPTED = 130
    TERMINATED = 143


class AcpAgentError(Exception):
    """Something a person can mend: what went wrong, a `hint` that says what to do next, and the exit code."""

    exit_code = ExitCode.FAILED

    def __init__(self, what: str, *, hint: str | None = None, exit_code: ExitCode | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code


class UsageError(AcpAgentError):
    """A wrong argument or configuration; names the file, line, key or option."""

    exit_code = ExitCode.USAGE


class NotRecorded(AcpAgentError):
    """The record cannot be written now: whoever drives stops, and the run waits where it is on record."""

    exit_code = ExitCode.WAITS


class NoModel(UsageError):
    """No model is configured and none was found."""


class NothingSelected(AcpAgentError):
    """The selection is empty, or there is nothing to do."""

    exit_code = ExitCode.NOTHING


class Refused(AcpAgentError):
    """Refused before anything was spent or changed."""

    exit_code = ExitCode.REFUSED


class Held(Refused):
    """A person stopped everything: nothing begins until somebody lifts the hold."""


class ToolError(Exception):
    """An error the model reads and may mend; the run goes on.

    `kind` is a short stable word (`not_found`, `stale`, `outside`, `invalid_arguments`...), `hint` says what to try
    next.
    """

    def __init__(self, message: str, *, kind: str = "failed", retryable: bool = False, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.retryable = retryable
        self.hint = hint


class ModelFault(StrEnum):
    """Why a model gave no reply; the classes a chain decides on."""

    RATE_LIMIT = "rate_limit"
    QUOTA = "quota"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    NETWORK = "network"
    SERVER = "server"
    CUT = "cut"
    MALFORMED = "malformed"
    EMPTY = "empty"
    CONTEXT_LENGTH = "context_length"
    AUTH = "auth"
    NOT_FOUND = "not_found"
    BAD_REQUEST = "bad_request"
    LOST = "lost"


TRANSIENT_FAULTS = frozenset(
    {
        ModelFault.RATE_LIMIT,
        ModelFault.OVERLOADED,
        ModelFault.TIMEOUT,
        ModelFault.NETWORK,
        ModelFault.SERVER,
        ModelFault.CUT,
        ModelFault.MALFORMED,
        ModelFault.EMPTY,
        ModelFault.LOST,
    }
)
"""Faults that the same model may recover from; the others only another model can."""


class ModelError(Exception):
    """A model call that gave no reply. `retry_after` is in seconds where the provider said it; `status` is HTTP's."""

    def __init__(
        self, message: str, *, fault: ModelFault, retry_after: float | None = None, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.fault = fault
        self.retry_after = retry_after
        self.status = status


class Fenced(Exception):
    """A write of a driver that no longer owns its stream; it was kept aside as `late_result`."""


class OverBudget(Exception):
    """A reservation that a budget refused; nothing was written.

    `scope` names the budget, `outstanding` the US dollars that other calls have set aside in it and may give back.
    """

    def __init__(self, scope: str, outstanding: float = 0.0) -> None:
        super().__init__(scope)
        self.scope = scope
        self.outstanding = outstanding
