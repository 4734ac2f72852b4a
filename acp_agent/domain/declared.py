"""Tools that a person declares in their own configuration: a command or an HTTP call, and what is said about it."""

from typing import Any

from pydantic import Field

from acp_agent.domain.base import Frozen
from acp_agent.domain.tool import Risk


class CommandCall(Frozen):
    """A program and its arguments, each with `{name}` for an argument of the call. It reads the arguments as JSON.

    `egress` are the hosts it may reach, as patterns of domain/egress.py.
    """

    argv: tuple[str, ...]
    egress: tuple[str, ...] = ()


class HttpCall(Frozen):
    """A request. `{name}` stands for an argument, quoted as its place demands; headers are complete, secrets included.

    Without a `body` every method but GET sends the arguments as JSON.
    """

    method: str
    url: str
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    body: str | None = None


class DeclaredTool(Frozen):
    """One such tool. `parameters` is a JSON schema of an object; `timeout` in seconds.

    `env` names the variables of ours that its programs are given. `dry_run`, `verify` and `compensate` are programs
    like that of a command, in the same environment.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    risk: Risk
    call: CommandCall | HttpCall
    timeout: float
    repeatable: bool = False
    env: tuple[str, ...] = ()
    dry_run: tuple[str, ...] | None = None
    verify: tuple[str, ...] | None = None
    compensate: tuple[str, ...] | None = None
