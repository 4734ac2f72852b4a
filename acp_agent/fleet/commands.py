"""Gates and set-up commands through the sandbox of the tools."""

from dataclasses import dataclass, replace
from pathlib import Path

from acp_agent.domain.confinement import Confinement
from acp_agent.domain.errors import ToolError
from acp_agent.domain.redact import Redactor
from acp_agent.tools.sandbox.model import Sandbox
from acp_agent.tools.shell import run_command


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended; `exit_status` is None where it was stopped or could not run, as then `confinement` is."""

    exit_status: int | None
    seconds: float
    output: str
    confinement: Confinement | None = None


@dataclass(frozen=True, slots=True)
class SandboxedCommands:
    """A CommandRunner (fleet.worktree). `network` is open for set-up commands, which a person has trusted."""

    sandbox: Sandbox
    redact: Redactor
    network: bool = False

    async def __call__(self, command: str, cwd: str, seconds: float, /, protect: tuple[str, ...] = ()) -> Outcome:
        """Run `command` in `cwd` for at most `seconds`; what keeps it from running is an outcome too.

        It changes nothing of what the globs `protect` name, nor of what governs the agent.
        """
        sandbox = replace(self.sandbox, protect=(*self.sandbox.protect, *protect)) if protect else self.sandbox
        try:
            ended = await run_command(
                command, workspace=Path(cwd), timeout=seconds, network=self.network, sandbox=sandbox
            )
        except ToolError as error:
            return Outcome(None, 0.0, self.redact(error.message))
        return Outcome(ended.exit_status, ended.seconds, self.redact(ended.output), ended.confinement)
