"""Where bubblewrap is: a program that commands could not have put there."""

import os
import stat
from functools import cache
from pathlib import Path

from acp_agent.tools.sandbox.model import home_directory


def find_bwrap(path: str) -> Path | None:
    """The first `bwrap` of the directories in `path` that can be believed.

    It runs outside of the sandbox that it makes. So it must be root's, and lie neither in the home directory nor in a
    virtual environment, which can be part of a workspace. Looked for once; `forget_bwrap` makes it look again.
    """
    return _found(path, home_directory())


def forget_bwrap() -> None:
    """Look for it again at the next question."""
    _found.cache_clear()


@cache
def _found(path: str, home: Path) -> Path | None:
    for folder in map(Path, path.split(os.pathsep)):
        in_home = home != Path("/") and folder.is_relative_to(home)
        if not folder.is_absolute() or in_home or os.path.exists(folder.parent / "pyvenv.cfg"):
            continue
        program = folder / "bwrap"
        try:
            status = program.stat()
        except OSError:
            continue
        may_run = stat.S_ISREG(status.st_mode) and os.access(program, os.X_OK)
        if may_run and status.st_uid == 0 and not status.st_mode & stat.S_IWOTH:
            return program
    return None
