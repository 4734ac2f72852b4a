"""What to put before a program so that it runs confined and limited."""

from collections.abc import Mapping
from pathlib import Path

from acp_agent.tools.sandbox.bubblewrap import bwrap_argv
from acp_agent.tools.sandbox.environment import command_environment
from acp_agent.tools.sandbox.landlock import landlock_argv
from acp_agent.tools.sandbox.model import Level, Limits, Sandbox
from acp_agent.tools.sandbox.seccomp import filter_path

FILTER_DESCRIPTOR = 9
_OPEN_FILTER = f'exec {FILTER_DESCRIPTOR}<"$1" || exit 125; shift; '
# Inside: what counts there are the processes of this sandbox. dash calls it -p, where others have the size of pipes.
_PROCESSES = 'ulimit -u {0} 2>/dev/null || ulimit -p {0} 2>/dev/null; exec "$@"'
_FLAGS = {"RLIMIT_CORE": ("c", 512), "RLIMIT_DATA": ("d", 1024), "RLIMIT_FSIZE": ("f", 512), "RLIMIT_CPU": ("t", 1)}


def confined_argv(
    sandbox: Sandbox, level: Level, root: Path, cwd: Path, environ: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """The words to put before a program, and the whole environment to start them with.

    `root` is the workspace (real path), `cwd` lies in it and is where to start them, `environ` is what variables are
    chosen from. They hold for a command and for a process that lives long, such as an MCP server on stdio: start it
    while this process lives, in this process (the filter is read from it); to end it, SIGTERM, then SIGKILL to its
    process group. Its environment must be exactly the one given: secrets are kept out by that.
    """
    environment = command_environment(sandbox, level, environ, root)
    if level == "landlock":
        return landlock_argv(sandbox, root, environ), environment
    limits = _ulimits(sandbox.limits)
    if level == "none":
        return ["/bin/sh", "-c", f'{limits}exec "$@"', "sh"], environment
    before = ["/bin/sh", "-c", f'{_OPEN_FILTER}{limits}exec "$@"', "sh", filter_path("isolated")]
    inside = ["/bin/sh", "-c", _PROCESSES.format(sandbox.limits.processes), "sh"]
    return [*before, *bwrap_argv(sandbox, root, cwd, environ, FILTER_DESCRIPTOR), *inside], environment


def _ulimits(limits: Limits) -> str:
    """Shell words that lower what is higher; a limit below ours, set by a person, cannot be raised and stays."""
    parts = []
    for name, value in limits.resources().items():
        flag, unit = _FLAGS[name]
        parts.append(f"ulimit -{flag} {-(-value // unit)} 2>/dev/null; ")
    return "".join(parts)
