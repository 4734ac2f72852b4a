"""What a client says of itself in `initialize`."""

from typing import Annotated, Any

from acp_agent.surfaces.acp.fields import Lenient, OptionalText, Params


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
