"""The one way a tool is called: arguments read and validated, the effect bounded, the result told in one shape."""

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import anyio.to_thread
from pydantic import ValidationError

from acp_agent.domain.errors import ToolError
from acp_agent.domain.message import ToolCall
from acp_agent.domain.redact import Redactor
from acp_agent.domain.tool import Intent, NetworkUse, Risk, ToolResult, ToolSpec
from acp_agent.domain.weight import Weight
from acp_agent.tools.ask import ask_user
from acp_agent.tools.breaker import Breaker
from acp_agent.tools.editor import EditorTerminal
from acp_agent.tools.egress.outlet import CLOSED, LEVELS, Outlet
from acp_agent.tools.files import edit_file, read_file, write_file
from acp_agent.tools.listing import list_files
from acp_agent.tools.outputs import Outputs
from acp_agent.tools.plan import plan
from acp_agent.tools.prepared import Prepared, failed
from acp_agent.tools.registry import Arguments, Ready, Seen, Tool, sketch
from acp_agent.tools.repair import Unreadable, parse_arguments
from acp_agent.tools.sandbox.model import Sandbox, exposes_home, state_in
from acp_agent.tools.sandbox.probe import level_for
from acp_agent.tools.search import search
from acp_agent.tools.shell import shell_tool
from acp_agent.tools.source import NoSource, Source
from acp_agent.tools.surroundings import Surroundings, gate_files
from acp_agent.tools.weighing import Scales, unread
from acp_agent.tools.workbench import Workbench
from acp_agent.tools.workspace import Workspace, tool_error

_MAX_TITLE = 500
PATIENCE = 45.0
"""Seconds to wait for a tool that a server is still to bring."""
_MAX_HINT = 2000
_HOLDS_SECRET = ToolError(
    "The arguments held a secret, or what looks like one. It was masked, so the call was not made.",
    kind="holds_secret",
    hint="A real secret: let the command read it from its environment or file. An example: write EXAMPLE into it.",
)


