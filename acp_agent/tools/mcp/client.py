"""The only module that imports `mcp`: opens one connection and speaks through it. Import it in a thread."""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx2
from mcp import Client, MCPError, types
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client
from pydantic import ValidationError

from acp_agent import __version__
from acp_agent.domain.errors import ToolError
from acp_agent.tools.mcp.definition import Definition
from acp_agent.tools.mcp.stdio import Pipes

KEY_META = "acp_call_key"
"""The `_meta` entry in which a server finds the idempotency key of a call."""
# What the package has to say about servers is said by us, where a person looks; not on standard error.
logging.getLogger("mcp").addHandler(logging.NullHandler())
MAX_PAGES = 50
MAX_TOOLS = 1000
MAX_RESPONSE = 16 * 1024 * 1024
"""Bytes of one HTTP response, and of one line on stdio."""
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered to a call: text for the model, and whether it is an error."""

    text: str
    error: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """An open connection. Every method raises ToolError for what the server did wrong."""

    session: ClientSession
    capabilities: frozenset[str]

    async def tools(self) -> list[Definition]:
        """Every tool the server offers, page by page."""
        found: list[Definition] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            request = types.ListToolsRequest(params=types.PaginatedRequestParams(cursor=cursor))
            page = await self._ask(partial(self.session.send_request, request, types.ListToolsResult))
            found += [_definition(tool) for tool in page.tools]
            cursor = page.next_cursor
            if not cursor or len(found) >= MAX_TOOLS:
                break
        return found[:MAX_TOOLS]

    async def call(self, name: str, arguments: Mapping[str, Any], key: str) -> Reply:
        """Call a tool; `key` goes as `_meta`. The schema of its output is not evaluated: it is the server's."""
        given = {"name": name, "arguments": dict(arguments), **({"_meta": {KEY_META: key}} if key else {})}
        request = types.CallToolRequest(params=types.CallToolRequestParams.model_validate(given))
        result = await self._ask(partial(self.session.send_request, request, types.CallToolResult))
        return Reply(_result_text(result), result.is_error)

    async def listing(self) -> str:
        """Resources, their templates and prompts, a line each."""
        lines: list[str] = []
        if "resources" in self.capabilities:
            resources = await self._ask(self.session.list_resources)
            lines += [f"resource {one.uri}: {one.name}{_about(one.description)}" for one in resources.resources]
            templates = await self._ask(self.session.list_resource_templates)
            lines += [
                f"template {one.uri_template}: {one.name}{_about(one.description)}"
                for one in templates.resource_templates
            ]
        if "prompts" in self.capabilities:
            prompts = await self._ask(self.session.list_prompts)
            for prompt in prompts.prompts:
                names = ", ".join(one.name + ("" if one.required else "?") for one in prompt.arguments or ())
                lines.append(f"prompt {prompt.name}({names}){_about(prompt.description)}")
        return "\n".join(lines) or "(nothing)"

    async def read(self, uri: str) -> str:
        """The text of a resource."""
        result = await self._ask(partial(self.session.read_resource, uri))
        return "\n".join(_resource_text(one) for one in getattr(result, "contents", ())) or "(empty)"

    async def prompt(self, name: str, arguments: Mapping[str, str]) -> str:
        """A prompt with its arguments filled in, as the server words it."""
        result = await self._ask(partial(self.session.get_prompt, name, dict(arguments)))
        lines = [f"{one.role}: {_block_text(one.content)}" for one in getattr(result, "messages", ())]
        return "\n".join(lines) or "(empty)"

    async def _ask(self, request: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await request()
        except MCPError as error:
            raise _told(error) from None
        except ValidationError as error:
            where = ".".join(map(str, error.errors(include_url=False)[0]["loc"]))
            raise ToolError(f"The server's answer breaks the protocol, at {where}.", kind="protocol") from None
        except (ValueError, TypeError, RuntimeError) as error:
            # What the library raises for answers that it cannot make sense of.
            raise ToolError(f"The server's answer breaks the protocol: {_short(error)}.", kind="protocol") from None


@asynccontextmanager
async def opened(
    server: "Pipes | HttpEndpoint", changed: Callable[[], None], stack_limit: int = MAX_RESPONSE
) -> AsyncIterator[Session]:
    """A connection whose handshake is done. `changed` is told when the server says that its tools did.

    Raises ToolError, OSError, or an ExceptionGroup of what went wrong in the transport's own tasks.
    """

    async def heard(message: Any) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            changed()

    async with AsyncExitStack() as stack:
        transport: Any
        if isinstance(server, Pipes):
            transport = server.streams(_message_of_line, _line_of_message, stack_limit)
        else:
            client = await stack.enter_async_context(server.client(stack_limit))
            transport = streamable_http_client(server.url, http_client=client)
        info = types.Implementation(name="acp-agent", version=__version__)
        connection = Client(transport, message_handler=heard, client_info=info, cache=None)
        try:
            await stack.enter_async_context(connection)
        except MCPError as error:
            raise _told(error) from None
        capabilities = connection.server_capabilities
        names = frozenset(
            name for name in ("tools", "resources", "prompts") if getattr(capabilities, name, None) is not None
        )
        yield Session(connection.session, names)


@dataclass(slots=True)
class HttpEndpoint:
    """A server that speaks streamable HTTP. `auth` signs requests, where a person has signed in.

    `denied` becomes true where it answers that it does not know who asks (401).
    """

    url: str
    headers: Mapping[str, str]
    timeout: float
    auth: httpx2.Auth | None = None
    denied: bool = False

    def client(self, limit: int) -> httpx2.AsyncClient:
        """An HTTP client that reads no response further than `limit` bytes and follows no redirect elsewhere."""
        timeout = httpx2.Timeout(self.timeout, read=max(self.timeout, 60.0))

        async def look(response: httpx2.Response) -> None:
            self.denied = self.denied or response.status_code == 401
            response.stream = _Bounded(response.stream, limit)

        hooks = {"response": [look]}
        return httpx2.AsyncClient(headers=dict(self.headers), timeout=timeout, auth=self.auth, event_hooks=hooks)


class _Bounded(httpx2.AsyncByteStream):
    """A response's bytes, up to a limit: a server that never stops must not fill our memory."""

    def __init__(self, inner: Any, limit: int) -> None:
        self._inner = inner
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for chunk in self._inner:
            read += len(chunk)
            if read > self._limit:
                raise httpx2.ReadError(f"the response is larger than {self._limit:,} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


def _message_of_line(line: bytes) -> Any:
    """A message for the session, or the error of a line that is none."""
    from mcp.shared.message import SessionMessage

    try:
        return SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error


def _line_of_message(message: Any) -> bytes:
    text: str = message.message.model_dump_json(by_alias=True, exclude_unset=True)
    return text.encode() + b"\n"


def _told(error: MCPError) -> ToolError:
    what = _short(error)
    if error.code == types.CONNECTION_CLOSED:
        return ToolError("The server is gone: its connection closed.", kind="crashed", retryable=True)
    if error.code == types.REQUEST_TIMEOUT:
        return ToolError("The server did not answer in time.", kind="timeout", retryable=True)
    kind = {types.INVALID_PARAMS: "invalid_arguments", types.METHOD_NOT_FOUND: "not_offered"}.get(
        error.code, "server_error"
    )
    return ToolError(f"The server answered with an error: {what}", kind=kind)


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 500 else text[:500] + " [...]"


def _definition(tool: types.Tool) -> Definition:
    notes = tool.annotations
    return Definition(
        name=tool.name,
        description=tool.description or "",
        schema=tool.input_schema,
        destructive=bool(notes and notes.destructive_hint),
        open_world=bool(notes and notes.open_world_hint),
    )


def _about(description: str | None) -> str:
    return f" - {' '.join(description.split())[:_SHOWN]}" if description else ""


def _result_text(result: types.CallToolResult) -> str:
    texts = [_block_text(block) for block in result.content]
    if result.structured_content is not None and not any(texts):
        texts.append(json.dumps(result.structured_content, ensure_ascii=False))
    return "\n".join(texts)


def _block_text(block: Any) -> str:
    match block:
        case types.TextContent(text=text):
            return text
        case types.EmbeddedResource(resource=resource):
            return _resource_text(resource)
        case types.ResourceLink(uri=uri, name=name):
            return f"[resource {uri}: {name}]"
        case _:
            data = getattr(block, "data", "")
            return f"[{getattr(block, 'mime_type', block.type)}, {len(data) * 3 // 4:,} bytes, not shown]"


def _resource_text(resource: Any) -> str:
    if isinstance(resource, types.TextResourceContents):
        return resource.text
    return f"[{resource.mime_type or 'binary'} {resource.uri}, {len(resource.blob) * 3 // 4:,} bytes, not shown]"
