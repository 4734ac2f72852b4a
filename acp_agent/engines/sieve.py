"""What a worker leaves for others: it is asked about once, and again after a while."""

from collections.abc import Sequence

import anyio

from acp_agent.runs.port import Fits

AGAIN = 30.0
"""Seconds after which what was left is asked about again: somebody may have cloned a repository meanwhile."""


class Sieve:
    """Runs that were left, of one worker. Without `fits` none is."""

    def __init__(self, fits: Fits | None = None) -> None:
        self._fits = fits
        self._left: set[str] = set()
        self._since = anyio.current_time()

    @property
    def left(self) -> frozenset[str]:
        """Those that need not be looked at now."""
        if self._left and anyio.current_time() - self._since > AGAIN:
            self._left.clear()
        return frozenset(self._left)

    async def passing(self, run_ids: Sequence[str]) -> list[str]:
        """Those of `run_ids` that can be driven here, in their order."""
        if self._fits is None or not run_ids:
            return list(run_ids)
        fit = await self._fits(run_ids)
        if not self._left:
            self._since = anyio.current_time()
        self._left.update(run_id for run_id in run_ids if run_id not in fit)
        return [run_id for run_id in run_ids if run_id in fit]
