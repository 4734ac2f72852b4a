"""What stands in a directory, byte for byte, so that before and after can be compared."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

Standing = Mapping[str, tuple[str, int, bytes]]


def standing(root: Path) -> Standing:
    """Everything below `root` but git's own: kind, permission bits and bytes of each path."""
    found: dict[str, tuple[str, int, bytes]] = {}
    for where, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name != ".git"]
        for name in (*files, *folders):
            path = os.path.join(where, name)
            status = os.lstat(path)
            key = os.path.relpath(path, root)
            if stat.S_ISLNK(status.st_mode):
                found[key] = ("link", 0, os.fsencode(os.readlink(path)))
            elif stat.S_ISDIR(status.st_mode):
                found[key] = ("folder", 0, b"")
            else:
                found[key] = ("file", stat.S_IMODE(status.st_mode), Path(path).read_bytes())
    return found
