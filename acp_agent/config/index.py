"""The list of projects without pydantic, for commands that only show or select: `acp projects ls` starts in this.

Anything odd in the file sends it to the full loader, which either knows better or raises the precise error.
"""

from pathlib import Path
from typing import Any, NamedTuple

from acp_agent.config.names import name_problem
from acp_agent.config.paths import resolved
from acp_agent.config.toml_source import read_toml

TOP_KEYS = frozenset({"version", "defaults", "gates", "budget", "targets", "projects", "tasks", "hooks", "policy"})
DEFAULTS_KEYS = frozenset(
    [
        "agent",
        "role",
        "isolation",
        "branch",
        "setup",
        "timeout",
        "idle",
        "max_cost",
        "protect",
        "limits",
        "protect_ignored",
        "gates",
        "on_fail",
    ]
)
GATE_KEYS = frozenset({"run", "timeout"})
BUDGET_KEYS = frozenset({"per_batch", "per_day", "per_month"})
TARGET_KEYS = frozenset({"expr", "where"})
PROJECT_KEYS = frozenset(
    [
        "path",
        "url",
        "tags",
        "setup",
        "gates",
        "role",
        "model",
        "max_cost",
        "timeout",
        "weight",
        "isolation",
        "branch",
        "limits",
        "protect_ignored",
        "loop",
    ]
)
TASK_KEYS = frozenset(
    ["prompt", "read_only", "egress", "needs_network", "cache_for", "schema", "target", "model", "role", "max_cost"]
)
NAMED_KEYS = {"gates": GATE_KEYS, "targets": TARGET_KEYS, "projects": PROJECT_KEYS, "tasks": TASK_KEYS}
HINT_MISSING = "acp init writes one for the git repositories it finds"


class ProjectEntry(NamedTuple):
    """What a list of projects shows and a selection needs; `path` is absolute and may not exist."""

    name: str
    path: Path
    tags: tuple[str, ...]
    url: str | None


def read_index(path: Path) -> tuple[ProjectEntry, ...]:
    """The projects of `path` in the file's order. Raises UsageError naming file, line and key."""
    data = read_toml(path, HINT_MISSING).data
    if _plain(data):
        folder = path.absolute().parent
        return tuple(
            ProjectEntry(
                name, resolved(folder, table["path"]), tuple(dict.fromkeys(table.get("tags", ()))), table.get("url")
            )
            for name, table in data.get("projects", {}).items()
        )
    from acp_agent.config.projects import load_projects

    return tuple(
        ProjectEntry(project.name, project.path, project.tags, project.url)
        for project in load_projects(path).projects.values()
    )


def _plain(data: dict[str, Any]) -> bool:
    if type(data.get("version")) is not int or data["version"] != 1 or not TOP_KEYS.issuperset(data):
        return False
    for group, keys in (("defaults", DEFAULTS_KEYS), ("budget", BUDGET_KEYS)):
        if not _has_only(data.get(group, {}), keys):
            return False
    for group, keys in NAMED_KEYS.items():
        tables = data.get(group, {})
        if not isinstance(tables, dict) or not all(_has_only(table, keys) for table in tables.values()):
            return False
        if any(name_problem(name) for name in tables):
            return False
    return all(_plain_project(table) for table in data.get("projects", {}).values())


def _has_only(table: object, keys: frozenset[str]) -> bool:
    return isinstance(table, dict) and keys.issuperset(table)


def _plain_project(table: dict[str, Any]) -> bool:
    tags = table.get("tags", [])
    return (
        _plain_text(table.get("path"))
        and ("url" not in table or _plain_text(table["url"]))
        and isinstance(tags, list)
        and all(isinstance(tag, str) and name_problem(tag) is None for tag in tags)
    )


def _plain_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value
