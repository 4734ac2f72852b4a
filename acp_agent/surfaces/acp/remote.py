"""`acp serve --http` and `--unix`: one application behind any number of connections, until a signal comes."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
from anyio.abc import TaskGroup, TaskStatus

from acp_agent.app import App, open_app
from acp_agent.surfaces.acp.asgi import Receive, Scope, Send
from acp_agent.surfaces.acp.ending import Ending
from acp_agent.surfaces.acp.guests import Guests
from acp_agent.surfaces.acp.http import HttpProfile
from acp_agent.surfaces.acp.websocket import SocketProfile


class Endpoint:
    """`/acp` as an ASGI application; its length is the number of connections."""

    def __init__(self, guests: Guests, group: TaskGroup) -> None:
        self._guests = guests
        self._http = HttpProfile(guests, group)
        self._socket = SocketProfile(guests)

    def __len__(self) -> int:
        return len(self._guests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or WebSocket of a `caller` that may do everything the protocol can."""
        profile = self._socket if scope["type"] == "websocket" else self._http
        await profile(scope, receive, send)


Host = Callable[[App, Endpoint, anyio.Event], Awaitable[None]]
"""Serves an endpoint until the event is set."""


def run(host: Host) -> int:
    """Serve by `host` until a signal comes; returns the exit code, 143 after SIGTERM and 130 after SIGINT.

    From then on it takes at most 1.8 seconds. Turns are left where they are on record.
    """
    return anyio.run(_serve, host)


async def _serve(host: Host) -> int:
    stopped = anyio.Event()
    async with open_app(os.environ, Path.cwd()) as app, anyio.create_task_group() as group:
        guests = Guests(app, await group.start(_turns_until, stopped))

        def stop() -> None:
            guests.stop()
            stopped.set()

        ending = Ending(stop)
        with ending.signals():
            await host(app, Endpoint(guests, group), stopped)
    return ending.code


async def _turns_until(stopped: anyio.Event, *, task_status: TaskStatus[TaskGroup]) -> None:
    async with anyio.create_task_group() as turns:
        task_status.started(turns)
        await stopped.wait()
        turns.cancel_scope.cancel()
