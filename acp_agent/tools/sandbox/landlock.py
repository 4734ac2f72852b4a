"""The level `landlock`: for where user namespaces are refused (containers, AppArmor, inside another sandbox).

Landlock hides nothing, it refuses: paths not on the list can be neither read nor written, TCP and other sockets cannot
be made. Two things it has no hook for, both of files the user owns already: their modes and times can be changed
anywhere, and `.git` can be replaced as a whole by a rename (which is found out after the command, and told).
"""

import marshal
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from acp_agent.tools.repository import Repository
from acp_agent.tools.sandbox.bubblewrap import SECRET_FILES, SECRET_FOLDERS
from acp_agent.tools.sandbox.git_places import git_places
from acp_agent.tools.sandbox.model import SYSTEM, Sandbox, exposes_home
from acp_agent.tools.sandbox.seccomp import filter_path
from acp_agent.tools.sandbox.toolchains import toolchains

LAUNCHER = Path(__file__).with_name("launcher.py")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts")
_READ_ALSO = ("/proc", "/sys/fs/cgroup", "/sys/devices/system/cpu", "/sys/kernel/mm")


def landlock_argv(sandbox: Sandbox, root: Path, environ: Mapping[str, str]) -> list[str]:
    """The launcher's command to put before a program. The program starts where the launcher was started."""
    repository = Repository.of(root)
    read = [*_READ_ALSO, *map(str, toolchains(sandbox, environ.get("PATH", ""), root))]
    read += map(str, sandbox.readable)
    if sandbox.network:
        # What /etc/resolv.conf links to.
        read.append("/run/systemd/resolve")
    if repository is not None and repository.top != root and not exposes_home(repository.top):
        read.append(str(repository.top))
    places = git_places(root)
    read += map(str, places.shown)
    listed, system = _system()
    spec = {
        "read": [*system, *read],
        "list": listed,
        "write": [str(root), *map(str, (*places.writable, *sandbox.writable)), *(f"/dev/{name}" for name in _DEVICES)],
        "ports": sandbox.network,
        "filter": filter_path("internet" if sandbox.network else "none", truncate=False),
        "limits": sandbox.limits.resources(),
        "processes": sandbox.limits.processes,
        "home": None if sandbox.home is None else str(sandbox.home),
    }
    # -I and -S: neither the workspace nor a site directory is on its path, and it starts in half the time.
    return [sys.executable, "-I", "-S", str(LAUNCHER), marshal.dumps(spec).hex()]


def _system() -> tuple[list[str], list[str]]:
    """Directories that may be listed, and places that may be read: around what is secret, entry by entry."""
    listed, read = [], []
    left = list(SYSTEM)
    secret = {path for path in (*SECRET_FILES, *SECRET_FOLDERS) if os.access(path, os.R_OK)}
    while left:
        path = left.pop()
        if path in secret:
            continue
        if any(other.startswith(path + "/") for other in secret):
            listed.append(path)
            left += (f"{path}/{name}" for name in os.listdir(path))
        else:
            read.append(path)
    return listed, list(_with_targets(read))


def _with_targets(paths: list[str]) -> Iterator[str]:
    """Rules follow links when they are made: a link in /etc would otherwise open what it points to, whole."""
    for path in paths:
        target = os.path.realpath(path)
        if target == path or any(target == place or target.startswith(place + "/") for place in SYSTEM):
            yield path
