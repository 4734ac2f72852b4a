"""The shapes of ASGI, by which whoever serves HTTP calls the endpoint, and the few answers that are no stream."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON = "application/json"
EVENTS = "text/event-stream"


class Refusal(Exception):
    """A request that is answered with `status` and one line, or with the JSON of `body`."""

    def __init__(self, status: int, words: str, body: bytes | None = None) -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.body = body


async def answer(send: Send, status: int, body: bytes = b"", kind: str = JSON, headers: Iterable[Header] = ()) -> None:
    """Answer with a whole body."""
    length = [(b"content-length", str(len(body)).encode())]
    typed = [(b"content-type", kind.encode())] if body else []
    await send({"type": "http.response.start", "status": status, "headers": [*typed, *length, *headers]})
    await send({"type": "http.response.body", "body": body})


async def refuse(send: Send, refusal: Refusal) -> None:
    """Answer that it is refused, and why."""
    if refusal.body is not None:
        await answer(send, refusal.status, refusal.body)
    else:
        await answer(send, refusal.status, refusal.words.encode() + b"\n", "text/plain; charset=utf-8")


def header(scope: Scope, name: bytes) -> str | None:
    """A header of the request, the last of several."""
    found = [value for key, value in scope["headers"] if key.lower() == name]
    return found[-1].decode("latin-1").strip() if found else None