@dataclass(frozen=True, slots=True)
class Guard:
    """The tools on offer, bound to a workspace (`domain.ports.Tools`).

    `lines` are what the model should know of tools that are missing from the start.
    """

    tools: Mapping[str, Tool]
    workspace: Workspace
    redactor: Redactor
    outputs: Outputs = field(default_factory=Outputs)
    scales: Scales = field(default_factory=Scales)
    lines: tuple[str, ...] = ()
    source: Source = field(default_factory=NoSource)

    def _all(self) -> Mapping[str, Tool]:
        return {**self.source.tools(), **self.tools}

    def specs(self) -> Mapping[str, ToolSpec]:
        """The tools that can be called, by name."""
        return {name: tool.spec for name, tool in self._all().items()}

    async def refresh(self) -> None:
        """Take over which tools came and went, without waiting for any."""
        await self.source.refresh()

    def release(self) -> None:
        """The run is over, or waits."""
        self.source.release()

    async def _found(self, name: str) -> Tool | None:
        """A tool by name; for one that is not there, whoever is still to bring some is waited for."""
        tool = self.tools.get(name) or self.source.tools().get(name)
        if tool is None:
            await self.source.settled(PATIENCE)
            tool = self.source.tools().get(name)
        return tool

    async def weigh(self, call: ToolCall) -> Weight:
        """What `call` weighs; one that `prepare` will refuse weighs what its tool does."""
        tool = await self._found(call.name)
        if tool is None:
            return Weight(risk=Risk.READ, opaque=True)
        try:
            return await self._weighed(tool, _arguments(tool, call.arguments))
        except (ToolError, OSError):
            return unread(tool, call.arguments, self.workspace, self.scales.level)

    def offered(self, loaded: Collection[str] = ()) -> tuple[ToolSpec, ...]:
        """The tools whose schema the model is shown: not those that rest after failures of their own."""
        shown = {**{tool.name: tool for tool in self.source.shown(loaded)}, **self.tools}
        return tuple(tool.spec for tool in shown.values() if not _rests(tool))

    def notes(self) -> tuple[str, ...]:
        """What the model should know of tools it is not shown, a line each."""
        lines = [*self.lines, *map(self.shown, self.source.notes())]
        resting: dict[Breaker, list[str]] = {}
        for name, tool in self._all().items():
            if tool.breaker is not None and tool.breaker.rests:
                resting.setdefault(tool.breaker, []).append(name)
        for breaker, names in resting.items():
            which = f"tool {names[0]} is" if len(names) == 1 else f"tools {', '.join(names)[:500]} are"
            lines.append(f"The {which} not available for a while: it {self.shown(breaker.reason)}")
        return tuple(lines)

    async def prepare(self, call: ToolCall, seen: Seen, key: str = "") -> Prepared | ToolResult:
        """Validate `call` without any effect. A result is a refusal, which the model reads.

        `key` is the idempotency key that the effect will be handed.
        """
        tool = await self._found(call.name)
        if tool is None:
            return self._refusal(_unknown(call.name, self._all()))
        if call.masked:
            return self._refusal(_HOLDS_SECRET)
        try:
            arguments = _arguments(tool, call.arguments)
        except ToolError as error:
            return self._refusal(error)
        try:
            ready = await self._prepared(tool, arguments, seen)
            weight = await self._weighed(tool, arguments)
        except ToolError as error:
            return self.finished(failed(error))
        except OSError as error:
            return self.finished(failed(tool_error(error, arguments.title())))
        # A tool that declares no paths has told them now.
        weight = self.scales.with_writes(weight, ready.intent.after, self.workspace)
        recorded = self._recorded(ready, key)
        return Prepared(self, tool, ready, recorded, weight, arguments.model_dump(mode="json"))

    async def recover(self, call: ToolCall, intent: Intent, seen: Seen) -> Prepared | ToolResult | None:
        """What became of a call whose driver died after its intent.

        Told by content hashes, by the tool's own `verify`, or because it only looks.
        """
        if intent.after:
            return await self._recover_write(call, intent, seen)
        tool = await self._found(call.name)
        if tool is None:
            return None
        prepared = await self.prepare(call, seen, intent.key)
        if tool.repeatable or isinstance(prepared, ToolResult):
            return prepared if tool.repeatable else None
        happened = await prepared.verify()
        if happened is None:
            return None
        done = f"{intent.title}: it took effect before an interruption; its output is lost."
        return self.finished(ToolResult(status="ok", output=done)) if happened else prepared

    async def compensate(self, call: ToolCall, intent: Intent) -> ToolResult | None:
        """Undo the effect of a finished call; None where the tool cannot."""
        prepared = await self.prepare(call, {}, intent.key)
        return prepared if isinstance(prepared, ToolResult) else await prepared.compensate()

    async def _recover_write(self, call: ToolCall, intent: Intent, seen: Seen) -> Prepared | ToolResult:
        try:
            current = await anyio.to_thread.run_sync(self._look, tuple(intent.after))
        except ToolError as error:
            return self.finished(failed(error))
        if current == intent.after:
            return self.finished(
                ToolResult(
                    status="ok", output=f"{intent.title}: already applied before an interruption.", seen=dict(current)
                )
            )
        if current == intent.before:
            return await self.prepare(call, seen, intent.key)
        return self.finished(
            ToolResult(
                status="error",
                output=f"{intent.title}: interrupted, and the file now has other content than before or after it.",
                kind="conflict",
                hint="Read the file again and decide what is left to do.",
            )
        )

    def _look(self, paths: Iterable[str]) -> dict[str, str | None]:
        current: dict[str, str | None] = {}
        for recorded in paths:
            # It was inside when it was recorded; a link may have been made since.
            path = self.workspace.relative(recorded)
            self.workspace.clear_unfinished(path)
            current[recorded] = self.workspace.digest(path)
        return current

    async def _prepared(self, tool: Tool, arguments: Arguments, seen: Seen) -> Ready:
        if tool.instant:
            return tool.prepare(arguments, self.workspace, seen)
        return await anyio.to_thread.run_sync(tool.prepare, arguments, self.workspace, seen)

    async def _weighed(self, tool: Tool, arguments: Arguments) -> Weight:
        weigh = partial(self.scales.weigh, tool, arguments, self.workspace)
        return weigh() if tool.weigh is None else await anyio.to_thread.run_sync(weigh)

    def _recorded(self, ready: Ready, key: str) -> Intent:
        title = self.shown(ready.intent.title)
        if len(title) > _MAX_TITLE:
            title = title[:_MAX_TITLE] + " [...]"
        compensates = ready.hooks.compensate is not None
        return ready.intent.model_copy(update={"title": title, "key": key, "compensates": compensates})

    def shown(self, text: str) -> str:
        """`text` as a person may read it: secrets masked, and nothing that no record can hold."""
        return _clean(self.redactor(text))

    def _refusal(self, error: ToolError) -> ToolResult:
        return self.finished(failed(error).model_copy(update={"status": "refused"}))

    def finished(self, result: ToolResult) -> ToolResult:
        """The result as it may be recorded and read: secrets masked, and no longer than the cap."""
        output, cut, artifact = self.outputs.fit(_clean(self.redactor.listing(result.output)), result.origin)
        hint = None if result.hint is None else _clean(self.redactor(result.hint))[:_MAX_HINT]
        diff = None if result.diff is None else _clean(self.redactor(result.diff))
        network = None if result.network is None else self._hosts(result.network)
        changes = {"output": output, "omitted": result.omitted + cut, "artifact": artifact}
        return result.model_copy(update={**changes, "hint": hint, "diff": diff, "network": network})

    def _hosts(self, use: NetworkUse) -> NetworkUse:
        """A host may be a secret that somebody tried to send away as a name."""
        lists = (use.reached, use.refused, use.failed)
        reached, refused, failed = (tuple(self.shown(host) for host in hosts) for hosts in lists)
        return NetworkUse(reached=reached, refused=refused, failed=failed)


