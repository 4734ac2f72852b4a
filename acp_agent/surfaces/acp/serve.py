"""Stage two of `acp serve`: the application behind a connection on the descriptors that stage one kept."""

import os
from pathlib import Path
from typing import Any, NoReturn

import anyio

from acp_agent.app import open_app
from acp_agent.domain.errors import AcpAgentError
from acp_agent.surfaces.acp.agent import Agent, parameters_of
from acp_agent.surfaces.acp.call import Call, Method
from acp_agent.surfaces.acp.fields import Params
from acp_agent.surfaces.acp.first import Start
from acp_agent.surfaces.acp.stdio import serve_stdio


def run(start: Start) -> int:
    """Serve the client of `start` until it leaves or a signal comes; returns the exit code."""
    return anyio.run(_serve, start)


async def _serve(start: Start) -> int:
    try:
        async with open_app(os.environ, Path.cwd()) as app:
            return await serve_stdio(start, Agent(app).methods(), redact=app.redact)
    except AcpAgentError as error:
        # The editor shows what is wrong with the configuration to the person who can mend it.
        return await serve_stdio(start, refusing(error))


def refusing(error: AcpAgentError) -> dict[str, Method[Any]]:
    """Every method, answered with why the agent cannot work."""

    async def refuse(parameters: Params, call: Call) -> NoReturn:
        raise error

    return {name: Method(model, refuse) for name, model in parameters_of().items()}
