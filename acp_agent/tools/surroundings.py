"""What a workspace holds that the weight of a call depends on: files that are not for others, and the gates' own."""

import os
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from acp_agent.domain.taint import is_private
from acp_agent.tools.listing import files_below
from acp_agent.tools.workspace import Workspace, is_git_name

MOST_LOOKED_AT = 20_000
DEEPEST = 6
FETCHED = frozenset({"node_modules", ".venv", "venv", "__pycache__", "site-packages", "target", ".tox", ".cache"})


@dataclass(frozen=True)
class Surroundings:
    """A workspace as it was when the first call was weighed; `private` are further names besides the usual ones."""

    workspace: Workspace
    private: tuple[str, ...] = ()

    def may_hold(self, path: str) -> bool:
        """Whether reading all that git does not ignore at or below `path` may read something private."""
        if is_private(path, self.private):
            return True
        if path != "." and not self.workspace.is_directory(path):
            return False
        if self.workspace.place(path)[0] is not self.workspace:
            return any(is_private(found, self.private) for found in files_below(self.workspace, path, None))
        return any(path == "." or found.startswith(f"{path}/") for found in self._listed)

    @cached_property
    def holds_private(self) -> bool:
        """Whether a program in the workspace could read something private: ignored files count, as `.env` mostly is.

        Looks at 20,000 entries at most, six levels deep; what lies beyond is not seen.
        """
        return bool(self._listed) or any(is_private(path, self.private) for path in self._walked())

    @cached_property
    def _listed(self) -> tuple[str, ...]:
        return tuple(path for path in files_below(self.workspace, ".", None) if is_private(path, self.private))

    def _walked(self) -> Iterator[str]:
        todo = [("", 0)]
        left = MOST_LOOKED_AT
        while todo and left > 0:
            folder, depth = todo.pop()
            try:
                entries = list(os.scandir(self.workspace.root / folder))
            except OSError:
                # What we cannot look into, a command of the agent cannot either.
                continue
            left -= len(entries)
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if not entry.is_dir(follow_symlinks=False):
                    yield path
                elif depth < DEEPEST and not is_git_name(entry.name) and entry.name not in FETCHED:
                    todo.append((path, depth + 1))


def gate_files(commands: Iterable[str], root: Path) -> tuple[str, ...]:
    """The files of the workspace that gates' commands name: `scripts/test` of `bash scripts/test --fast`."""
    found: dict[str, None] = {}
    for command in commands:
        try:
            words = shlex.split(command)
        except ValueError:
            words = command.split()
        for word in words:
            path = os.path.realpath(root / word)
            if os.path.isfile(path) and path.startswith(f"{root}/"):
                found[os.path.relpath(path, root)] = None
    return tuple(found)