def _rests(tool: Tool) -> bool:
    return tool.breaker is not None and tool.breaker.rests


def _arguments(tool: Tool, text: str) -> Arguments:
    """The arguments of a call. Raises ToolError(kind="invalid_arguments") that says which field is wrong."""
    try:
        return tool.arguments.model_validate(parse_arguments(text))
    except Unreadable as error:
        problem = str(error)
    except ValidationError as error:
        problem = "; ".join(_problems(error))
    raise ToolError(
        f"Invalid arguments for {tool.name}: {problem}.",
        kind="invalid_arguments",
        retryable=True,
        hint=f"Expected {sketch(tool.spec.parameters)}",
    )


def _problems(error: ValidationError) -> list[str]:
    """What is wrong, field by field; of a list that is wrong because of its items, only the items."""
    found = {one["loc"]: one["msg"] for one in error.errors(include_url=False, include_context=False)}
    outer = {place[:length] for place in found for length in range(len(place))}
    shown = [(place, what) for place, what in found.items() if place not in outer]
    return [f"{'.'.join(map(str, place)) or 'arguments'}: {what}" for place, what in shown[:5]]


def _unknown(name: str, tools: Mapping[str, Tool]) -> ToolError:
    near = difflib.get_close_matches(name.lower(), tools, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"There are {', '.join(tools)}."
    return ToolError(f"There is no tool {name[:100]!r}.", kind="unknown_tool", retryable=False, hint=hint)


def _clean(text: str) -> str:
    """Without what a database or a JSON text cannot hold: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}").encode("utf-8", "backslashreplace").decode()


def standard_tools(
    workspace: Workspace,
    *,
    read_only: bool,
    unattended: bool,
    sandbox: Sandbox,
    patches: bool = False,
    outlet: Outlet = CLOSED,
    terminal: EditorTerminal | None = None,
) -> list[Tool]:
    """The usual set, `apply_patch` among them where `patches` are wanted.

    `shell` is left out where it could reach our own state, and where it could not be confined, unless a person allowed
    that and is there; then it is their editor's `terminal` that runs commands, where there is one.
    """
    tools = [read_file, list_files, search, edit_file, write_file, plan, ask_user]
    if patches:
        from acp_agent.tools.apply_patch import apply_patch

        tools.append(apply_patch)
    if read_only:
        return [tool for tool in tools if tool.risk == Risk.READ]
    exposed = exposes_home(workspace.root) or state_in(workspace.root, sandbox) is not None
    level = None if exposed else level_for(sandbox)
    if level == "none" and not unattended and terminal is not None:
        from acp_agent.tools.terminal_shell import terminal_shell

        tools.append(terminal_shell(terminal))
    elif level not in (None, "none") or (level == "none" and not unattended):
        tools.append(shell_tool(sandbox, confined=level != "none", outlet=outlet if level in LEVELS else CLOSED))
    return tools


async def open_tools(
    root: Path,
    *,
    read_only: bool = False,
    unattended: bool = True,
    redactor: Redactor | None = None,
    sandbox: Sandbox | None = None,
    extra: Iterable[Tool] = (),
    gates: Iterable[str] = (),
    protect: tuple[str, ...] = (),
    private: tuple[str, ...] = (),
    lines: tuple[str, ...] = (),
    patches: bool = False,
    source: Source | None = None,
    outlet: Outlet = CLOSED,
    outputs: Outputs | None = None,
    bench: Workbench | None = None,
    also: tuple[str, ...] = (),
) -> Guard:
    """The tools of a run that works in `root`, an existing directory. `extra` are offered beside the usual ones.

    `lines` are for the model, about tools it is not offered; `source` brings tools that come and go. `gates` are the
    commands whose files govern the run, `protect` globs of what its project protects, `private` names of files that are
    not for others. `patches`: the model is one that writes patches. `outlet` is what commands may reach of the network.
    `outputs` says where long outputs are kept.
    `bench` is what the editor of whoever watches lends, `also` further directories for file tools.

    Raises NotADirectoryError. The first call of a process tries the sandbox, which takes about 20 ms in a thread.
    """
    lent = bench or Workbench()
    workspace = Workspace.at(root, lent.files, also)
    own = sandbox or Sandbox()

    def look() -> tuple[tuple[str, ...], list[Tool], str | None, Path | None]:
        governed = gate_files(tuple(gates), workspace.root)
        kept = tuple(workspace.absolute(path) for path in governed)
        usual = standard_tools(
            workspace,
            read_only=read_only,
            unattended=unattended,
            patches=patches,
            sandbox=replace(own, protected=kept, protect=(*own.protect, *protect)),
            outlet=outlet,
            terminal=lent.terminal,
        )
        return governed, usual, level_for(own), state_in(workspace.root, own)

    governed, usual, level, state = await anyio.to_thread.run_sync(look)
    offered = [*usual, *(tool for tool in extra if not read_only or tool.risk == Risk.READ)]
    # An answer for a command here holds for none in the editor's terminal, nor the other way round.
    named = "client terminal" if level == "none" and lent.terminal is not None else level or ""
    ours = () if state is None else (str(state.relative_to(workspace.root)),)
    scales = Scales(named, (*governed, *ours), protect, Surroundings(workspace, private))
    return Guard(
        {tool.name: tool for tool in offered},
        workspace,
        redactor or Redactor(()),
        outputs=outputs or Outputs(),
        scales=scales,
        lines=lines,
        source=source or NoSource(),
    )
