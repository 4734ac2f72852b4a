"""A connection on the descriptors of a process: it ends with its input or by a signal, and the process with it."""

from collections.abc import Mapping
from typing import Any

import anyio

from acp_agent.surfaces.acp.call import Method
from acp_agent.surfaces.acp.connection import Connection
from acp_agent.surfaces.acp.descriptors import DescriptorTransport
from acp_agent.surfaces.acp.ending import Ending
from acp_agent.surfaces.acp.faults import Redact
from acp_agent.surfaces.acp.first import Start


async def serve_stdio(start: Start, methods: Mapping[str, Method[Any]], *, redact: Redact | None = None) -> int:
    """Serve the client that started this process; returns the exit code. Call it in the main thread.

    0 after the end of input, 143 after SIGTERM, 130 after SIGINT. From that moment the process has 1.8 seconds to end
    by itself, then it is ended; a second signal ends it at once. Nothing is lost by that: what counts is on record.
    """
    transport = DescriptorTransport(start.reads, start.writes, start.leftover)
    connection = Connection(transport, methods, initialized=start.initialized, redact=redact)
    ending = Ending(connection.stop)
    with ending.signals():
        async with anyio.create_task_group() as group:
            group.start_soon(_limit, connection, ending)
            await connection.serve()
            group.cancel_scope.cancel()
    return ending.code


async def _limit(connection: Connection, ending: Ending) -> None:
    await connection.over.wait()
    ending.limit()
