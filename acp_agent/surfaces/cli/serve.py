"""`acp serve` for people: what it is and how an editor starts it; an editor's own start never comes here."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from acp_agent.domain.errors import UsageError
from acp_agent.surfaces.cli.group import Command

if TYPE_CHECKING:
    from acp_agent.config.listening import Listening

    Serve = Callable[[Listening], int]

EDITORS = """\b
Zed (settings.json), JetBrains (~/.jetbrains/acp.json):
  {"agent_servers": {"ACP Agent": {"command": "acp", "args": ["serve"], "env": {}}}}
VS Code (extension ACP Client, settings.json):
  {"acp.agents": {"ACP Agent": {"command": "acp", "args": ["serve"], "env": {}}}}"""


@click.command(cls=Command, epilog=EDITORS)
@click.option("--login", is_flag=True, help="Enter a provider and its key or address, try them, and keep them.")
@click.option(
    "--http",
    is_flag=False,
    flag_value="127.0.0.1:4242",
    metavar="[HOST:PORT]",
    help="Serve over HTTP and WebSocket at /acp instead (127.0.0.1:4242), with a token.",
)
@click.option("--unix", metavar="PATH", help="The same at a socket file, which is yours alone.")
@click.option(
    "--trusted-proxy",
    "names",
    multiple=True,
    metavar="NAME",
    help="The public host name of a proxy in front that speaks TLS; needed to listen off this machine.",
)
@click.pass_obj
def serve(remotely: "Serve | None", login: bool, http: str | None, unix: str | None, names: tuple[str, ...]) -> int:
    """Speak the Agent Client Protocol over stdin and stdout, for an editor, or over HTTP and WebSocket.

    Keys and models are those of the environment the editor gives, and of config.toml, else those entered at
    `--login`, which asks for them in a terminal. With --http or --unix it runs until it is told to stop, and says where
    it listens and where its token is.
    """
    if login:
        from acp_agent.surfaces.cli.login import login as ask

        return ask()
    if http is None and unix is None:
        hint = "acp serve --http" if names else "acp serve"
        raise UsageError("--trusted-proxy goes with --http" if names else "serve takes no options before it", hint=hint)
    from acp_agent.config.listening import listening_at

    listening = listening_at(http, unix, names)
    assert remotely is not None, "only acp_agent.main knows the surfaces that serve"
    return remotely(listening)
