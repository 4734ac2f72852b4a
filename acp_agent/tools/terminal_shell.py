"""The `shell` tool over an editor's terminal, where there is no sandbox and the user allows commands without one."""

import os
import shutil
from dataclasses import replace

from acp_agent.domain.tool import Intent, Risk, ToolResult
from acp_agent.domain.weight import Weight
from acp_agent.tools.editor import EditorTerminal, Ended
from acp_agent.tools.naming import named
from acp_agent.tools.registry import Ready, Seen, Tool, prepared_tool
from acp_agent.tools.shell import CALL_KEY, KEPT_OUTPUT, MAX_TIMEOUT, Shell
from acp_agent.tools.workspace import Workspace

LEVEL = "client terminal"
"""The level in force for such a command: none of ours, and it says so."""


def terminal_shell(terminal: EditorTerminal) -> Tool:
    """The tool. What a command breaks there is not only local, so a person is asked."""

    def weigh(arguments: Shell, workspace: Workspace) -> Weight:
        line = named(arguments.command)
        reasons = tuple(filter(None, ("it runs in your editor's terminal, without a sandbox", line.why or "")))
        return Weight(risk=Risk.EXTERNAL, commands=line.commands, opaque=line.opaque, reasons=reasons)

    @prepared_tool(Risk.EXTERNAL, kind="execute", timeout=None, weigh=weigh)
    def shell(arguments: Shell, workspace: Workspace, seen: Seen) -> Ready:
        """Run a command in bash in the editor's terminal and return its exit status and output (stdout and stderr).

        It runs without a sandbox, as the person who sits there: a person is asked first. Nothing can be typed into it.
        """
        where = workspace.absolute(workspace.directory(arguments.cwd))

        async def run(key: str) -> ToolResult:
            bash = shutil.which("bash", path=os.environ.get("PATH")) or "sh"
            ended = await terminal.run(
                [bash, "-c", arguments.command],
                cwd=where,
                environment={CALL_KEY: key} if key else {},
                seconds=arguments.timeout,
                keep=KEPT_OUTPUT,
                key=key,
            )
            return _told(ended, arguments.timeout)

        return Ready(Intent(title=arguments.title()), run)

    return replace(shell, name="shell")


def _told(ended: Ended, timeout: float) -> ToolResult:
    kind, hint, output = None, None, ended.output
    if ended.truncated:
        output = f"[... cut here; filter the output, or read parts of it from a file ...]\n{output}"
    if ended.timed_out:
        kind, hint = "timeout", f"Do less at once, or give a longer timeout (at most {MAX_TIMEOUT:g} seconds)."
        output = f"stopped after {timeout:g} seconds\n{output}"
    elif ended.exit_status != 0:
        kind = "exit_status"
        status = "stopped" if ended.exit_status is None else f"exit status {ended.exit_status}"
        output = f"{status}\n{output}"
    return ToolResult(
        status="error" if kind else "ok",
        output=output,
        kind=kind,
        hint=hint,
        sandbox=LEVEL,
        origin="command",
        exit_status=ended.exit_status,
        seconds=round(ended.seconds, 3),
    )
