"""Runs the battery in a process of its own, as whoever started it or as an ordinary user.

`python -m tests.security.battery LEVEL [--user UID] [--only NAME]...` prints JSON: each attack, whether it was held,
and how long it took. It is started with a secret in its environment, as a person's shell would.
"""

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio

from acp_agent.tools.sandbox import landlock
from acp_agent.tools.sandbox.model import Level
from tests.security.attacks import ATTACKS
from tests.security.world import ENVIRONMENT_SECRET, world

ORDINARY = 65534
ROOT = Path(__file__).resolve().parents[2]


async def _battery(level: Level, only: Sequence[str]) -> dict[str, Any]:
    found = {}
    for attack in ATTACKS:
        if (only and attack.name not in only) or (level == "none" and not attack.harmless):
            continue
        # Each in a world of its own: what one leaves must not help or hinder the next.
        with world(level) as attacked:
            began = time.monotonic()
            held = await attack.held(attacked)
            found[attack.name] = {"held": held, "seconds": round(time.monotonic() - began, 2)}
    return found


def become(user: int) -> None:
    """Give up root for good: ids, groups and every capability, as a person's process has it."""
    _reach_interpreter(user)
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        libc.prctl(24, capability, 0, 0, 0)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    # A process that changed its user is nobody's to look at; an ordinary one is its user's.
    libc.prctl(4, 1, 0, 0, 0)


def _reach_interpreter(user: int) -> None:
    """The launcher of Landlock must be started by a Python, and lie in a place, that the user can reach."""
    if not _reachable(Path(sys.executable)):
        other = next((path for path in ("/usr/bin/python3", "/usr/local/bin/python3") if _reachable(Path(path))), None)
        assert other is not None, f"{sys.executable} cannot be reached by user {user}, nor is there another python3"
        sys.executable = other
    if not _reachable(landlock.LAUNCHER):
        copy = Path(tempfile.mkdtemp(prefix="acp-launcher-")) / "launcher.py"
        shutil.copyfile(landlock.LAUNCHER, copy)
        copy.parent.chmod(0o755)
        copy.chmod(0o644)
        landlock.LAUNCHER = copy


def _reachable(path: Path) -> bool:
    real = Path(os.path.realpath(path))
    folders = {*path.parents, *real.parents}
    return real.exists() and all(folder.stat().st_mode & 0o001 for folder in folders) and bool(real.stat().st_mode & 4)


def main() -> int:
    """Run what was asked and print it."""
    parser = argparse.ArgumentParser(prog="python -m tests.security.battery")
    parser.add_argument("level", choices=("bwrap", "landlock", "none"))
    parser.add_argument("--user", type=int)
    parser.add_argument("--only", action="append", default=[])
    given = parser.parse_args()
    if given.user is not None and os.geteuid() == 0:
        # What is imported only now could not be read later.
        anyio.run(_battery, given.level, [ATTACKS[0].name, "ignore SIGTERM"])
        become(given.user)
    print(json.dumps(anyio.run(_battery, given.level, given.only)))
    return 0


def run_battery(level: Level, *, user: int | None = None, only: Sequence[str] = ()) -> dict[str, bool]:
    """The battery in a new process: by name, whether it was held."""
    words = [sys.executable, "-m", "tests.security.battery", level]
    words += [] if user is None else ["--user", str(user)]
    words += [word for name in only for word in ("--only", name)]
    with tempfile.TemporaryDirectory(prefix="acp-battery-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o1777)
        environment = {**os.environ, "ANTHROPIC_API_KEY": ENVIRONMENT_SECRET, "TMPDIR": folder}
        ended = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-4000:]
    found: dict[str, dict[str, Any]] = json.loads(ended.stdout.splitlines()[-1])
    return {name: bool(each["held"]) for name, each in found.items()}


if __name__ == "__main__":
    sys.exit(main())
