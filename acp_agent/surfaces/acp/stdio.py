"""A connection on the descriptors of a process: it ends with its input or by a signal, and the process with it."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import anyio

from acp_agent.surfaces.acp.call import Method
from acp_agent.surfaces.acp.connection import Connection
from acp_agent.surfaces.acp.descriptors import DescriptorTransport
from acp_agent.surfaces.acp.faults import Redact
from acp_agent.surfaces.acp.first import Start

_log = logging.getLogger(__name__)

LAST_RESORT = 1.8
"""Seconds from the end of the connection to the end of the process, whatever still runs in it."""


async def serve_stdio(start: Start, methods: Mapping[str, Method[Any]], *, redact: Redact | None = None) -> int:
    """Serve the client that started this process; returns the exit code. Call it in the main thread.

    0 after the end of input, 143 after SIGTERM, 130 after SIGINT. From that moment the process has 1.8 seconds to end
    by itself, then it is ended; a second signal ends it at once. Nothing is lost by that: what counts is on record.
    """
    transport = DescriptorTransport(start.reads, start.writes, start.leftover)
    connection = Connection(transport, methods, initialized=start.initialized, redact=redact)
    ending = _Ending(connection)
    with ending.signals():
        async with anyio.create_task_group() as group:
            group.start_soon(ending.limit)
            await connection.serve()
            group.cancel_scope.cancel()
    return ending.code


class _Ending:
    """Why the connection ends, and the limit to how long that takes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._limited = False
        self.code = 0

    @contextmanager
    def signals(self) -> Iterator[None]:
        # Not a receiver on the event loop: a loop that is stuck would never see the signal.
        before = {number: signal.signal(number, self._signalled) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def limit(self) -> None:
        await self._connection.over.wait()
        self._start_timer()

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if self.code:
            os._exit(128 + number)
        self.code = 128 + number
        self._start_timer()
        self._loop.call_soon_threadsafe(self._connection.stop)

    def _start_timer(self) -> None:
        if not self._limited:
            self._limited = True
            timer = threading.Timer(LAST_RESORT, self._exit)
            timer.daemon = True
            timer.start()

    def _exit(self) -> None:
        _log.error("something does not end; the process ends without it")
        os._exit(self.code)
