"""`acp completion`: the script that teaches a shell to complete `acp`."""

import click

from acp_agent.domain.errors import ExitCode
from acp_agent.surfaces.cli.group import Command


@click.command(
    cls=Command, epilog='Bash: eval "$(acp completion bash)" in ~/.bashrc; fish: acp completion fish | source'
)
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion(shell: str) -> int:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class

    from acp_agent.surfaces.cli.root import acp

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(acp, {}, "acp", "_ACP_COMPLETE").source())
    return int(ExitCode.OK)
