"""How this process reaches a host for a run: allowed, looked up once, checked, dialled; and what came of it."""

import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import anyio
from anyio.abc import SocketStream

from acp_agent.domain.egress import AllowList, Endpoint, is_address, is_public
from acp_agent.domain.errors import ToolError
from acp_agent.domain.tool import NetworkUse

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host name, as text. Raises OSError where there are none."""
ADDRESSES_TRIED = 4
SHOWN = 40


async def system_addresses(host: str, port: int) -> list[str]:
    """What the system's resolver says, in its order."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Record:
    """The hosts that one call reached and those it was refused, each once, in the order met."""

    def __init__(self) -> None:
        self._reached: dict[str, None] = {}
        self._refused: dict[str, None] = {}
        self._failed: dict[str, None] = {}

    def reached(self, endpoint: Endpoint) -> None:
        """A connection was made."""
        self._reached[str(endpoint)] = None

    def refused(self, asked: str) -> None:
        """`asked` is a host with the reason, in a few words."""
        self._refused[asked] = None

    def failed(self, endpoint: Endpoint) -> None:
        """It has no address, or does not answer."""
        self._failed[str(endpoint)] = None

    def taken(self) -> NetworkUse | None:
        """`use`, and from now on what comes after it."""
        use = self.use()
        for asked in (self._reached, self._refused, self._failed):
            asked.clear()
        return use

    def use(self) -> NetworkUse | None:
        """What to tell of it; None where nothing was asked for."""
        if not (self._reached or self._refused or self._failed):
            return None
        return NetworkUse(reached=_first(self._reached), refused=_first(self._refused), failed=_first(self._failed))


def _first(asked: dict[str, None]) -> tuple[str, ...]:
    more = (f"and {len(asked) - SHOWN} more",) if len(asked) > SHOWN else ()
    return (*list(asked)[:SHOWN], *more)


@dataclass(frozen=True, slots=True)
class Network:
    """The way out. `private` names the hosts whose private addresses a person allowed; `connect_time` in seconds."""

    private: AllowList = field(default_factory=AllowList)
    resolve: Resolve = system_addresses
    connect_time: float = 15.0

    async def addresses(self, endpoint: Endpoint, allowed: AllowList, record: Record) -> list[str]:
        """The checked addresses of an allowed host, from one look-up.

        Raises ToolError of kind `egress_refused`, or `no_such_host` where it has none.
        """
        if not allowed.allows(endpoint):
            raise _refused(endpoint, record, "not allowed", "Only the allowed hosts can be reached.")
        found = [endpoint.host] if is_address(endpoint.host) else await self._looked_up(endpoint, record)
        if not self.private.allows(endpoint) and not all(is_public(address) for address in found):
            # One private address among public ones is refused too: it is how a name is rebound.
            raise _refused(endpoint, record, "private address", "It leads into a private network.")
        return found[:ADDRESSES_TRIED]

    async def _looked_up(self, endpoint: Endpoint, record: Record) -> list[str]:
        try:
            with anyio.fail_after(self.connect_time):
                # A link-local address comes with its zone, which is not part of it.
                found = [address.partition("%")[0] for address in await self.resolve(endpoint.host, endpoint.port)]
        except (OSError, UnicodeError):
            found = []
        if not found:
            record.failed(endpoint)
            raise ToolError(f"{endpoint.host} has no address here.", kind="no_such_host", retryable=True)
        return found

    async def connect(self, endpoint: Endpoint, allowed: AllowList, record: Record) -> SocketStream:
        """A connection to an allowed host, at an address that was checked.

        Raises ToolError as `addresses` does, and of kind `no_answer` where no address takes the connection.
        """
        for address in await self.addresses(endpoint, allowed, record):
            try:
                with anyio.fail_after(self.connect_time):
                    stream = await anyio.connect_tcp(address, endpoint.port)
            except OSError:
                continue
            record.reached(endpoint)
            return stream
        record.failed(endpoint)
        raise ToolError(f"{endpoint} does not answer.", kind="no_answer", retryable=True)


def _refused(endpoint: Endpoint, record: Record, why: str, told: str) -> ToolError:
    record.refused(f"{endpoint} ({why})")
    return ToolError(f"{endpoint} is refused: {why}. {told}", kind="egress_refused")
