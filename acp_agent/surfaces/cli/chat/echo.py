"""Whether what is typed shows: not while the agent works, since it would tear the drawing; it is read afterwards."""

import contextlib
import sys
import termios
from collections.abc import Iterator

from acp_agent.surfaces.cli.grid import is_terminal


class Echo:
    """The echo of the terminal at standard input; where there is none, everything here does nothing."""

    def __init__(self) -> None:
        self._descriptor = sys.stdin.fileno() if is_terminal(sys.stdin) else None
        self._before = termios.tcgetattr(self._descriptor) if self._descriptor is not None else None

    @contextlib.contextmanager
    def off(self) -> Iterator[None]:
        """Typing does not show while the block runs."""
        with self._set(False):
            yield

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """Typing shows while the block runs, inside of an `off`."""
        with self._set(True):
            yield

    def restore(self) -> None:
        """As it was when the chat began."""
        if self._descriptor is not None and self._before is not None:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    @contextlib.contextmanager
    def _set(self, shows: bool) -> Iterator[None]:
        if self._descriptor is None:
            yield
            return
        before = termios.tcgetattr(self._descriptor)
        flags = before[3] | termios.ECHO if shows else before[3] & ~termios.ECHO
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, [*before[:3], flags, *before[4:]])
        try:
            yield
        finally:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, before)
