"""What changed on disk, file by file: the states before and after, and the counts that limits are held against."""

from typing import Literal

from acp_agent.domain.base import Frozen


class FileState(Frozen):
    """One path at one moment. `digest` is the SHA-256 (hex) of its bytes, of a link those of its target.

    `mode` are the permission bits, None where nobody looked. `unkept`: too large or already gone, so that only its size
    and time stand in `digest` and it cannot be brought back.
    """

    kind: Literal["file", "link", "unkept"] = "file"
    digest: str
    mode: int | None = None

    def is_like(self, other: "FileState | None") -> bool:
        """Whether both may be the same state; a mode that nobody looked at fits every other."""
        if other is None or (self.kind, self.digest) != (other.kind, other.digest):
            return False
        return self.mode is None or other.mode is None or self.mode == other.mode


class FileChange(Frozen):
    """One path before and after; None where it did not exist. The path is relative to the workspace."""

    path: str
    before: FileState | None
    after: FileState | None


class FileChanges(Frozen):
    """The changes of one change set, as they are kept beside the contents."""

    changes: tuple[FileChange, ...] = ()


def like(one: FileState | None, other: FileState | None) -> bool:
    """Whether two states may be the same; None is a path that does not exist."""
    return one is other is None or (one is not None and one.is_like(other))
