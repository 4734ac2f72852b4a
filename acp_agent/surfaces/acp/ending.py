"""How a process ends that serves the protocol: by a signal, in the time that editors give it, whatever still runs."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_log = logging.getLogger(__name__)

LAST_RESORT = 1.8
"""Seconds from the end of serving to the end of the process."""


class Ending:
    """Why serving ends, and the limit to how long that takes. `stop` ends it, and is called on the event loop."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self._limited = False
        self.code = 0

    @contextmanager
    def signals(self) -> Iterator[None]:
        """While the block runs SIGTERM and SIGINT end it; a second one ends the process at once."""
        # Not a receiver on the event loop: a loop that is stuck would never see the signal.
        before = {number: signal.signal(number, self._signalled) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def limit(self) -> None:
        """From now on the process has 1.8 seconds to end by itself."""
        if not self._limited:
            self._limited = True
            timer = threading.Timer(LAST_RESORT, self._exit)
            timer.daemon = True
            timer.start()

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if self.code:
            os._exit(128 + number)
        self.code = 128 + number
        self.limit()
        self._loop.call_soon_threadsafe(self._stop)

    def _exit(self) -> None:
        _log.error("something does not end; the process ends without it")
        os._exit(self.code)
