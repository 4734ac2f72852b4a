"""What `egress` of a tool or a server means: hosts as they are written, and presets by their name."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from acp_agent.config.names import printable
from acp_agent.config.nearness import nearest
from acp_agent.config.problem import Problem
from acp_agent.config.settings_tables import EgressPreset
from acp_agent.config.tables import problem_at, tables_in
from acp_agent.config.toml_source import TomlSource
from acp_agent.domain.egress import PRESETS, Pattern


def hosts_of(texts: Iterable[str], presets: Mapping[str, EgressPreset]) -> tuple[str, ...]:
    """The hosts, each once; `presets` are the user's own, which stand in place of ours with the same name."""
    found: dict[str, None] = {}
    for text in texts:
        own = presets.get(text)
        found |= dict.fromkeys(own.domains if own is not None else PRESETS.get(text, (text,)))
    return tuple(found)


def egress_problems(source: TomlSource) -> Iterator[Problem]:
    """What is wrong with `egress` of `[tools]` and `[mcp]`, each with its line."""
    presets = {*PRESETS, *(name for name, _ in tables_in(source.data, "egress"))}
    for group in ("tools", "mcp"):
        for name, table in tables_in(source.data, group):
            yield from _problems(source, (group, name, "egress"), table, presets)


def _problems(
    source: TomlSource, at: tuple[str, ...], table: Mapping[str, Any], presets: Collection[str]
) -> Iterator[Problem]:
    given = table.get("egress")
    if not isinstance(given, list):
        return
    if at[0] == "mcp" and "url" in table:
        yield problem_at(source, at, "belongs to a command")
    if table.get("network") is True:
        yield problem_at(source, at, "says nothing beside network = true", "take one of the two out")
    for text in given:
        if not isinstance(text, str) or text in presets:
            continue
        if not set(text) & set(".:"):
            hint = nearest(text, presets) or "name a host with its domain, or a preset"
            yield problem_at(source, at, f"no egress preset named {printable(text)}", hint)
            continue
        try:
            Pattern.parse(text)
        except ValueError as error:
            yield problem_at(source, at, f"{printable(text)} {error}", "such as api.example.org, *.example.org:8443")
