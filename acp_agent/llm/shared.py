"""The limits that processes share, as the gateway asks for them. Imported only where one is configured."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from acp_agent.domain.errors import ModelError, ModelFault
from acp_agent.domain.ports import ModelRequest, Permits

LONGEST_REST = 60.0
"""Seconds; whoever is sent away for longer asks another model, and so must the others be able to."""


class SharedLimits:
    """How many calls there may be at once over all processes: of a `provider`, a `provider/model`, `project:NAME`."""

    def __init__(self, permits: Permits, limits: Mapping[str, int]) -> None:
        self._permits = permits
        self._limits = limits

    @asynccontextmanager
    async def one(self, provider: str, request: ModelRequest) -> AsyncIterator[None]:
        """A permit while the block runs. A rate limit with a time to wait holds back the calls of all processes."""
        names = (f"project:{request.project}", provider, request.model)
        limits = {name: self._limits[name] for name in names if name in self._limits}
        if not limits:
            yield
            return
        async with self._permits.hold(limits, request.urgency):
            try:
                yield
            except ModelError as error:
                # The narrowest that is limited: what another model may do, nobody said.
                refusing = [name for name in (provider, request.model) if name in limits]
                if refusing and error.fault is ModelFault.RATE_LIMIT and error.retry_after:
                    await self._permits.rest(refusing[-1], min(error.retry_after, LONGEST_REST))
                raise
