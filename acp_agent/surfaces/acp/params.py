"""Parameters of the methods a client calls, typed; and what it says of itself.

Names are camelCase on the wire. A field we do not know is ignored, because the protocol grows; one we know must have
its type. Where the schema says that a malformed optional field counts as absent, it does.
"""

import os
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.alias_generators import to_camel

from acp_agent.surfaces.acp.faults import InvalidParams

P = TypeVar("P", bound="Params")


class Params(BaseModel):
    """The base of everything that comes from a client."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
    )


def parsed(model: type[P], raw: Mapping[str, Any]) -> P:
    """`raw` as a `model`. Raises InvalidParams with the name of the first wrong field; never repeats a value."""
    try:
        return model.model_validate(raw, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidParams(_problem(error)) from None


def _problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = ""
    for step in first["loc"]:
        if isinstance(step, int):
            path += f"[{step}]"
        elif not step.startswith("<"):
            path += f".{step}" if path else step
    message = _WORDS.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    return f"{path or 'params'}: {message[:1].lower()}{message[1:]}"


_WORDS = {
    "bool_type": "must be a boolean",
    "dict_type": "must be an object",
    "int_type": "must be an integer",
    "list_type": "must be an array",
    "missing": "is missing",
    "model_type": "must be an object",
    "string_type": "must be a string",
}


def _none_if_malformed(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    try:
        return validate(value)
    except ValidationError:
        return None


def _absolute(path: str) -> str:
    if not os.path.isabs(path) or "\0" in path:
        raise ValueError("must be an absolute path")
    return path


Lenient = WrapValidator(_none_if_malformed)
OptionalText = Annotated[str | None, Lenient]
AbsolutePath = Annotated[str, AfterValidator(_absolute)]


# --- initialize


class FileAccess(Params):
    """Which of the client's file methods may be called."""

    read_text_file: Annotated[bool | None, Lenient] = False
    write_text_file: Annotated[bool | None, Lenient] = False


class TerminalSignIn(Params):
    """Whether the client can run a sign-in in a terminal."""

    terminal: Annotated[bool | None, Lenient] = False


class Elicitations(Params):
    """Ways the client can ask a person something; an object means it can."""

    form: Annotated[dict[str, Any] | None, Lenient] = None
    url: Annotated[dict[str, Any] | None, Lenient] = None


class ConfigOptions(Params):
    """Kinds of options beyond a select that the client shows; an object means it can."""

    boolean: Annotated[dict[str, Any] | None, Lenient] = None


class SessionFeatures(Params):
    """What the client can show of a session."""

    config_options: Annotated[ConfigOptions | None, Lenient] = None


class Capabilities(Params):
    """What a client advertised. Anything it did not, or said malformed, it cannot do."""

    fs: Annotated[FileAccess | None, Lenient] = None
    terminal: Annotated[bool | None, Lenient] = False
    session: Annotated[SessionFeatures | None, Lenient] = None
    auth: Annotated[TerminalSignIn | None, Lenient] = None
    elicitation: Annotated[Elicitations | None, Lenient] = None

    @property
    def boolean_options(self) -> bool:
        """Whether options of type `boolean` may be sent."""
        options = self.session.config_options if self.session else None
        return options is not None and options.boolean is not None

    def allows(self, method: str) -> bool:
        """Whether a request `method` may be sent to this client."""
        match method:
            case "fs/read_text_file":
                return bool(self.fs and self.fs.read_text_file)
            case "fs/write_text_file":
                return bool(self.fs and self.fs.write_text_file)
            case "elicitation/create":
                return bool(self.elicitation and (self.elicitation.form, self.elicitation.url) != (None, None))
            case _ if method.startswith("terminal/"):
                return bool(self.terminal)
            case _:
                return True


class ClientInfo(Params):
    """Who the client is."""

    name: str
    version: str
    title: OptionalText = None


class Initialize(Params):
    """`initialize`."""

    protocol_version: int
    client_capabilities: Annotated[Capabilities | None, Lenient] = None
    client_info: Annotated[ClientInfo | None, Lenient] = None


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


_BLOCK_TYPES = frozenset({"text", "image", "audio", "resource_link", "resource"})


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
Directories = Annotated[list[AbsolutePath], BeforeValidator(lambda value: [] if value is None else value)]


class NewSession(Params):
    """`session/new`."""

    cwd: AbsolutePath
    mcp_servers: list[McpServer]
    additional_directories: Directories = []


class LoadSession(Params):
    """`session/load`: replay everything, then answer."""

    session_id: str
    cwd: AbsolutePath
    mcp_servers: list[McpServer]
    additional_directories: Directories = []


class ResumeSession(Params):
    """`session/resume`: go on without a replay."""

    session_id: str
    cwd: AbsolutePath
    mcp_servers: Annotated[list[McpServer], BeforeValidator(lambda value: [] if value is None else value)] = []
    additional_directories: Directories = []


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
