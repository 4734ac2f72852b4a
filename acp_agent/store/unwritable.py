"""What a person reads when the record cannot be written: what is the matter, and what to do about it."""

import sqlite3
from pathlib import Path

from acp_agent.domain.errors import NotRecorded

_GO_ON = "then acp resume; what was recorded is safe"


def unwritable(path: Path, error: sqlite3.Error) -> NotRecorded:
    """The error for whoever wanted to write to the database at `path`."""
    # The low byte is the kind, the others say more about it.
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL:
            hint = f"free some space on the disk of {path.parent}, {_GO_ON}"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN:
            hint = f"let {path.parent} be written again, {_GO_ON}"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            hint = f"another program has locked it: end that program, {_GO_ON}"
        case _:
            hint = f"check the disk of {path.parent}, {_GO_ON}"
    told = NotRecorded(f"{path}: cannot write: {error}", hint=hint)
    told.__cause__ = error
    return told
