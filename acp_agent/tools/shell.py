"""Commands: `run_command` for gates and setup, and the `shell` tool, both in the sandbox."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import Field

from acp_agent.domain.confinement import Confinement
from acp_agent.domain.errors import ToolError
from acp_agent.domain.tool import Intent, NetworkUse, Risk, ToolResult
from acp_agent.domain.weight import Trait, Weight
from acp_agent.tools.command import Bounds, Captured, Stopped, run_program
from acp_agent.tools.egress.outlet import CLOSED, Outlet
from acp_agent.tools.naming import named
from acp_agent.tools.registry import Arguments, Ready, Seen, Tool, other_names, prepared_tool
from acp_agent.tools.sandbox.facts import confinement
from acp_agent.tools.sandbox.git_places import git_places
from acp_agent.tools.sandbox.home import with_home
from acp_agent.tools.sandbox.model import Level, Sandbox, exposes_home
from acp_agent.tools.sandbox.probe import forget, level_for
from acp_agent.tools.sandbox.protection import Protection
from acp_agent.tools.sandbox.start import confined_argv
from acp_agent.tools.workspace import Workspace

KEPT_OUTPUT = 32_000
WHOLE_OUTPUT = 1_000_000
"""Bytes of what a command of the agent prints that are held: the model reads its ends, a person can see all of it."""
DEFAULT_TIMEOUT = 120.0
MAX_TIMEOUT = 600.0
_FAILED_TO_START = (1, 125)
_NEAR = 4_000
"""Bytes around a cut in which the end of a line is looked for."""
_STARTERS = ("bwrap: ", "landlock: ")
CALL_KEY = "ACP_CALL_KEY"
"""The variable in which a command finds the idempotency key of its call."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended. `exit_status` is None where it was stopped; `omitted` counts bytes cut from the middle.

    `stopped` is the limit that ended it; `confinement` what held for it, and what it tampered with.
    """

    exit_status: int | None
    output: str
    omitted: int
    seconds: float
    timed_out: bool
    confinement: Confinement
    stopped: Stopped | None = None
    network: NetworkUse | None = None

    @property
    def sandbox(self) -> Level:
        """The level in force."""
        return self.confinement.level


async def run_command(
    command: str | Sequence[str],
    *,
    workspace: Path,
    timeout: float,  # noqa: ASYNC109  (a command's limit ends in a result, not in an exception)
    network: bool = False,
    sandbox: Sandbox | None = None,
    cwd: Path | None = None,
    stdin: bytes = b"",
    keep: int = KEPT_OUTPUT,
    outlet: Outlet = CLOSED,
) -> CommandResult:
    """Run a shell command, or a program with its arguments, in `workspace`.

    It is confined as `sandbox` says, by default in a sandbox or not at all. `timeout` in seconds; `network` opens the
    network for this command alone, `outlet` a way to its hosts; `stdin` is all it can read; `keep` bytes of output are
    kept, half from each end. Nothing it started lives on. Raises ToolError(kind="no_sandbox") where it cannot be
    confined as required.
    """
    root = Workspace.at(workspace).root
    sandbox = _for_command(sandbox or Sandbox(), root, network, timeout)
    level = _level(sandbox, root)
    bounds = Bounds(
        timeout,
        head=keep // 2,
        tail=keep // 2,
        sweep=level != "bwrap",
        supervised=level == "landlock",
        memory=sandbox.limits.most_memory,
        processes=sandbox.limits.processes,
    )
    aside = None if sandbox.state is None else sandbox.state / "quarantine"
    protection = Protection(root, git_places(root), level, aside, sandbox)
    # A few dozen stats, in about the time that a thread would take to begin with them.
    try:
        async with outlet.for_command(sandbox, level) as (opened, record):
            opened = replace(opened, held=protection.held)
            argv, environment = _program(command, opened, level, root, cwd or root)
            ended = await run_program(argv, cwd=cwd or root, environment=environment, bounds=bounds, stdin=stdin)
    finally:
        tampered = protection.mend()
    output, omitted = _both_ends(ended)
    if ended.exit_status in _FAILED_TO_START and output.startswith(_STARTERS) and output.count("\n") <= 1:
        # Something has changed since it was tried: the next command finds out which level holds now.
        forget(sandbox)
        raise ToolError(f"The sandbox could not be made: {output.strip()}", kind="sandbox_failed", retryable=True)
    held = confinement(opened, level, tampered)
    return CommandResult(
        ended.exit_status,
        output,
        omitted,
        ended.seconds,
        ended.timed_out,
        held,
        ended.stopped,
        record.use(),
    )


def _both_ends(ended: Captured) -> tuple[str, int]:
    """What a program printed, and how many bytes of it were cut from the middle.

    They are cut at the ends of lines where some are near: half of a secret would not be known for one.
    """
    if not ended.omitted:
        return (ended.head + ended.tail).decode(errors="replace"), 0
    head = ended.head[: ended.head.rfind(b"\n", -_NEAR) + 1 or None]
    tail = ended.tail[ended.tail.find(b"\n", 0, _NEAR) + 1 :]
    omitted = ended.total - len(head) - len(tail)
    note = f"\n[... {omitted:,} bytes cut here; filter the output, or read parts of it from a file ...]\n"
    return head.decode(errors="replace") + note + tail.decode(errors="replace"), omitted


def _for_command(sandbox: Sandbox, root: Path, network: bool, timeout: float) -> Sandbox:
    """What holds for one command: its network, its time of all processors, the home of its project."""
    limits = sandbox.limits
    if limits.cpu_seconds is None:
        limits = replace(limits, cpu_seconds=int(timeout * (os.cpu_count() or 1)) + 1)
    return with_home(replace(sandbox, network=network or sandbox.network, limits=limits), root)


def _level(sandbox: Sandbox, root: Path) -> Level:
    level = level_for(sandbox)
    if level is None:
        raise ToolError("Commands cannot run here: there is no working sandbox.", kind="no_sandbox")
    if level != "none" and exposes_home(root):
        raise ToolError(f"Commands cannot be confined to {root}: it holds the home directory.", kind="no_sandbox")
    return level


def _program(
    command: str | Sequence[str], sandbox: Sandbox, level: Level, root: Path, cwd: Path
) -> tuple[list[str], dict[str, str]]:
    prefix, environment = confined_argv(sandbox, level, root, cwd, os.environ)
    if not isinstance(command, str):
        return [*prefix, *command], environment
    return [*prefix, shutil.which("bash", path=environment["PATH"]) or "sh", "-c", command], environment


UNCONFINED = (
    "Run a command in bash and return its exit status and output (stdout and stderr together). It runs without a"
    " sandbox, as the person who started you: a person is asked first."
)


WAY_OUT = (
    "Of the network there are these hosts alone, for programs that heed HTTP_PROXY and HTTPS_PROXY (most do, untold): "
)


class Shell(Arguments):
    OTHER_NAMES = other_names(command="cmd script", cwd="directory workdir working_directory")

    command: str = Field(min_length=1, description="What bash runs.")
    timeout: float = Field(
        DEFAULT_TIMEOUT, gt=0, le=MAX_TIMEOUT, description="Seconds after which it is stopped, at most 600."
    )
    cwd: str = Field(".", description="Directory to run in, relative to the workspace.")

    def title(self) -> str:
        return self.command


def shell_tool(sandbox: Sandbox, *, confined: bool = True, outlet: Outlet = CLOSED) -> Tool:
    """The `shell` tool, confined as `sandbox` says, with the way out of `outlet`.

    Where it is not confined, what a command breaks is not only local.
    """
    if confined:
        # What was weighed as confined never runs bare, should the sandbox fail later.
        sandbox = replace(sandbox, level="required")

    risk = Risk.LOCAL if confined else Risk.EXTERNAL
    traits: frozenset[Trait] = frozenset(("outward",)) if outlet.is_open else frozenset()

    def weigh(arguments: Shell, workspace: Workspace) -> Weight:
        line = named(arguments.command)
        reasons = tuple(filter(None, ("" if confined else "it is not confined by a sandbox", line.why or "")))
        return Weight(risk=risk, commands=line.commands, opaque=line.opaque, traits=traits, reasons=reasons)

    @prepared_tool(risk, kind="execute", timeout=None, weigh=weigh)
    def shell(arguments: Shell, workspace: Workspace, seen: Seen) -> Ready:
        """Run a command in bash and return its exit status and output (stdout and stderr together).

        It runs in a sandbox: the workspace is writable, the rest of the system read-only, the home directory and the
        network are not there, and /tmp is empty each time. `git commit` works; git's configuration and hooks, and files
        that editors or agents act upon (.vscode, .mcp.json), cannot be changed. In a batch your changes are committed
        for you. No process outlives the command, and nothing can be typed into it.
        """
        where = workspace.absolute(workspace.directory(arguments.cwd))

        async def run(key: str) -> ToolResult:
            keyed = replace(sandbox, environment={**sandbox.environment, CALL_KEY: key}) if key else sandbox
            return _told(
                await run_command(
                    arguments.command,
                    workspace=workspace.root,
                    timeout=arguments.timeout,
                    sandbox=keyed,
                    cwd=where,
                    keep=WHOLE_OUTPUT,
                    outlet=outlet,
                ),
                arguments.timeout,
            )

        return Ready(Intent(title=arguments.title()), run)

    if not confined:
        return replace(shell, description=UNCONFINED)
    if not outlet.is_open:
        return shell
    return replace(shell, description=f"{shell.description}\n\n{WAY_OUT}{outlet.hosts()}.")


def missed_hosts(network: NetworkUse | None) -> str | None:
    """What to say of the hosts that a command asked for in vain."""
    if network is None or not (network.refused or network.failed):
        return None
    missed = (*network.refused, *(f"{host} (no answer)" for host in network.failed))
    return f"It asked for hosts it did not reach: {', '.join(missed[:5])}."


def _told(ended: CommandResult, timeout: float) -> ToolResult:
    """A command that failed is an error to the model, and says so before its output."""
    kind, hint = None, None
    output = ended.output
    if ended.timed_out:
        kind, hint = "timeout", f"Do less at once, or give a longer timeout (at most {MAX_TIMEOUT:g} seconds)."
        output = f"stopped after {timeout:g} seconds\n{output}"
    elif ended.stopped is not None:
        kind, hint = "limit", "Do less at once: fewer processes, or data in parts."
        output = f"stopped: it used more {ended.stopped} than a command may\n{output}"
    elif ended.exit_status != 0:
        kind = "exit_status"
        output = f"exit status {ended.exit_status}\n{output}"
    if kind == "exit_status":
        hint = missed_hosts(ended.network)
    if tampered := ended.confinement.tampered:
        kind, hint = kind or "tampered", "These files govern what runs here; no command may make or change them."
        output = "".join(f"protected: it {line}\n" for line in tampered) + output
    return ToolResult(
        status="error" if kind else "ok",
        output=output,
        kind=kind,
        hint=hint,
        omitted=ended.omitted,
        sandbox=ended.sandbox,
        confinement=ended.confinement,
        origin="command",
        exit_status=ended.exit_status,
        seconds=round(ended.seconds, 3),
        network=ended.network,
    )
