"""A level that is gone is never missed in silence: the next one is used and told, or commands are refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.bwrap
ROOT = Path(__file__).resolve().parents[2]

# Takes from this process for good what a machine may refuse, as a container or a kernel would, and runs a command.
PROGRAM = """
import json, os, struct, sys
from pathlib import Path
import anyio
from acp_agent.domain.errors import ToolError
from acp_agent.tools.sandbox import launcher, seccomp
from acp_agent.tools.sandbox.model import Sandbox
from acp_agent.tools.shell import run_command

def refuse_namespaces():
    launcher.libc.prctl(38, 1, 0, 0, 0)
    launcher.apply_filter(seccomp.filter_program("isolated"))

def refuse_landlock():
    launcher.libc.prctl(38, 1, 0, 0, 0)
    steps = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x00050026), (0x06, 0, 0, 0x7FFF0000)]
    launcher.apply_filter(b"".join(struct.pack("=HBBI", *step) for step in steps))

def lose_bwrap():
    os.environ["PATH"] = str(folder / "programs")

async def told(level):
    sandbox = Sandbox(level=level, state=folder / f"state-{os.getpid()}")
    root = folder / f"root-{os.getpid()}"
    root.mkdir(exist_ok=True)
    try:
        ended = await run_command("cat ../secret; true", workspace=root, timeout=30, sandbox=sandbox)
    except ToolError as error:
        return error.kind
    return [ended.sandbox, ended.confinement.level, "canary" in ended.output]

async def main(steps):
    found = []
    for step in steps.split():
        if step in ("required", "prefer", "off"):
            found.append(await told(step))
        else:
            globals()[step]()
    print(json.dumps(found), flush=True)

folder = Path(sys.argv[1])
for steps in sys.argv[2:]:
    # Each in a process of its own: what is lost is lost.
    child = os.fork()
    if child == 0:
        anyio.run(main, steps)
        os._exit(0)
    os.waitpid(child, 0)
"""
BWRAP, LANDLOCK, NONE = ["bwrap", "bwrap", False], ["landlock", "landlock", False], ["none", "none", True]


TOLD: dict[str, list[object]] = {
    "required prefer off": [BWRAP, BWRAP, NONE],
    "lose_bwrap required prefer": [LANDLOCK, LANDLOCK],
    "refuse_namespaces required": [LANDLOCK],
    "refuse_landlock required": [BWRAP],
    "lose_bwrap refuse_landlock required prefer off": ["no_sandbox", NONE, NONE],
    "refuse_namespaces refuse_landlock required prefer": ["no_sandbox", NONE],
    # Lost after it was found to hold: that command fails, and the next one is told the level that is left.
    "required refuse_namespaces required required": [BWRAP, "sandbox_failed", LANDLOCK],
}


def test_every_downgrade_is_told(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary")
    (tmp_path / "programs").mkdir()
    for name in ("bash", "cat", "grep", "readlink", "sh"):
        (tmp_path / "programs" / name).symlink_to(f"/bin/{name}")
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), *TOLD], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.stderr == ""
    assert dict(zip(TOLD, map(json.loads, ended.stdout.splitlines()), strict=True)) == TOLD
