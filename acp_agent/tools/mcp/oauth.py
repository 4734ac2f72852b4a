"""OAuth for servers over HTTP: a person signs in once, runs use and refresh what that gave. Imports `mcp`: in a thread.

Tokens lie in the state directory, one file for each server, readable by the user alone. A run never signs in: it has
nobody to ask, and registers no client on its own.
"""

import json
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import anyio.to_thread
from anyio.abc import SocketStream
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import ValidationError

from acp_agent.domain.errors import Refused
from acp_agent.domain.servers import ToolServer
from acp_agent.tools.mcp.client import HttpEndpoint, opened
from acp_agent.tools.mcp.signed_in import tokens_file

PATIENCE = 300.0
"""Seconds a person has in the browser."""
_CALLBACK = "/callback"
_HEAD = 8_192
_PAGE = "<!doctype html><title>acp</title><p>Signed in. You can close this window."


class Tokens:
    """What one server gave (the package's `TokenStorage`), in a file of mode 0600 that is replaced as a whole."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def get_tokens(self) -> OAuthToken | None:
        """The tokens, None where nobody has signed in."""
        found: OAuthToken | None = self._model(OAuthToken, "tokens")
        return found

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Keep new tokens, and when they run out."""
        expires = None if tokens.expires_in is None else time.time() + tokens.expires_in
        self._keep(tokens=tokens.model_dump(mode="json"), expires_at=expires)

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """How we are registered there."""
        found: OAuthClientInformationFull | None = self._model(OAuthClientInformationFull, "client")
        return found

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Keep a registration."""
        self._keep(client=client_info.model_dump(mode="json"))

    @property
    def expires_at(self) -> float | None:
        """Unix time at which the access token runs out, None where nobody said."""
        found = self._read().get("expires_at")
        return found if isinstance(found, int | float) else None

    def _model(self, model: Any, key: str) -> Any:
        try:
            return model.model_validate(self._read()[key])
        except (KeyError, ValidationError):
            return None

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _keep(self, **changes: Any) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # mkstemp makes the file 0600.
        handle, name = tempfile.mkstemp(prefix=".tokens.", dir=self._file.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({**self._read(), **changes}, file)
        os.replace(name, self._file)


def signing(server: ToolServer, state: Path) -> OAuthClientProvider:
    """What signs the requests of a run, with the tokens that a person's login gave."""
    return _provider(server, Tokens(tokens_file(state, server)), "http://127.0.0.1/callback")


def _provider(
    server: ToolServer,
    tokens: Tokens,
    redirect: str,
    show: Callable[[str], Awaitable[None]] | None = None,
    answer: Callable[[], Awaitable[AuthorizationCodeResult]] | None = None,
) -> OAuthClientProvider:
    metadata = OAuthClientMetadata.model_validate({"client_name": "acp-agent", "redirect_uris": [redirect]})
    provider = OAuthClientProvider(server.url or "", metadata, tokens, show, answer)
    # The package keeps in memory alone when a token runs out, and would present one that is long dead.
    provider.context.token_expiry_time = tokens.expires_at
    return provider


async def sign_in(server: ToolServer, state: Path, show: Callable[[str], None]) -> int:
    """Sign in to a server; `show` is given the address that a person opens. Returns how many tools it then lists.

    Raises Refused where the person, the browser or the server do not go through with it.
    """
    file = tokens_file(state, server)
    file.unlink(missing_ok=True)
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.listeners[0].extra(anyio.abc.SocketAttribute.local_port)
        answered, answers = anyio.create_memory_object_stream[AuthorizationCodeResult](1)

        async def shown(address: str) -> None:
            show(address)

        async def hear(stream: SocketStream) -> None:
            async with stream:
                if (result := await _callback(stream)) is not None:
                    await answered.send(result)

        provider = _provider(
            server, Tokens(file), f"http://127.0.0.1:{port}{_CALLBACK}", shown, lambda: answers.receive()
        )
        endpoint = HttpEndpoint(server.url or "", server.headers, server.timeout, provider)
        async with answered, answers, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, hear)
            try:
                with anyio.fail_after(PATIENCE):
                    number = await _listed(endpoint)
            except TimeoutError:
                file.unlink(missing_ok=True)
                raise Refused(f"{server.name}: nobody signed in within {PATIENCE:g} seconds") from None
            finally:
                tasks.cancel_scope.cancel()
    return number


async def _listed(endpoint: HttpEndpoint) -> int:
    async with opened(endpoint, lambda: None) as session:
        return len(await session.tools()) if "tools" in session.capabilities else 0


async def _callback(stream: SocketStream) -> AuthorizationCodeResult | None:
    """What the browser brings back; None for a request that is something else."""
    head = b""
    with anyio.move_on_after(10):
        while b"\r\n" not in head and len(head) < _HEAD:
            head += await stream.receive()
    words = head.split(b"\r\n")[0].decode("latin-1").split(" ")
    address = urlsplit(words[1]) if len(words) == 3 and words[0] == "GET" else urlsplit("")
    given = {name: values[0] for name, values in parse_qs(address.query).items()}
    fits = address.path == _CALLBACK and "code" in given
    body = (_PAGE if fits else "<!doctype html><title>acp</title><p>That is not the answer waited for.").encode()
    status = "200 OK" if fits else "400 Bad Request"
    headers = f"Content-Type: text/html\r\nContent-Length: {len(body)}\r\nConnection: close"
    await stream.send(f"HTTP/1.1 {status}\r\n{headers}\r\n\r\n".encode() + body)
    if not fits:
        return None
    return AuthorizationCodeResult(code=given["code"], state=given.get("state"), iss=given.get("iss"))
