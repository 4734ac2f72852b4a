"""Writes that are ready: all files of a call or none, checked once more before the first, told apart after a crash."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import anyio.to_thread

from acp_agent.domain.errors import ToolError
from acp_agent.domain.redact import MASK
from acp_agent.domain.tool import Intent, ToolResult
from acp_agent.tools.registry import Ready, Seen
from acp_agent.tools.text import Diff
from acp_agent.tools.workspace import Workspace, digest


@dataclass(frozen=True, slots=True)
class Change:
    """One file before and after; None where it does not exist. `mode` are the permission bits of a new file."""

    path: str
    before: bytes | None
    after: bytes | None
    diff: Diff
    mode: int | None = None

    @property
    def old(self) -> str | None:
        """SHA-256 before."""
        return None if self.before is None else digest(self.before)

    @property
    def new(self) -> str | None:
        """SHA-256 after."""
        return None if self.after is None else digest(self.after)


def require_known(path: str, current: str, seen: Seen) -> None:
    """Refuse to change what the model has not read, or not as it is now. Raises ToolError."""
    known = seen.get(path)
    if known is None:
        raise ToolError(f"{path} has not been read yet.", kind="unread", hint="Read it first, then change it.")
    if known != current:
        raise ToolError(f"{path} changed since it was read.", kind="stale", hint="Read it again, then change it.")


def keep_secrets(change: Change) -> None:
    """Refuse what would put the mask, all that the model was shown, in the place of a secret. Raises ToolError."""
    if change.before is None or change.after is None:
        return
    mask = MASK.encode()
    if change.after.count(mask) > change.before.count(mask):
        raise ToolError(
            f"{change.path} would get {MASK} where a secret stands, which you are not shown.",
            kind="masked",
            hint="Change the other lines with edit_file, and leave the masked ones out.",
        )


def writing(workspace: Workspace, changes: Sequence[Change], title: str, said: str, notes: Sequence[str] = ()) -> Ready:
    """Make `changes`, all or none. The intent holds the hashes by which recovery tells whether it happened.

    `said` is what the model reads when it is done, `notes` what it should know besides.
    """
    for change in changes:
        keep_secrets(change)
    diff = "".join(change.diff.text for change in changes)

    def write() -> ToolResult:
        for change in changes:
            # Between preparing and now an approval may have passed, and with it minutes.
            if workspace.digest(change.path) != change.old:
                hint = "Read it again, then change it."
                raise ToolError(f"{change.path} changed meanwhile.", kind="stale", hint=hint)
        seen = {change.path: change.new for change in changes}
        if all(change.old == change.new for change in changes):
            names = ", ".join(change.path for change in changes)
            return ToolResult(status="ok", output=f"{names} already has this content.", seen=seen)
        _write_all(workspace, changes)
        told = [said, *notes, *_altered(workspace, changes)]
        return ToolResult(status="ok", output="\n".join(told), seen=seen, diff=diff)

    async def run(key: str) -> ToolResult:
        # Never abandoned: a thread left to write behind our back would make the outcome unknown.
        return await anyio.to_thread.run_sync(write)

    modes = {change.path: workspace.mode(change.path) for change in changes}
    intent = Intent(
        title=title,
        before={change.path: change.old for change in changes},
        after={change.path: change.new for change in changes},
        modes={path: mode for path, mode in modes.items() if mode is not None},
        lines=sum(change.diff.changed for change in changes),
    )
    originals = {change.path: change.before for change in changes if change.before is not None}
    return Ready(intent, run, diff, originals)


def _altered(workspace: Workspace, changes: Sequence[Change]) -> list[str]:
    """What an editor made of the files besides, by formatting them for one; they count as changed since."""
    if workspace.editor is None:
        return []
    altered = [change.path for change in changes if workspace.digest(change.path) != change.new]
    return [f"The editor changed {', '.join(altered)} as it wrote: read again before the next edit."] if altered else []


def _write_all(workspace: Workspace, changes: Sequence[Change]) -> None:
    done: list[Change] = []
    try:
        for change in changes:
            if change.after is None:
                workspace.delete(change.path)
            else:
                workspace.write(change.path, change.after, mode=change.mode)
            done.append(change)
    except BaseException:
        for change in reversed(done):
            # The first error is what the model reads; what cannot be put back is seen by its hash.
            with contextlib.suppress(ToolError):
                _put_back(workspace, change)
        raise


def _put_back(workspace: Workspace, change: Change) -> None:
    if change.before is None:
        workspace.delete(change.path)
    else:
        workspace.write(change.path, change.before)
