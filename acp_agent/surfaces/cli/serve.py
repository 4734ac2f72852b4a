"""`acp serve` for people: what it is and how an editor starts it; an editor's own start never comes here."""

import click

from acp_agent.domain.errors import UsageError
from acp_agent.surfaces.cli.group import Command

EDITORS = """\b
Zed (settings.json), JetBrains (~/.jetbrains/acp.json):
  {"agent_servers": {"ACP Agent": {"command": "acp", "args": ["serve"], "env": {}}}}
VS Code (extension ACP Client, settings.json):
  {"acp.agents": {"ACP Agent": {"command": "acp", "args": ["serve"], "env": {}}}}"""


@click.command(cls=Command, epilog=EDITORS)
@click.option("--login", is_flag=True, help="Enter a provider and its key or address, try them, and keep them.")
def serve(login: bool) -> int:
    """Speak the Agent Client Protocol over stdin and stdout, for an editor.

    Keys and models are those of the environment the editor gives, and of config.toml, else those entered at
    `--login`, which asks for them in a terminal.
    """
    if login:
        from acp_agent.surfaces.cli.login import login as ask

        return ask()
    raise UsageError("serve takes no options before it", hint="acp serve")
