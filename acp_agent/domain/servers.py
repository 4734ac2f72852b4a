"""MCP servers as a person configured them, ready to be started."""

import hashlib
import json
from typing import Literal

from pydantic import Field

from acp_agent.domain.base import Frozen
from acp_agent.domain.tool import Risk

Source = Literal["user", "project", "client"]


class ToolServer(Frozen):
    """A server to start as a command, or one that answers at `url`; variables are filled in already.

    `risk` holds for its tools, `risks` for single ones by their own name; `timeout` in seconds; `rate` calls a minute.
    `network` opens the network to a command whole, `egress` to the hosts it names, as patterns of domain/egress.py.
    `problem` says why it cannot be used at all, `secrets` are the values that variables stood for.
    """

    name: str
    source: Source = "user"
    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict, repr=False)
    url: str | None = None
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    risk: Risk | None = None
    risks: dict[str, Risk] = Field(default_factory=dict)
    timeout: float = 30.0
    rate: int = 120
    network: bool = False
    egress: tuple[str, ...] = ()
    problem: str | None = None
    secrets: tuple[str, ...] = Field((), repr=False)

    @property
    def identity(self) -> str:
        """What the pins of its tools belong to: a server that is started otherwise is another one. Hex digits."""
        parts = [self.name, self.command, list(self.args), self.url]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
