"""The litellm adapter: every provider without a lean path. litellm is imported on first use, in a thread."""

import ast
import json
import logging
import os
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import anyio
import anyio.to_thread

from acp_agent.domain.errors import ModelError, ModelFault
from acp_agent.domain.message import Reply, Word
from acp_agent.domain.ports import ModelRequest
from acp_agent.llm.draft import Draft
from acp_agent.llm.faults import Complaint, complaint_in, complaint_of, failure, tidy
from acp_agent.llm.http import httpx
from acp_agent.llm.provider import Provider
from acp_agent.llm.wire import function_of, messages_of

_ENVIRONMENT = {
    # Without it the import fetches a table over the network, ten seconds where that hangs.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    # Above a hundred equal chunks in a row litellm kills a stream that may well be a table.
    "REPEATED_STREAMING_CHUNK_LIMIT": "1000000000",
}
_GRACE = 5.0
"""Seconds our own watch on silence is ahead of litellm's."""

_LONGEST_CHAIN = 20
_PREFIX = re.compile(r"^\s*(?:(?:litellm\.)?\w*(?:Error|Exception|Timeout)\s*(?::|-)\s*)+")
_TAIL = re.compile(r"(?s)\s*(?:Original exception:|\. Received Model Group=|Traceback \(most recent call last\)).*$")

OnWord = Callable[[Word], None]


class LitellmAdapter:
    """Asks through `litellm.acompletion`; concurrent first calls import it once."""

    def __init__(self) -> None:
        self._lock = anyio.Lock()
        self._litellm: Any = None

    async def warm(self) -> None:
        """Import litellm (about two seconds, in a thread); harmless when it is there already."""
        await self._library()

    async def reply(self, provider: Provider, model: str, request: ModelRequest, on_word: OnWord) -> Reply:
        """The whole reply. Raises ModelError."""
        litellm = await self._library()
        draft, begun = Draft(), False
        try:
            with anyio.fail_after(request.timeout):
                stream = await litellm.acompletion(**_arguments(provider, model, request))
            async with aclosing(_timed(stream, request.timeout)) as chunks:
                async for chunk in chunks:
                    begun = True
                    for word in draft.add(chunk.model_dump(exclude_none=True, warnings=False)):
                        on_word(word)
        except ModelError:
            raise
        except Exception as error:
            raise translated(error, begun=begun, silence=request.timeout, hide=provider.hide) from error
        # litellm invents a reason to end for a stream that had none; this is where it keeps what really came.
        if getattr(stream, "received_finish_reason", "") is None:
            raise ModelError("the reply was cut off: it ends without saying so", fault=ModelFault.CUT)
        reply = draft.reply_to(request)
        return reply if _counted(stream) else reply.model_copy(update={"usage": None})

    async def aclose(self) -> None:
        """Close the connections litellm keeps, which it shares between all who use it in this process."""
        if self._litellm is None:
            return
        litellm, self._litellm = self._litellm, None
        await litellm.close_litellm_async_clients()
        litellm.in_memory_llm_clients_cache.flush_cache()

    async def _library(self) -> Any:
        async with self._lock:
            if self._litellm is None:
                self._litellm = await anyio.to_thread.run_sync(_import, abandon_on_cancel=True)
        return self._litellm


def _import() -> Any:
    """litellm, told to fetch nothing, report nothing and print nothing."""
    os.environ.update(_ENVIRONMENT)
    try:
        import litellm
    except ImportError as error:
        raise ModelError(f"litellm cannot be imported: {error}", fault=ModelFault.BAD_REQUEST) from error
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.turn_off_message_logging = True
    # It leaves aiohttp's sessions open, and those complain on stderr at the end.
    litellm.disable_aiohttp_transport = True
    # Anthropic refuses a history with tool calls once no tools are offered, as in the last call at a limit.
    litellm.modify_params = True
    for callbacks in (litellm.callbacks, litellm.success_callback, litellm.failure_callback):
        callbacks.clear()
    for name in [name for name in logging.root.manager.loggerDict if name.lower().startswith("litellm")]:
        logger = logging.getLogger(name)
        logger.handlers = [logging.NullHandler()]
        logger.propagate = False
    return litellm


def _arguments(provider: Provider, model: str, request: ModelRequest) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "model": f"{provider.name}/{model}",
        "messages": messages_of(request.messages),
        "stream": True,
        "stream_options": {"include_usage": True},
        "timeout": request.timeout + _GRACE,
        "num_retries": 0,
        "max_retries": 0,
    }
    if request.tools:
        arguments["tools"] = [function_of(tool) for tool in request.tools]
    if (limit := provider.output_limit(request.max_output)) is not None:
        arguments["max_tokens"] = limit
    if provider.url is not None:
        arguments["api_base"] = provider.url
    if provider.key is not None:
        arguments["api_key"] = provider.key
    return arguments


