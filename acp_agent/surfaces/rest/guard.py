"""What every request passes before anything is done for it: Host, Origin, token, scope, and then its body."""

from collections.abc import Mapping
from dataclasses import dataclass

import anyio

from acp_agent.config.listening import Listening
from acp_agent.config.tokens import Scope as Grant
from acp_agent.config.tokens import Token, Tokens
from acp_agent.surfaces.rest.asgi import Application, Message, Receive, Refused, Scope, Send, headers_of, refuse

MOST_BODY = 4 * 1024 * 1024
BODY_WITHIN = 10.0
"""Seconds for a body, and those that it takes at the slowest speed we wait for."""
_SLOWEST = 64 * 1024
"""Bytes in a second."""


@dataclass(frozen=True, slots=True)
class Route:
    """What answers at a path, and the scopes that it takes: None for whoever asks. `upgrades`: also to WebSockets."""

    application: Application
    scopes: tuple[Grant, ...] | None
    upgrades: bool = False


class Guard:
    """An ASGI application that lets through to `routes` what may pass; no answer of ours has a header for CORS.

    The whole body is read before an application is called. A request's `state` names its `caller`, whose token it is.
    """

    def __init__(self, listening: Listening, tokens: Tokens, routes: Mapping[str, Route]) -> None:
        self._hosts = listening.hosts
        self._origins = listening.origins
        self._tokens = tokens
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or one WebSocket."""
        try:
            route = self._admitted(scope)
            if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
                receive = _again(await _body(scope, receive), receive)
            elif "token" in scope["state"]:
                receive, send = self._while_known(scope, receive, send)
        except Refused as refused:
            await refuse(scope, send, refused)
        except _Gone:
            return
        else:
            await route.application(scope, receive, send)

    def _admitted(self, scope: Scope) -> Route:
        if headers_of(scope, b"transfer-encoding") and headers_of(scope, b"content-length"):
            # A proxy in front may take the other one for the end of it, and what follows for another's request.
            raise Refused(400, "a body has either a Content-Length or a Transfer-Encoding")
        self._check_host(headers_of(scope, b"host"))
        if any(origin not in self._origins for origin in headers_of(scope, b"origin")):
            raise Refused(403, "this Origin is not served: no page of another site may speak to the agent")
        route = self._routes.get(scope["path"])
        if route is None or route.scopes is not None:
            token = self._token(headers_of(scope, b"authorization"))
            if route is None or (scope["type"] == "websocket" and not route.upgrades):
                raise Refused(404, "there is nothing here")
            assert route.scopes is not None
            if not token.opens(*route.scopes):
                raise Refused(403, f"this token lacks a scope: {scope['path']} takes {' and '.join(route.scopes)}")
            if not scope["state"]["visitor"].show_token():
                raise Refused(503, "there are too many connections; try again later")
            scope["state"] |= {"caller": token.name, "token": token}
        elif scope["type"] == "websocket":
            raise Refused(404, "there is nothing here")
        return route

    def _while_known(self, scope: Scope, receive: Receive, send: Send) -> tuple[Receive, Send]:
        """What stays open ends with its token: once that is taken back nothing is heard and nothing told any more."""
        token, visitor, gone = scope["state"]["token"], scope["state"]["visitor"], f"{scope['type']}.disconnect"

        def is_known() -> bool:
            if self._tokens.has(token):
                return True
            visitor.transport.abort()
            return False

        async def received() -> Message:
            message = await receive()
            return message if is_known() else {"type": gone, "code": 1008}

        async def sent(message: Message) -> None:
            if is_known():
                await send(message)

        return received, sent

    def _check_host(self, given: list[str]) -> None:
        host = given[0].lower() if len(given) == 1 else ""
        name, colon, port = host.rpartition(":")
        if not (colon and port.isascii() and port.isdigit()):
            name = host
        if name not in self._hosts:
            raise Refused(421, "this Host is not served; behind a proxy: acp serve --trusted-proxy NAME")

    def _token(self, given: list[str]) -> Token:
        kind, _, text = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        known = self._tokens.known(text.strip()) if kind.lower() == "bearer" else None
        if known is None:
            raise Refused(401, "a token is missing or unknown: Authorization: Bearer TOKEN")
        return known


class _Gone(Exception):
    """The client left before its body was whole."""


async def _body(scope: Scope, receive: Receive) -> bytes:
    """The whole body. Raises Refused where it is too large or comes too slowly."""
    too_large = Refused(413, f"the body is larger than {MOST_BODY} bytes")
    if any(int(length) > MOST_BODY for length in headers_of(scope, b"content-length")):
        raise too_large
    body = bytearray()
    began = anyio.current_time()
    with anyio.CancelScope(deadline=began + BODY_WITHIN) as patience:
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise _Gone
            body += message.get("body", b"")
            if len(body) > MOST_BODY:
                raise too_large
            if not message.get("more_body", False):
                return bytes(body)
            patience.deadline = began + BODY_WITHIN + len(body) / _SLOWEST
    raise Refused(408, "the body came too slowly")


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives the body that was read, and then what comes."""
    read: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return read.pop() if read else await receive()

    return received
