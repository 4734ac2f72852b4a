"""Keys that are read and checked now and acted on by later versions, so that a surface can say so."""

from collections.abc import Iterator, Mapping
from typing import Any

from acp_agent.config.names import shown_key
from acp_agent.config.projects import ProjectsFile

LATER: Mapping[str, tuple[str, ...]] = {"defaults": ("on_fail",)}
LATER_OF_ONE: Mapping[str, tuple[str, ...]] = {
    "targets": ("where",),
    "projects": ("weight",),
    "tasks": ("cache_for",),
}


def not_in_force(file: ProjectsFile) -> list[str]:
    """The keys written in `file` that this version does not act on, such as `defaults.idle`."""
    return list(_later(file.source.data))


def _later(data: dict[str, Any]) -> Iterator[str]:
    for name, keys in LATER.items():
        yield from (shown_key((name, key)) for key in keys if key in data.get(name, {}))
    for group, keys in LATER_OF_ONE.items():
        for name, table in data.get(group, {}).items():
            yield from (shown_key((group, name, key)) for key in keys if key in table)
