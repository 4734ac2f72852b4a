"""Measures commands within one warm process: `python -m benchlib.commands LEVEL DIRECTORY` prints seconds per command.

The median of `TIMES` runs of `true` in bash, after a few that pay for imports and for trying the sandbox. LEVEL is
bwrap, landlock or none, where each runs as the shell tool runs it, or bare: the program with nothing around it, or
plain: in bubblewrap's namespaces with the whole machine read-only, which is the least that any sandbox on it can cost.
"""

import os
import shutil
import sys
import time
from pathlib import Path
from statistics import median
from typing import Literal

import anyio

TIMES = 40
WARM_UP = 5
PLAIN = (
    "bwrap", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net",
    "--die-with-parent", "--new-session", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc",
)  # fmt: skip


async def measure(level: str, root: Path) -> float:
    """The median seconds of a command."""
    from acp_agent.tools.command import Bounds, run_program
    from acp_agent.tools.sandbox.model import Sandbox
    from acp_agent.tools.shell import run_command

    async def once() -> tuple[str, int | None]:
        if level in ("bare", "plain"):
            argv = [*(PLAIN if level == "plain" else ()), shutil.which("bash") or "sh", "-c", "true"]
            ran = await run_program(argv, cwd=root, environment=os.environ, bounds=Bounds(30))
            return level, ran.exit_status
        wanted: Literal["required", "off"] = "off" if level == "none" else "required"
        sandbox = Sandbox(wanted, state=Path(os.environ["ACP_HOME"]) / "sandbox")
        ended = await run_command("true", workspace=root, timeout=30, sandbox=sandbox)
        return ended.sandbox, ended.exit_status

    if level == "landlock":
        os.environ["PATH"] = _without_bwrap()
    samples = []
    for _ in range(WARM_UP + TIMES):
        began = time.perf_counter()
        told = await once()
        samples.append(time.perf_counter() - began)
        if told != (level, 0):
            raise RuntimeError(f"a command at {level} told {told}")
    return median(samples[WARM_UP:])


def _without_bwrap() -> str:
    """A PATH as on a machine without bubblewrap."""
    folder = Path(os.environ["ACP_HOME"]) / "programs"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("bash", "cat", "git", "grep", "readlink", "sh"):
        (folder / name).symlink_to(shutil.which(name) or name)
    return str(folder)


if __name__ == "__main__":
    print(anyio.run(measure, sys.argv[1], Path(sys.argv[2])))
