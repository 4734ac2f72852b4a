"""The lean adapter: OpenAI-compatible servers over httpx."""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import anyio
import anyio.lowlevel
from pydantic_core import from_json

from acp_agent.domain.errors import ModelError, ModelFault
from acp_agent.domain.message import Reply, Word
from acp_agent.domain.ports import ModelRequest
from acp_agent.llm.client import new_client
from acp_agent.llm.draft import Draft, malformed
from acp_agent.llm.faults import complaint_in, complaint_of, failure
from acp_agent.llm.http import httpx
from acp_agent.llm.provider import Provider
from acp_agent.llm.stream import LARGEST_EVENT, EventParser, ServerEvent
from acp_agent.llm.wire import body_of, encode, refused_option, without

CONNECT_TIMEOUT = 10.0
AFTER_FINISH = 2.0
"""Seconds left to usage and the end of the body once the reply itself is complete."""

_AT_ONCE = 16
"""Pieces of a reply that may come together; then those who wait for its words get their turn before the next."""

_LONGEST_COMPLAINT = 64 * 1024
_HOLDS_SCHEMAS = frozenset({"openai", "ollama", "litellm_proxy"})

OnWord = Callable[[Word], None]


class LeanAdapter:
    """Asks over kept-alive connections; `aclose` ends them. Remembers per model which options its server refused."""

    def __init__(self) -> None:
        self._clients: dict[bool, httpx.AsyncClient] = {}
        self._refused: dict[str, frozenset[str]] = {}

    async def reply(self, provider: Provider, model: str, request: ModelRequest, on_word: OnWord) -> Reply:
        """The whole reply. Raises ModelError."""
        body = body_of(
            request,
            model,
            max_output=provider.output_limit(request.max_output),
            schema=provider.name in _HOLDS_SCHEMAS,
            openai=provider.is_openai_itself,
        )
        while True:
            refused = self._refused.get(request.model, frozenset())
            attempt = without(body, refused)
            try:
                draft = await self._ask(provider, attempt, request.timeout, on_word)
            except ModelError as error:
                option = refused_option(attempt, error.message, refused) if error.status in (400, 422) else None
                if option is None or error.fault is not ModelFault.BAD_REQUEST:
                    raise
                self._refused[request.model] = refused | {option}
            else:
                return draft.reply_to(request)

    async def aclose(self) -> None:
        """Close the connections."""
        clients = list(self._clients.values())
        self._clients.clear()
        for client in clients:
            await client.aclose()

    def _client(self, url: str) -> httpx.AsyncClient:
        secure = not url.startswith("http:")
        if secure not in self._clients:
            self._clients[secure] = new_client(secure=secure)
        return self._clients[secure]

    async def _ask(self, provider: Provider, body: dict[str, Any], silence: float, on_word: OnWord) -> Draft:
        hide = provider.hide
        url = f"{provider.url}/chat/completions"
        async with _translated(url, silence, hide):
            request = self._client(url).build_request(
                "POST",
                url,
                content=encode(body),
                headers=headers_of(provider),
                timeout=httpx.Timeout(silence, connect=min(silence, CONNECT_TIMEOUT), pool=None),
            )
            response = await self._client(url).send(request, stream=True)
            try:
                if response.status_code != 200:
                    raise await _complaint(response, hide)
                return await _read(response, on_word, hide)
            finally:
                await response.aclose()


def headers_of(provider: Provider) -> dict[str, str]:
    """The headers of a request. Raises ModelError(AUTH) for a key that no header can carry."""
    headers = {"content-type": "application/json", "accept": "text/event-stream"}
    key = provider.key
    if key is not None:
        if not (key.isascii() and key.isprintable()):
            raise ModelError(f"the key of {provider.name} holds characters no key has", fault=ModelFault.AUTH)
        headers["authorization"] = f"Bearer {key}"
    return headers


@asynccontextmanager
async def _translated(url: str, silence: float, hide: Callable[[str], str]) -> AsyncIterator[None]:
    """httpx's errors before the reply began as ours; within it `_read` knows better."""
    try:
        yield
    except httpx.ConnectTimeout as error:
        raise ModelError(f"no connection to {hide(url)} in time", fault=ModelFault.NETWORK) from error
    except httpx.ConnectError as error:
        raise ModelError(f"cannot connect to {hide(url)}: {error}", fault=ModelFault.NETWORK) from error
    except httpx.TimeoutException as error:
        raise ModelError(f"{hide(url)} was silent for {silence:g} s", fault=ModelFault.TIMEOUT) from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
        raise ModelError(f"cannot ask {hide(url)}: {hide(str(error))}", fault=ModelFault.BAD_REQUEST) from error
    except (httpx.TransportError, httpx.DecodingError) as error:
        what = hide(str(error)) or type(error).__name__
        raise ModelError(f"{hide(url)} hung up before its reply: {what}", fault=ModelFault.NETWORK) from error


