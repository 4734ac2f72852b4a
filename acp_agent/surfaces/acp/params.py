"""Parameters of the methods a client calls, typed (how they are parsed: `fields`)."""

from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from acp_agent.surfaces.acp.faults import InvalidParams
from acp_agent.surfaces.acp.fields import AbsolutePath, Lenient, OptionalText, parsed
from acp_agent.surfaces.acp.fields import Params as Params


class Authenticate(Params):
    """`authenticate`."""

    method_id: str


# --- content


class TextBlock(Params):
    """Words."""

    text: str


class ImageBlock(Params):
    """A picture, base64."""

    data: str = Field(repr=False)
    mime_type: str
    uri: OptionalText = None


class AudioBlock(Params):
    """Sound, base64."""

    data: str = Field(repr=False)
    mime_type: str


class LinkBlock(Params):
    """A resource the agent may read itself."""

    uri: str
    name: str
    mime_type: OptionalText = None
    title: OptionalText = None
    description: OptionalText = None
    size: Annotated[int | None, Lenient] = None


class TextResource(Params):
    """A resource whose text came with the prompt."""

    uri: str
    text: str
    mime_type: OptionalText = None


class BlobResource(Params):
    """A resource whose bytes came with the prompt, base64."""

    uri: str
    blob: str = Field(repr=False)
    mime_type: OptionalText = None


def _resource_kind(value: Any) -> str:
    is_blob = isinstance(value, dict) and "text" not in value and "blob" in value
    return "<blob>" if is_blob else "<text>"


class ResourceBlock(Params):
    """A resource that came with the prompt."""

    resource: Annotated[
        Annotated[TextResource, Tag("<text>")] | Annotated[BlobResource, Tag("<blob>")], Discriminator(_resource_kind)
    ]


_BLOCK_TYPES = ("text", "image", "audio", "resource_link", "resource")


def _block_of_known_type(value: Any) -> Any:
    if isinstance(value, dict) and value.get("type") not in _BLOCK_TYPES:
        raise ValueError("type must be one of text, image, audio, resource_link, resource")
    return value


def _block_kind(value: Any) -> str | None:
    # Anything that is no object is left to the first model to refuse.
    return f"<{value.get('type')}>" if isinstance(value, dict) else "<text>"


ContentBlock = Annotated[
    Annotated[TextBlock, Tag("<text>")]
    | Annotated[ImageBlock, Tag("<image>")]
    | Annotated[AudioBlock, Tag("<audio>")]
    | Annotated[LinkBlock, Tag("<resource_link>")]
    | Annotated[ResourceBlock, Tag("<resource>")],
    Discriminator(_block_kind),
    BeforeValidator(_block_of_known_type),
]


# --- sessions


class Variable(Params):
    """An environment variable or an HTTP header; its value is often a secret."""

    name: str
    value: str = Field(repr=False)


class StdioServer(Params):
    """An MCP server to start as a process."""

    name: str
    command: str
    arguments: list[str] = Field(alias="args", repr=False)
    env: list[Variable]


class HttpServer(Params):
    """An MCP server to reach by HTTP; `type` is `http` or `sse`."""

    type: str
    name: str
    url: str
    headers: list[Variable]


class UnknownServer(Params):
    """An MCP server of a kind we do not know or that is malformed: it is left out, and the session lives."""

    name: OptionalText = None


def _server(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    if not isinstance(value, dict):
        return UnknownServer()
    kinds: dict[Any, type[Params]] = {None: StdioServer, "stdio": StdioServer, "http": HttpServer, "sse": HttpServer}
    kind = value.get("type")
    try:
        return parsed(kinds.get(kind, UnknownServer) if isinstance(kind, str | None) else UnknownServer, value)
    except InvalidParams:
        return parsed(UnknownServer, value)


McpServer = Annotated[StdioServer | HttpServer | UnknownServer, WrapValidator(_server)]
_EMPTY_FOR_NULL = BeforeValidator(lambda value: [] if value is None else value)
Directories = Annotated[list[AbsolutePath], _EMPTY_FOR_NULL]


class Opening(Params):
    """What every way into a session names: a directory to work in, servers, further directories."""

    cwd: AbsolutePath
    mcp_servers: list[McpServer]
    additional_directories: Directories = Field(default_factory=list)


class NewSession(Opening):
    """`session/new`."""


class LoadSession(Opening):
    """`session/load`: replay everything, then answer."""

    session_id: str


class ResumeSession(Opening):
    """`session/resume`: go on without a replay."""

    session_id: str
    mcp_servers: Annotated[list[McpServer], _EMPTY_FOR_NULL] = Field(default_factory=list)


class ForkSession(ResumeSession):
    """`session/fork` (unstable): a new session with the conversation of another, in a `cwd` of its own."""


class Logout(Params):
    """`logout`."""


class ListSessions(Params):
    """`session/list`; `cwd` filters by exact path."""

    cwd: AbsolutePath | None = None
    cursor: str | None = None


class DeleteSession(Params):
    """`session/delete`."""

    session_id: str


class CloseSession(Params):
    """`session/close`."""

    session_id: str


class Prompt(Params):
    """`session/prompt`: one turn."""

    session_id: str
    prompt: list[ContentBlock]


class SetMode(Params):
    """`session/set_mode`."""

    session_id: str
    mode_id: str


def _option_value(value: Any, info: ValidationInfo) -> str | bool:
    if info.data.get("type") == "boolean":
        if isinstance(value, bool):
            return value
        raise ValueError("must be a boolean, as its type says")
    if isinstance(value, str):
        return value
    raise ValueError("must be a string")


class SetConfigOption(Params):
    """`session/set_config_option`; a boolean value comes with type `boolean`, any other is an option's id."""

    session_id: str
    config_id: str
    type: str | None = None
    value: Annotated[str | bool, PlainValidator(_option_value)]


class Cancel(Params):
    """`session/cancel`."""

    session_id: str


class CancelRequest(Params):
    """`$/cancel_request`."""

    request_id: str | int | None
