"""The shapes of ASGI, and answers to requests and to upgrades that are refused."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

TEXT = "text/plain; charset=utf-8"


class Refused(Exception):
    """A request that is answered with `status` and one line."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


async def answer(send: Send, status: int, text: str, kind: str = TEXT) -> None:
    """Answer with a whole text."""
    body = text.encode()
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def refuse(scope: Scope, send: Send, refused: Refused) -> None:
    """Answer that it is refused, and close the connection: what it still sends is not read."""
    body = refused.words.encode() + b"\n"
    headers = [
        (b"content-type", TEXT.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    if refused.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="acp"'))
    prefix = "websocket." if scope["type"] == "websocket" else ""
    await send({"type": f"{prefix}http.response.start", "status": refused.status, "headers": headers})
    await send({"type": f"{prefix}http.response.body", "body": body})


def headers_of(scope: Scope, name: bytes) -> list[str]:
    """Every header of that name, in the order they came."""
    return [value.decode("latin-1").strip() for key, value in scope["headers"] if key.lower() == name]
