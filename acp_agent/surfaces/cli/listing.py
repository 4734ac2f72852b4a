"""The projects of the file in force, as the fast commands list and select them."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acp_agent.config.index import ProjectEntry, read_index
from acp_agent.config.paths import find_projects_file
from acp_agent.fleet.select import select
from acp_agent.surfaces.cli.options import selection_of


def entries(projects_file: str | None) -> tuple[ProjectEntry, ...]:
    """Every project of the file in force. Raises UsageError naming file, line and key."""
    return read_index(find_projects_file(Path.cwd(), projects_file, os.environ))


def chosen(every: Sequence[ProjectEntry], given: Mapping[str, Any]) -> list[ProjectEntry]:
    """Those that the options in `given` select; a list without a selection is of all."""
    selection = selection_of(given)
    return select(every, selection) if selection.given else list(every)[: given["limit"]]