async def _timed(stream: Any, silence: float) -> AsyncGenerator[Any, None]:
    """The chunks of `stream`; a wait of `silence` seconds for one raises TimeoutError."""
    chunks = aiter(stream)
    try:
        while True:
            with anyio.fail_after(silence):
                try:
                    chunk = await anext(chunks)
                except StopAsyncIteration:
                    return
            yield chunk
    finally:
        close = getattr(stream, "aclose", None)
        with anyio.move_on_after(1.0, shield=True):
            if close is not None:
                await close()


def _counted(stream: Any) -> bool:
    """True when the provider reported usage: where it does not, litellm makes one up with a tokenizer of its own."""
    chunks = getattr(stream, "chunks", None)
    return not isinstance(chunks, list) or any(getattr(chunk, "usage", None) is not None for chunk in chunks)


def translated(error: Exception, *, begun: bool, silence: float, hide: Callable[[str], str]) -> ModelError:
    """An error of litellm, or of a library below it, as ours. `begun`: a part of the reply had arrived.

    litellm wraps what happened up to four times and makes up a status for it, so the whole chain is looked at.
    """
    chain = tuple(_chain(error))
    complaint = _complaint(chain)
    words = tidy(complaint.text, hide)
    if any(_is_timeout(link) for link in chain):
        return ModelError(f"the provider was silent for {silence:g} s", fault=ModelFault.TIMEOUT)
    if any(_is_transport(link) for link in chain):
        if begun:
            return ModelError(f"the reply was cut off: {words}", fault=ModelFault.CUT)
        return ModelError(f"no connection to the provider: {words}", fault=ModelFault.NETWORK)
    if begun and any(isinstance(link, json.JSONDecodeError) for link in chain):
        return ModelError(f"the server sent a chunk that is no JSON: {words}", fault=ModelFault.MALFORMED)
    if any(type(link).__name__ == "ContextWindowExceededError" for link in chain):
        complaint = replace(complaint, codes=("context_length_exceeded", *complaint.codes))
    headers = next((found for link in chain if (found := _headers(link))), {})
    return failure(complaint, headers=headers, hide=hide, now=time.time())


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and everything it was raised from, nearest first."""
    links: list[BaseException] = []
    queue: list[BaseException | None] = [error]
    while queue and len(links) < _LONGEST_CHAIN:
        link = queue.pop(0)
        if link is None or any(link is known for known in links):
            continue
        links.append(link)
        original = getattr(link, "original_exception", None)
        queue += [original if isinstance(original, BaseException) else None, link.__cause__, link.__context__]
    return iter(links)


def _complaint(chain: tuple[BaseException, ...]) -> Complaint:
    """What the provider said, from the first link that kept it, with the codes of all."""
    bodies = [complaint_in(body) for link in chain if isinstance(body := getattr(link, "body", None), dict) and body]
    statuses = [status for link in chain if (status := _status(link)) is not None]
    if not bodies:
        bodies = [_quoted(_TAIL.sub("", _PREFIX.sub("", str(chain[0]))))]
    codes = [code.lower() for link in chain if isinstance(code := getattr(link, "code", None), str)]
    codes += [code for body in bodies for code in body.codes]
    text = bodies[0].text
    in_body = next((body.status for body in bodies if body.status is not None), None)
    return Complaint(text or type(chain[0]).__name__, tuple(codes), statuses[0] if statuses else in_body)


def _quoted(text: str) -> Complaint:
    """A message that may be the provider's whole answer: its JSON, or what Python prints for those bytes."""
    if text.startswith(("b'", 'b"')):
        try:
            return complaint_of(ast.literal_eval(text))
        except (ValueError, SyntaxError):
            return Complaint(text)
    return complaint_of(text) if text.startswith("{") else Complaint(text)


def _status(link: BaseException) -> int | None:
    """The status a server sent; litellm puts 500 and 503 on failures of its own reading."""
    if type(link).__name__ in ("APIConnectionError", "MidStreamFallbackError"):
        return None
    status = getattr(link, "status_code", None)
    return status if isinstance(status, int) and 400 <= status <= 599 else None


def _headers(link: BaseException) -> Mapping[str, str]:
    for holder in (getattr(link, "response", None), link):
        for name in ("headers", "litellm_response_headers"):
            headers = getattr(holder, name, None)
            if isinstance(headers, Mapping) and headers:
                return {str(key).lower(): str(value) for key, value in headers.items()}
    return {}


def _is_timeout(link: BaseException) -> bool:
    known = isinstance(link, TimeoutError | httpx.TimeoutException)
    return known or type(link).__name__ in ("APITimeoutError", "Timeout")


def _is_transport(link: BaseException) -> bool:
    if isinstance(link, httpx.TransportError | ConnectionError):
        return True
    library = type(link).__module__.partition(".")[0]
    return (library, type(link).__name__) == ("openai", "APIConnectionError") or library == "aiohttp"