async def _complaint(response: httpx.Response, hide: Callable[[str], str]) -> ModelError:
    body = b""
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > _LONGEST_COMPLAINT:
            break
    return failure(
        complaint_of(body), status=response.status_code, headers=response.headers, hide=hide, now=time.time()
    )


async def _read(response: httpx.Response, on_word: OnWord, hide: Callable[[str], str]) -> Draft:
    """The draft of a reply that has begun; a stream that breaks off before its end raises ModelError(CUT)."""
    reading = _Reading(hide)
    body = response.aiter_bytes() if "content-encoding" in response.headers else response.aiter_raw()
    taken = 0
    try:
        async with aclosing(cast(AsyncGenerator[bytes, None], body)) as pieces:
            async for piece in pieces:
                for word in reading.take(piece):
                    on_word(word)
                if reading.complete:
                    break
                taken += 1
                if taken % _AT_ONCE == 0:
                    await anyio.lowlevel.checkpoint()
            await _drain(pieces, reading, on_word)
    except httpx.TransportError as error:
        if reading.complete:
            return reading.draft
        if isinstance(error, httpx.TimeoutException):
            raise
        raise _cut(hide(str(error)) or type(error).__name__) from error
    for word in reading.end():
        on_word(word)
    return reading.draft


async def _drain(pieces: AsyncGenerator[bytes, None], reading: "_Reading", on_word: OnWord) -> None:
    """Usage follows the last word, and a body read to its end leaves a connection that can be used again."""
    with anyio.move_on_after(AFTER_FINISH) as patience:
        async for piece in pieces:
            for word in reading.take(piece):
                on_word(word)
            if not reading.done:
                patience.deadline = anyio.current_time() + AFTER_FINISH


def parsed(text: str) -> Any:
    """The value of a JSON text, as the standard library reads it. Raises ValueError, RecursionError."""
    try:
        # Several times faster, but stricter: about halves of surrogate pairs, which are joined later, and depth.
        return from_json(text)
    except ValueError:
        return json.loads(text)


def _cut(why: str) -> ModelError:
    return ModelError(f"the reply was cut off: {why}", fault=ModelFault.CUT)


class _Reading:
    """The body of one reply: server-sent events, or plain JSON from a server that does not stream."""

    def __init__(self, hide: Callable[[str], str]) -> None:
        self.draft = Draft()
        self._hide = hide
        self._events = EventParser()
        self._plain: list[bytes] | None = None
        self._size = 0
        self.done = False
        self._begun = False

    @property
    def complete(self) -> bool:
        """True once nothing of the reply itself is missing."""
        return self.done or self.draft.finished

    def take(self, piece: bytes) -> Iterator[Word]:
        """The words of the next bytes."""
        if not self._begun and (start := piece.lstrip()):
            self._begun = True
            if start.startswith((b"{", b"[", b"<")):
                self._plain = []
        if self._plain is None:
            try:
                for event in self._events.feed(piece):
                    yield from self._event(event)
            except ValueError as error:
                raise malformed(str(error)) from error
            return
        self._size += len(piece)
        if self._size > LARGEST_EVENT:
            raise malformed(f"a reply of more than {LARGEST_EVENT} bytes")
        self._plain.append(piece)

    def end(self) -> Iterator[Word]:
        """The words that only the end of the body completes."""
        if self._plain is not None:
            yield from self._whole(b"".join(self._plain))
            return
        try:
            for event in self._events.close():
                yield from self._event(event)
        except ModelError as error:
            if error.fault is ModelFault.MALFORMED:
                raise _cut("it ends within a chunk") from error
            raise
        if not self.complete:
            raise _cut("it ends without saying so")

    def _event(self, event: ServerEvent) -> Iterator[Word]:
        data = event.data.strip()
        if self.done or not data:
            return
        if data == "[DONE]":
            self.done = True
            return
        try:
            chunk = parsed(data)
        except (ValueError, RecursionError) as error:
            raise malformed(f"a chunk that is no JSON: {event.data[:80]!r}") from error
        yield from self._chunk(chunk, is_error=event.name == "error")

    def _chunk(self, chunk: Any, *, is_error: bool = False) -> Iterator[Word]:
        if is_error or (isinstance(chunk, dict) and (chunk.get("error") or chunk.get("object") == "error")):
            raise failure(complaint_in(chunk), hide=self._hide)
        yield from self.draft.add(chunk)

    def _whole(self, body: bytes) -> Iterator[Word]:
        if body.lstrip().startswith(b"<"):
            text = complaint_of(body).text[:120]
            hint = "does its base URL end in /v1?"
            raise ModelError(f"the server answered with {text}; {hint}", fault=ModelFault.NOT_FOUND)
        try:
            completion = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise malformed("a reply that is no JSON") from error
        self.done = True
        yield from self._chunk(completion)
