"""Stage two of `acp serve`: the application behind a connection on the descriptors that stage one kept."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import anyio

from acp_agent.app import open_app
from acp_agent.domain.errors import AcpAgentError
from acp_agent.surfaces.acp.agent import Agent, parameters_of
from acp_agent.surfaces.acp.call import Call, Method
from acp_agent.surfaces.acp.connection import Connection
from acp_agent.surfaces.acp.descriptors import DescriptorTransport
from acp_agent.surfaces.acp.fields import Params
from acp_agent.surfaces.acp.first import Start


def run(start: Start) -> None:
    """Serve the client of `start` until it leaves or SIGTERM comes."""
    anyio.run(_serve, start)


async def _serve(start: Start) -> None:
    try:
        async with open_app(os.environ, Path.cwd()) as app:
            await _connect(start, Agent(app).methods())
    except AcpAgentError as error:
        # The editor shows what is wrong with the configuration to the person who can mend it.
        await _connect(start, refusing(error))


async def _connect(start: Start, methods: Mapping[str, Method[Any]]) -> None:
    transport = DescriptorTransport(start.reads, start.writes, start.leftover)
    connection = Connection(transport, methods, initialized=start.initialized)
    async with anyio.create_task_group() as group:
        group.start_soon(_heed_signals, connection)
        await connection.serve()
        group.cancel_scope.cancel()


async def _heed_signals(connection: Connection) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            connection.stop()


def refusing(error: AcpAgentError) -> dict[str, Method[Any]]:
    """Every method, answered with why the agent cannot work."""

    async def refuse(parameters: Params, call: Call) -> NoReturn:
        raise error

    return {name: Method(model, refuse) for name, model in parameters_of().items()}
