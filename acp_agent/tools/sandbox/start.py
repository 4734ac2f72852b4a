"""What to put before a program so that it runs confined."""

from collections.abc import Mapping
from pathlib import Path

from acp_agent.tools.sandbox.bubblewrap import bwrap_argv
from acp_agent.tools.sandbox.environment import command_environment
from acp_agent.tools.sandbox.model import Level, Sandbox


def confined_argv(
    sandbox: Sandbox, level: Level, root: Path, cwd: Path, environ: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """The words to put before a program, and the whole environment to start them with.

    `root` is the workspace (real path), `cwd` lies in it, `environ` is what variables are chosen from. They hold for a
    command and for a process that lives long, such as an MCP server on stdio: start it while this process lives, in
    this process (the filter is read from it), and kill its process group to end it. Its environment must be exactly
    the one given: secrets are kept out by that.
    """
    environment = command_environment(sandbox, level, environ)
    return ([] if level == "none" else bwrap_argv(sandbox, root, cwd, environ)), environment
