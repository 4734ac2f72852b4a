"""Which process is which, also after its end: host, boot, process id and start time. Standard library only."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

Identity = dict[str, str | int]
"""The fields of `domain.ports.Owner`."""

_LINUX = sys.platform == "linux"
# The number of the first pid namespace is a constant of the kernel; any other is a container's.
_FIRST_PID_NAMESPACE = "pid:[4026531836]"
_DEAD_STATES = ("Z", "X")


def host() -> str:
    """This machine, stable over boots. Process ids mean nothing across containers: each is a host of its own."""
    name = os.uname().nodename or "localhost"
    if not _LINUX:
        return name
    namespace = os.readlink("/proc/self/ns/pid")
    return name if namespace == _FIRST_PID_NAMESPACE else f"{name}/{namespace}"


def boot_id() -> str:
    """This boot of the machine."""
    if _LINUX:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return _output("sysctl", "-n", "kern.bootsessionuuid")


def started(pid: int) -> str | None:
    """When the process began, in the system's own words; None where it is gone (a zombie is)."""
    if not _LINUX:
        return _output("ps", "-o", "lstart=", "-p", str(pid)) or None
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in parentheses and may hold spaces and parentheses itself.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in _DEAD_STATES else fields[19]


def identity() -> Identity:
    """This process."""
    pid = os.getpid()
    return {"host": host(), "boot_id": boot_id(), "pid": pid, "started": started(pid) or ""}


def is_gone(owner: Identity) -> bool:
    """Whether the process is certainly gone; of one on another host nothing is certain."""
    if owner["host"] != host():
        return False
    return owner["boot_id"] != boot_id() or started(int(owner["pid"])) != owner["started"]


def judge() -> Callable[[str], bool]:
    """`is_gone` for owners as JSON text, asking about each only once."""
    known: dict[str, bool] = {}

    def gone(owner: str) -> bool:
        if owner not in known:
            known[owner] = is_gone(json.loads(owner))
        return known[owner]

    return gone


def _output(*command: str) -> str:
    # Half of what the fast commands import would be for this, and Linux never needs it.
    import subprocess

    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
