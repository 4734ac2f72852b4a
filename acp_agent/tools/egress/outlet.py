"""The network of one run: which hosts, and the proxy through which its sandboxed commands find them."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import anyio.to_thread

from acp_agent.domain.egress import AllowList
from acp_agent.tools.egress.network import Network, Record
from acp_agent.tools.sandbox.model import EGRESS_SOCKET, SYSTEM, Egress, Level, Sandbox

BRIDGE = Path(__file__).with_name("bridge.py")
PORT = 3128
"""Of the bridge, in a network namespace that the command has to itself."""
LEVELS = ("bwrap",)
"""Where a way out can be given that is no wider than its hosts."""
SHOWN_HOSTS = 30


@dataclass(frozen=True, slots=True)
class Outlet:
    """The way out and the hosts allowed to a run."""

    network: Network
    allowed: AllowList

    @property
    def is_open(self) -> bool:
        """Whether any host can be reached."""
        return bool(self.allowed.patterns)

    def hosts(self) -> str:
        """The hosts in one line, as a model reads them."""
        names = [str(pattern) for pattern in self.allowed.patterns]
        more = f" and {len(names) - SHOWN_HOSTS} more" if len(names) > SHOWN_HOSTS else ""
        return ", ".join(names[:SHOWN_HOSTS]) + more

    @asynccontextmanager
    async def for_command(self, sandbox: Sandbox, level: Level) -> AsyncIterator[tuple[Sandbox, Record]]:
        """`sandbox` with a proxy that lives as long as the block, and what is asked of it.

        Where there is nothing to allow, the network is open anyway, or the level could not hold the way out to its
        hosts, it is `sandbox` as it was.
        """
        if not self.is_open or sandbox.network or level not in LEVELS:
            yield sandbox, Record()
            return
        # Most processes never open one.
        from acp_agent.tools.egress.proxy import open_proxy

        bridge, files = await anyio.to_thread.run_sync(_bridge)
        async with open_proxy(self.network, self.allowed) as proxy:
            egress = Egress(socket=proxy.socket, bridge=bridge)
            yield replace(sandbox, egress=egress, readable=(*sandbox.readable, *files)), proxy.record


CLOSED = Outlet(Network(), AllowList())


def _bridge() -> tuple[tuple[str, ...], list[Path]]:
    """The bridge's words, and what they need to be read inside: itself, and the Python that runs it."""
    prefix = Path(os.path.realpath(sys.base_prefix))
    is_shown = any(prefix.is_relative_to(folder) for folder in SYSTEM)
    words = (os.path.realpath(sys.executable), "-I", "-S", str(BRIDGE), str(EGRESS_SOCKET), str(PORT))
    return words, [BRIDGE] if is_shown else [BRIDGE, prefix]
