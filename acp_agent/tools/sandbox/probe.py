"""Which level holds on this machine: found out by trying to get out of it."""

import os
import shutil
import subprocess
import tempfile
import threading
from functools import cache
from pathlib import Path

from acp_agent.tools.sandbox.model import Level, Sandbox
from acp_agent.tools.sandbox.start import confined_argv

_TRYING = threading.Lock()


def level_for(sandbox: Sandbox) -> Level | None:
    """The level in force on this machine; None: commands are refused."""
    # Runs that begin together ask together, and the cache alone would let each of them try.
    with _TRYING:
        confined = sandbox.level != "off" and available()
    if confined:
        return "bwrap"
    return None if sandbox.level == "required" else "none"


@cache
def available() -> bool:
    """Whether bubblewrap holds on this machine: found out once per process by trying to get out of it (about 20 ms).

    Versions are not trusted: a kernel or a container may forbid what an installed bubblewrap needs.
    """
    if shutil.which("bwrap") is None:
        return False
    with tempfile.TemporaryDirectory(prefix="acp-canary-") as folder:
        inside, outside = Path(os.path.realpath(folder)) / "inside", Path(os.path.realpath(folder)) / "outside"
        inside.mkdir()
        outside.write_text("canary", encoding="utf-8")
        attempt = f"echo held >{inside}/proof; cat {outside}; echo gone >{outside}; readlink /proc/self/ns/net"
        prefix, environment = confined_argv(Sandbox(), "bwrap", inside, inside, os.environ)
        argv = [*prefix, "sh", "-c", f"({attempt}) 2>/dev/null; exit 7"]
        try:
            ended = subprocess.run(
                argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False, text=True
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return (
            ended.returncode == 7
            and ended.stdout.startswith("net:")
            and ended.stdout.splitlines() != [os.readlink("/proc/self/ns/net")]
            and len(ended.stdout.splitlines()) == 1
            and (inside / "proof").exists()
            and outside.read_text(encoding="utf-8") == "canary"
        )
