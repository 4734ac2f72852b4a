"""Facts about files: what stood in the workplace around a change set, and what was taken back."""

from typing import Literal

from acp_agent.domain.base import Frozen

MAX_PATHS = 500
"""Paths a fact names; the whole list is kept beside the contents, under `manifest`."""


class FilesSnapshot(Frozen):
    """The files of the workplace right before or after something that may change any of them.

    `of` is the call's id, or `gate:NAME`. `tree` is a tree of the shadow repository, None where no snapshot could be
    taken, and then `note` says why. `ignored` counts the files that git ignores (None: not counted). The others belong
    to `after`: `manifest` is the SHA-256 of the list of changes (None: nothing changed), `paths` are the first of them,
    `files`, `deleted`, `added` and `removed` count files and lines, `lost` ignored files that are gone. `late`: taken
    by whoever went on after a kill, so that somebody else's changes may be among them.
    """

    type: Literal["files_snapshot"] = "files_snapshot"
    of: str
    moment: Literal["before", "after"]
    tree: str | None = None
    note: str = ""
    manifest: str | None = None
    paths: tuple[str, ...] = ()
    files: int = 0
    deleted: int = 0
    added: int = 0
    removed: int = 0
    ignored: int | None = None
    lost: int = 0
    late: bool = False


class Undone(Frozen):
    """Somebody took back what the run did after step `to_step` (0: all of it), or (`redone`) took that back again.

    `paths` are those that changed, `manifest` the SHA-256 of the list of their states before and after. A result that
    was accepted is reverted instead: `commit` is the new head of `target`.
    """

    type: Literal["undone"] = "undone"
    to_step: int = 0
    paths: tuple[str, ...] = ()
    files: int = 0
    manifest: str | None = None
    redone: bool = False
    commit: str | None = None
    target: str | None = None
