"""Which MCP servers a run has: those of the user's config.toml, and those of the project's trusted .mcp.json."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from acp_agent.config.names import name_problem, printable
from acp_agent.config.paths import shown_path
from acp_agent.config.presets import hosts_of
from acp_agent.config.settings_tables import EgressPreset
from acp_agent.config.tools_tables import ToolServer as ServerTable
from acp_agent.config.trust import untrusted
from acp_agent.config.trusted_files import SERVERS_FILE, commands_of
from acp_agent.config.variables import Unset, expanded, secret_values
from acp_agent.domain.errors import AcpAgentError
from acp_agent.domain.servers import ToolServer
from acp_agent.domain.tool import Risk


def servers_for(
    tables: Mapping[str, ServerTable],
    root: Path,
    environ: Mapping[str, str],
    state_dir: Path,
    presets: Mapping[str, EgressPreset],
) -> tuple[ToolServer, ...]:
    """The servers of a run at `root`; one that cannot be used has a `problem`. The user's win over the project's.

    Of a project's file nothing is taken that nobody trusted; it can neither lower a risk nor open the network.
    `presets` are the user's own, for the egress of theirs.
    """
    own = {name: _own(name, table, environ, presets) for name, table in tables.items()}
    found = {server.name: server for server in _of_project(root, environ, state_dir)}
    disabled = {name for name, table in tables.items() if not table.enabled}
    merged = {**found, **own}
    return tuple(server for name, server in merged.items() if name not in disabled)


def _own(name: str, table: ServerTable, environ: Mapping[str, str], presets: Mapping[str, EgressPreset]) -> ToolServer:
    server = ToolServer(
        name=name,
        command=table.command,
        args=table.args,
        url=table.url,
        risk=None if table.risk is None else Risk(table.risk),
        risks={tool: Risk(risk) for tool, risk in table.risks.items()},
        timeout=table.timeout,
        rate=table.rate,
        network=table.network,
        egress=hosts_of(table.egress, presets),
    )
    return _filled(server, {"env": dict(table.env), "headers": dict(table.headers)}, environ)


def _of_project(root: Path, environ: Mapping[str, str], state_dir: Path) -> Iterator[ToolServer]:
    file = root / SERVERS_FILE
    if not file.is_file():
        return
    try:
        commands = commands_of(file)
        refused = {command for command, _ in untrusted(file, commands, state_dir)}
    except AcpAgentError as error:
        yield ToolServer(name=SERVERS_FILE, source="project", problem=error.what)
        return
    for command in commands:
        name = command.key.partition(".")[2]
        if command in refused:
            problem = f"not trusted: read {SERVERS_FILE}, then acp trust {shown_path(file)}"
            yield ToolServer(name=printable_name(name), source="project", problem=problem)
        else:
            # What was trusted, not what the file may hold by now.
            yield _from_json(name, json.loads(command.run), environ)


def printable_name(name: str) -> str:
    """`name` as it may be shown and used in the names of tools."""
    return name if name_problem(name) is None else printable(name, 40)


def _from_json(name: str, entry: Any, environ: Mapping[str, str]) -> ToolServer:
    try:
        if (problem := name_problem(name)) is not None:
            raise ValueError(f"the name {problem}")
        server, texts = _read(name, entry)
    except ValueError as error:
        return ToolServer(name=printable_name(name), source="project", problem=f"{SERVERS_FILE}: {error}")
    return _filled(server, texts, environ)


def _read(name: str, entry: Any) -> tuple[ToolServer, dict[str, Any]]:
    """A server and its texts with variables, from JSON that may hold anything. Raises ValueError."""
    if not isinstance(entry, dict):
        raise ValueError("should be an object")
    texts: dict[str, Any] = {key: entry.get(key, {}) for key in ("env", "headers")}
    for key, given in texts.items():
        if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
            raise ValueError(f"{key} should be an object of strings")
    kind = entry.get("type", "http" if "url" in entry else "stdio")
    command, args, url = entry.get("command"), entry.get("args", []), entry.get("url")
    match kind:
        case "stdio":
            if not isinstance(command, str) or not command:
                raise ValueError("has no command")
            if not isinstance(args, list) or not all(isinstance(one, str) for one in args):
                raise ValueError("args should be a list of strings")
            return ToolServer(name=name, source="project", command=command, args=tuple(args)), texts
        case "http" | "streamable-http":
            if not isinstance(url, str) or not url.startswith(("http://", "https://")):
                raise ValueError("has no url")
            return ToolServer(name=name, source="project", url=url), texts
        case _:
            raise ValueError(f"type {printable(str(kind), 20)} is not spoken here: there are stdio and http")


def _filled(server: ToolServer, texts: Mapping[str, Mapping[str, str]], environ: Mapping[str, str]) -> ToolServer:
    """`server` with the variables of its texts replaced; one that is not set is its problem."""
    try:
        known = {key: value for given in texts.values() for key, value in given.items()}
        every = {**known, "": " ".join((server.command or "", *server.args, server.url or ""))}
        changes: dict[str, Any] = {
            key: {name: expanded(value, environ) for name, value in given.items()} for key, given in texts.items()
        }
        if server.command is not None:
            changes["command"] = expanded(server.command, environ)
            changes["args"] = tuple(expanded(one, environ) for one in server.args)
        if server.url is not None:
            changes["url"] = expanded(server.url, environ)
    except Unset as error:
        return server.model_copy(update={"problem": str(error)})
    return server.model_copy(update={**changes, "secrets": tuple(secret_values(every, environ))})
