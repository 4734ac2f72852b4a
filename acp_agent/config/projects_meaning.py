"""What is wrong with a projects.toml beyond the shape of its tables: names that lead nowhere, broken schemas.

It works on the data as read, so that a problem of shape in one table does not hide what is wrong in another.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from acp_agent.config.names import printable
from acp_agent.config.nearness import nearest
from acp_agent.config.problem import Problem
from acp_agent.config.rules import rule_problems
from acp_agent.config.schema_text import load_schema, parse_schema_table
from acp_agent.config.tables import problem_at, tables_in
from acp_agent.config.toml_source import Key, TomlSource
from acp_agent.domain.errors import UsageError


def meaning_problems(source: TomlSource) -> Iterator[Problem]:
    """Unknown or repeated gates, unknown targets, schemas of tasks that do not parse, and loops."""
    yield from _gate_problems(source)
    yield from rule_problems(source, "project")
    targets = dict(tables_in(source.data, "targets"))
    folder = source.path.absolute().parent
    for name, task in tables_in(source.data, "tasks"):
        if isinstance(target := task.get("target"), str):
            yield from _unknown(source, ("tasks", name, "target"), target, targets, "target")
        if task.get("needs_network") is True and not task.get("egress"):
            hint = 'such as egress = ["registries"]'
            yield problem_at(source, ("tasks", name, "needs_network"), "needs an egress to look things up with", hint)
        written: Any = task.get("schema")
        if _is_schema(written):
            try:
                schema_of(written, folder)
            except UsageError as error:
                what = error.what.removeprefix("schema: ")
                yield problem_at(source, ("tasks", name, "schema"), what, error.hint)
    for name, project in tables_in(source.data, "projects"):
        if isinstance(loop := project.get("loop"), dict):
            # Loaded only where there is a loop: every session reads this module at its start.
            from acp_agent.config.loop_meaning import project_loop_problems

            yield from project_loop_problems(source, name, loop)


def schema_of(written: str | dict[str, str], folder: Path) -> dict[str, Any]:
    """A task's schema as a JSON Schema: a table, a text, or a file relative to `folder`. Raises UsageError."""
    return load_schema(written, folder) if isinstance(written, str) else parse_schema_table(written)


def _is_schema(value: Any) -> bool:
    if isinstance(value, dict):
        return bool(value) and all(isinstance(item, str) for item in value.values())
    return isinstance(value, str) and bool(value.strip())


def _gate_problems(source: TomlSource) -> Iterator[Problem]:
    known = dict(tables_in(source.data, "gates"))
    lists: list[tuple[Key, Any]] = []
    if isinstance(defaults := source.data.get("defaults"), dict):
        lists.append((("defaults", "gates"), defaults.get("gates")))
    lists += [(("projects", name, "gates"), table.get("gates")) for name, table in tables_in(source.data, "projects")]
    for key, entries in lists:
        if isinstance(entries, list):
            yield from _repeated(source, key, entries)
            for index, entry in enumerate(entries):
                if isinstance(entry, str) and entry.strip():
                    yield from _unknown(source, (*key, index), entry, known, "gate")


def _repeated(source: TomlSource, key: Key, entries: Sequence[Any]) -> Iterator[Problem]:
    names = [entry.get("name") if isinstance(entry, dict) else entry for entry in entries]
    for name in dict.fromkeys(name for name in names if isinstance(name, str) and names.count(name) > 1):
        yield problem_at(source, key, f"the gate {printable(name)} is there twice")


def _unknown(source: TomlSource, key: Key, name: str, known: Collection[str], noun: str) -> Iterator[Problem]:
    if name not in known:
        hint = nearest(name, known) or f"define it as [{noun}s.{name}]"
        yield problem_at(source, key, f"no {noun} named {printable(name)}", hint)
