"""What `[tools.NAME]` of the user's config.toml means: declared tools, and what is wrong with them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from acp_agent.config.nearness import nearest
from acp_agent.config.presets import hosts_of
from acp_agent.config.problem import Problem
from acp_agent.config.settings_tables import EgressPreset, SettingsTable
from acp_agent.config.tables import problem_at, tables_in
from acp_agent.config.toml_source import TomlSource
from acp_agent.config.tools_tables import DeclaredToolTable, schema_of_parameters
from acp_agent.config.variables import Unset, expanded, secret_values
from acp_agent.domain.declared import CommandCall, DeclaredTool, HttpCall
from acp_agent.domain.errors import UsageError
from acp_agent.domain.tool import Risk

COMMAND_TIMEOUT = 120.0
HTTP_TIMEOUT = 30.0
PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
TOOL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,47}\Z")
TAKEN = frozenset({
    "read_file", "list_files", "search", "edit_file", "write_file", "apply_patch", "plan", "shell", "fetch",
    "web_search", "ask_user", "propose_plan", "activate_skill", "find_tools", "mcp_list", "mcp_read", "mcp_prompt",
})  # fmt: skip
"""Names of our own tools."""
OF_COMMANDS = ("egress",)
OF_REQUESTS = ("method", "headers", "body")


def declared_tools(
    tables: Mapping[str, DeclaredToolTable], environ: Mapping[str, str], presets: Mapping[str, EgressPreset]
) -> tuple[tuple[DeclaredTool, ...], list[str]]:
    """The tools, and a line about each that cannot be offered because a variable of its headers is not set.

    `presets` are the user's own, for their egress.
    """
    tools: list[DeclaredTool] = []
    lines: list[str] = []
    for name, table in tables.items():
        try:
            tools.append(_declared(name, table, environ, presets))
        except Unset as error:
            lines.append(f"The tool {name} is not available: {error}")
    return tuple(tools), lines


def _declared(
    name: str, table: DeclaredToolTable, environ: Mapping[str, str], presets: Mapping[str, EgressPreset]
) -> DeclaredTool:
    call: CommandCall | HttpCall
    if table.url is None:
        call = CommandCall(argv=table.command or (), egress=hosts_of(table.egress, presets))
    else:
        headers = {key: expanded(value, environ) for key, value in table.headers.items()}
        call = HttpCall(method=table.method, url=table.url, headers=headers, body=table.body)
    return DeclaredTool(
        name=name,
        description=table.description,
        parameters=table.parameters,
        risk=Risk(table.risk),
        call=call,
        timeout=table.timeout or (COMMAND_TIMEOUT if table.url is None else HTTP_TIMEOUT),
        repeatable=table.repeatable,
        env=table.env,
        dry_run=table.dry_run,
        verify=table.verify,
        compensate=table.compensate,
    )


def tool_secrets(settings: SettingsTable, environ: Mapping[str, str]) -> list[str]:
    """Values that tools and MCP servers are handed by name: nothing of ours may show them."""
    tools, servers = settings.tools.values(), settings.mcp.values()
    found = [environ[name] for tool in tools for name in tool.env if environ.get(name)]
    texts = (*(tool.headers for tool in tools), *(one.headers for one in servers), *(one.env for one in servers))
    return [*found, *(value for given in texts for value in secret_values(given, environ))]


def tool_problems(source: TomlSource) -> Iterator[Problem]:
    """What the shape of `[tools]` alone does not tell, each with its line."""
    for name, table in tables_in(source.data, "tools"):
        at = ("tools", name)
        if not TOOL_NAME.match(name) or "__" in name:
            yield problem_at(source, at, "should be a letter and at most 47 letters, digits, '-' or single '_'")
        if name in TAKEN:
            yield problem_at(source, at, "is the name of a tool that is there already", "choose another name")
        if ("command" in table) == ("url" in table):
            yield problem_at(source, at, "should have either a command or a url")
        wrong = OF_COMMANDS if "url" in table else OF_REQUESTS
        for key in (key for key in wrong if key in table):
            yield problem_at(source, (*at, key), f"belongs to a {'command' if 'url' in table else 'url'}")
        if "url" in table and table.get("method", "GET") != "GET" and table.get("risk", 3) in (0, 1, 2):
            hint = "risk = 3, or 4 where it cannot be taken back"
            yield problem_at(source, (*at, "risk"), "should be at least 3: only GET has no outward effect", hint)
        yield from _unknown_places(source, at, table)


def _unknown_places(source: TomlSource, at: tuple[str, str], table: Mapping[str, Any]) -> Iterator[Problem]:
    try:
        known = list(schema_of_parameters(table.get("parameters", "")).get("properties", {}))
    except UsageError:
        return
    for key in ("command", "url", "body", "dry_run", "verify", "compensate"):
        value = table.get(key, "")
        for text in value if isinstance(value, list) else [value]:
            for name in PLACE.findall(text) if isinstance(text, str) else ():
                if name not in known:
                    hint = nearest(name, known) or "declare it in parameters"
                    yield problem_at(source, (*at, key), f"has {{{name}}}, which is no parameter", hint)
