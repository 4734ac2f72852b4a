"""Tools that a person declared in config.toml, as tools of the registry: commands in the sandbox, and HTTP calls."""

import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from acp_agent.domain.declared import CommandCall, DeclaredTool, HttpCall
from acp_agent.domain.egress import AllowList
from acp_agent.domain.errors import ToolError
from acp_agent.domain.tool import Intent, ToolResult
from acp_agent.domain.weight import Trait, Weight
from acp_agent.tools.breaker import Breaker
from acp_agent.tools.egress.network import Network
from acp_agent.tools.egress.outlet import Outlet
from acp_agent.tools.given import Given, given_for
from acp_agent.tools.http_call import answer_of
from acp_agent.tools.registry import Effect, Hooks, Ready, Seen, Tool
from acp_agent.tools.sandbox.model import Sandbox
from acp_agent.tools.shell import CALL_KEY, CommandResult, missed_hosts, run_command
from acp_agent.tools.template import filled_argv
from acp_agent.tools.workspace import Workspace

_NO_PROGRAM = (126, 127)
"""What a shell and bubblewrap exit with where the program cannot be started."""
_SLACK = 5.0


def declared_tools(
    declared: Sequence[DeclaredTool],
    sandbox: Sandbox,
    environ: Mapping[str, str] | None = None,
    network: Network | None = None,
) -> list[Tool]:
    """The tools, each with a breaker of its own: build them once for all runs of a process.

    `network` is how their commands reach the hosts they declare, where they declare any.
    """
    known = os.environ if environ is None else environ
    return [_tool(one, sandbox, known, network or Network()) for one in declared]


def _tool(declared: DeclaredTool, sandbox: Sandbox, environ: Mapping[str, str], network: Network) -> Tool:
    hosts = declared.call.egress if isinstance(declared.call, CommandCall) else ()
    program = _Program(declared, sandbox, environ, Outlet(network, AllowList.of(hosts)))

    def prepare(arguments: Given, workspace: Workspace, seen: Seen) -> Ready:
        values, root = arguments.values, workspace.root
        effect: Effect
        match declared.call:
            case CommandCall(argv=template):
                effect = program.effect(template, values, root)
            case HttpCall() as call:
                effect = _request(call, values, declared.timeout)
        hooks = Hooks(
            dry_run=None if declared.dry_run is None else program.told(declared.dry_run, values, root),
            verify=None if declared.verify is None else program.verdict(declared.verify, values, root),
            compensate=None if declared.compensate is None else program.effect(declared.compensate, values, root),
        )
        return Ready(Intent(title=arguments.title()), effect, hooks=hooks)

    traits: frozenset[Trait] = frozenset()
    if isinstance(declared.call, HttpCall):
        traits = frozenset({"untrusted", "outward"})
    elif declared.call.egress:
        traits = frozenset({"outward"})

    def weigh(arguments: Given, workspace: Workspace) -> Weight:
        return Weight(risk=declared.risk, traits=traits)

    return Tool(
        name=declared.name,
        description=declared.description,
        arguments=given_for(declared.name, declared.parameters),
        risk=declared.risk,
        kind="execute" if isinstance(declared.call, CommandCall) else "other",
        repeatable=declared.repeatable,
        # A command is stopped by its own limit, with what it had printed; this one is for what does not obey.
        timeout=declared.timeout + _SLACK,
        instant=True,
        prepare=prepare,
        weigh=weigh,
        breaker=Breaker(),
    )


@dataclass(frozen=True, slots=True)
class _Program:
    """The programs of one tool: all run in its environment, with the arguments as JSON on standard input.

    `outlet` is their network: the hosts that the tool declares, and nothing else.
    """

    declared: DeclaredTool
    sandbox: Sandbox
    environ: Mapping[str, str]
    outlet: Outlet

    def effect(self, template: Sequence[str], values: Mapping[str, Any], root: Path) -> Effect:
        argv = filled_argv(template, values)

        async def run(key: str) -> ToolResult:
            return _result(await self._run(argv, values, root, key), self.declared.timeout)

        return run

    def told(self, template: Sequence[str], values: Mapping[str, Any], root: Path) -> Callable[[str], Awaitable[str]]:
        argv = filled_argv(template, values)

        async def run(key: str) -> str:
            ended = await self._run(argv, values, root, key)
            return ended.output if ended.exit_status == 0 else f"exit status {ended.exit_status}\n{ended.output}"

        return run

    def verdict(
        self, template: Sequence[str], values: Mapping[str, Any], root: Path
    ) -> Callable[[str], Awaitable[bool | None]]:
        """Exit status 0: it happened; 1: it did not; anything else: nobody can tell."""
        argv = filled_argv(template, values)

        async def run(key: str) -> bool | None:
            status = (await self._run(argv, values, root, key)).exit_status
            return None if status is None else {0: True, 1: False}.get(status)

        return run

    async def _run(self, argv: list[str], values: Mapping[str, Any], root: Path, key: str) -> CommandResult:
        given = {name: self.environ[name] for name in self.declared.env if name in self.environ}
        environment = {**self.sandbox.environment, **given, **({CALL_KEY: key} if key else {})}
        try:
            return await run_command(
                argv,
                workspace=root,
                timeout=self.declared.timeout,
                sandbox=replace(self.sandbox, environment=environment),
                stdin=json.dumps(values).encode(),
                outlet=self.outlet,
            )
        except ToolError as error:
            if "execvp" not in error.message:
                raise
            # The sandbox stood; it was the program that it did not find inside.
            raise ToolError(f"{argv[0]} cannot be started in the sandbox.", kind="not_started") from None


def _request(call: HttpCall, values: Mapping[str, Any], timeout: float) -> Effect:
    async def run(key: str) -> ToolResult:
        return await answer_of(call, values, key, timeout)

    return run


def _result(ended: CommandResult, timeout: float) -> ToolResult:
    if ended.exit_status in _NO_PROGRAM:
        raise ToolError(f"The program cannot be started: {ended.output.strip()}", kind="not_started")
    kind, output = None, ended.output
    if ended.timed_out:
        kind, output = "timeout", f"stopped after {timeout:g} seconds\n{output}"
    elif ended.exit_status != 0:
        kind, output = "exit_status", f"exit status {ended.exit_status}\n{output}"
    return ToolResult(
        status="error" if kind else "ok",
        output=output,
        kind=kind,
        hint=missed_hosts(ended.network) if kind == "exit_status" else None,
        omitted=ended.omitted,
        sandbox=ended.sandbox,
        exit_status=ended.exit_status,
        seconds=round(ended.seconds, 3),
        origin="command",
        network=ended.network,
    )
