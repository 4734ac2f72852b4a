"""A connection on the descriptors of a process: it ends with its input or by a signal, and the process with it."""

import logging
import os
import signal
import threading
from collections.abc import Mapping
from typing import Any

import anyio
from anyio.abc import TaskStatus

from acp_agent.surfaces.acp.call import Method
from acp_agent.surfaces.acp.connection import Connection
from acp_agent.surfaces.acp.descriptors import DescriptorTransport
from acp_agent.surfaces.acp.first import Start

_log = logging.getLogger(__name__)

LAST_RESORT = 1.9
"""Seconds from the end of the connection to the end of the process, whatever still runs in it."""


async def serve_stdio(start: Start, methods: Mapping[str, Method[Any]]) -> int:
    """Serve the client that started this process; returns the exit code.

    0 after the end of input, 143 after SIGTERM, 130 after SIGINT. From that moment the process has 1.9 seconds to end
    by itself, then it is ended; a second signal ends it at once. Nothing is lost by that: what counts is on record.
    """
    connection = Connection(
        DescriptorTransport(start.reads, start.writes, start.leftover), methods, initialized=start.initialized
    )
    ending = _Ending(connection)
    async with anyio.create_task_group() as group:
        await group.start(ending.heed_signals)
        group.start_soon(ending.limit)
        await connection.serve()
        group.cancel_scope.cancel()
    return ending.code


class _Ending:
    """Why the connection ends, and the limit to how long that takes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.code = 0

    async def heed_signals(self, *, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            task_status.started()
            async for number in signals:
                if self.code:
                    os._exit(128 + number)
                self.code = 128 + number
                self._connection.stop()

    async def limit(self) -> None:
        await self._connection.over.wait()
        # A thread, because an event loop that is stuck is one of the reasons to need it.
        timer = threading.Timer(LAST_RESORT, self._exit)
        timer.daemon = True
        timer.start()

    def _exit(self) -> None:
        _log.error("something does not end; the process ends without it")
        os._exit(self.code)
