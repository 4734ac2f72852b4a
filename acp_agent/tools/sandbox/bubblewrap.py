"""The level `bwrap`: a minimal root around the workspace, built from an allow-list.

Nothing of the machine exists inside but the system's programs (read-only), the toolchains of the home directory
(read-only), and the workspace. A read-only bind does not stop anybody from connecting to a socket below it, which is
why /run, /var and the home directory are not bound at all rather than read-only.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from acp_agent.tools.repository import Repository
from acp_agent.tools.sandbox.git_places import git_places
from acp_agent.tools.sandbox.model import EGRESS_SOCKET, SYSTEM, Sandbox, exposes_home, home_inside
from acp_agent.tools.sandbox.program import find_bwrap
from acp_agent.tools.sandbox.protection import held_paths
from acp_agent.tools.sandbox.toolchains import toolchains

SECRET_FILES = ("/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers", "/etc/krb5.keytab")
SECRET_FOLDERS = ("/etc/ssh", "/etc/ssl/private", "/etc/sudoers.d", "/etc/wireguard")
"""Of /etc, what is hidden where the user (root) could read it."""
# bubblewrap leaves these writable for uid 0, and they are the host's (measured with 0.8).
_KERNEL = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus")


def bwrap_argv(sandbox: Sandbox, root: Path, cwd: Path, environ: Mapping[str, str], filter_from: int) -> list[str]:
    """The bubblewrap command to put before a program. `root` is the writable workspace, `cwd` lies in it.

    `filter_from` is the descriptor that the system call filter is read from.
    """
    path = environ.get("PATH", os.defpath)
    argv = [
        str(find_bwrap(path) or "bwrap"), "--unshare-user-try", "--unshare-pid", "--unshare-ipc", "--unshare-uts",
        "--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
        "--seccomp", str(filter_from),
    ]  # fmt: skip
    argv += [] if sandbox.network else ["--unshare-net"]
    argv += _system()
    argv += ["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/var/tmp", "--dir", "/run"]
    if os.geteuid() == 0:
        argv += [word for path in _KERNEL for word in ("--ro-bind-try", path, path)]
    if sandbox.network:
        argv += ["--ro-bind-try", "/run/systemd/resolve", "/run/systemd/resolve"]
    elif sandbox.egress is not None:
        argv += ["--bind", str(sandbox.egress.socket), str(EGRESS_SOCKET)]
    if sandbox.home is not None:
        argv += ["--bind", str(sandbox.home), str(home_inside())]
    elif home_inside() != Path("/tmp"):
        argv += ["--tmpfs", str(home_inside())]
    argv += _read_only(toolchains(sandbox, path, root))
    argv += _read_only(sandbox.readable)
    repository = Repository.of(root)
    if repository is not None:
        argv += _read_only(_around(repository, root))
    argv += ["--bind", str(root), str(root)]
    argv += [word for path in sandbox.writable for word in ("--bind-try", str(path), str(path))]
    # After the workspace, and mount points of their own: they can be neither replaced nor moved away.
    places = git_places(root)
    argv += _read_only(places.shown)
    argv += [word for path in places.writable for word in ("--bind-try", str(path), str(path))]
    argv += _read_only(held_paths(root, places, sandbox))
    argv += _read_only(sandbox.readonly)
    # What is written beside the workspace would vanish with the command; better it fails.
    argv += ["--remount-ro", "/", "--chdir", str(cwd), "--"]
    return argv if sandbox.network or sandbox.egress is None else [*argv, *sandbox.egress.bridge]


@cache
def _system() -> tuple[str, ...]:
    return tuple(_system_words())


def _system_words() -> Iterator[str]:
    for path in SYSTEM:
        if os.path.islink(path):
            yield from ("--symlink", os.readlink(path), path)
        elif os.path.isdir(path):
            yield from ("--ro-bind", path, path)
    for path in SECRET_FILES:
        if os.access(path, os.R_OK):
            yield from ("--ro-bind", "/dev/null", path)
    for path in SECRET_FOLDERS:
        if os.path.isdir(path):
            yield from ("--tmpfs", path)


def _around(repository: Repository, root: Path) -> Iterator[Path]:
    """Of a repository whose sub-directory is the workspace, the rest: to read, unless it is the home directory."""
    if repository.top != root and not exposes_home(repository.top):
        yield repository.top


def _read_only(paths: Iterable[Path]) -> list[str]:
    return [word for path in paths for word in ("--ro-bind-try", str(path), str(path))]
