"""Tools that come and go while a run goes on, such as those of MCP servers."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from acp_agent.tools.registry import Tool


class Source(Protocol):
    """Tools that come and go while a run goes on."""

    async def refresh(self) -> None:
        """Take over what is there now, without waiting for anybody."""
        ...

    async def settled(self, seconds: float) -> None:
        """Return when nobody is still to bring tools, at most after `seconds`."""
        ...

    def tools(self) -> Mapping[str, Tool]:
        """Every tool that may be called now, by name."""
        ...

    def shown(self, loaded: Collection[str]) -> Sequence[Tool]:
        """Those whose schema the model is shown; `loaded` are the names that it asked to see."""
        ...

    def notes(self) -> tuple[str, ...]:
        """Lines for the model about tools that it is not shown."""
        ...

    async def report(self, tell: Callable[[str, str], None]) -> None:
        """Tell the name of each that cannot bring its tools, and why; returns when all have settled."""
        ...

    def release(self) -> None:
        """The run is over, or waits."""
        ...


class NoSource:
    """The source of a run that has none."""

    async def refresh(self) -> None:
        """Nothing is new."""

    async def settled(self, seconds: float) -> None:
        """Nobody is waited for."""

    def tools(self) -> Mapping[str, Tool]:
        """None."""
        return {}

    def shown(self, loaded: Collection[str]) -> Sequence[Tool]:
        """None."""
        return ()

    def notes(self) -> tuple[str, ...]:
        """None."""
        return ()

    async def report(self, tell: Callable[[str, str], None]) -> None:
        """Nobody fails."""

    def release(self) -> None:
        """Nothing is held."""
