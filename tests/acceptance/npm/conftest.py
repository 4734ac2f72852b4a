"""The npm packages of these tests: installed once, from the lock file, into pytest's cache folder."""

from __future__ import annotations

import fcntl
import hashlib
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from acp_agent.testing.script import Rule
from tests.acceptance.npm.client import Acpx

HERE = Path(__file__).parent
LOCK = HERE / "package-lock.json"
MACHINES = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}
# Nothing runs at installation: every file that these tests execute has its hash in the lock file.
INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--engine-strict=false")
UNREACHABLE = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|ETIMEDOUT")
AcpxOf = Callable[..., Acpx]


@pytest.fixture(scope="session")
def packages(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `node_modules`."""
    cache = getattr(pytestconfig, "cache", None)
    folder = cache.mkdir("npm") if cache else tmp_path_factory.mktemp("npm")
    place = Path(folder) / hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    with (Path(folder) / "lock").open("w") as lock:
        # Several workers come at the same time; one installs.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            _install(place)
    return place / "node_modules"


def _install(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for name in ("package.json", LOCK.name):
        shutil.copy(HERE / name, place)
    ended = subprocess.run(INSTALL, cwd=place, capture_output=True, text=True, timeout=240, check=False)
    if ended.returncode and UNREACHABLE.search(ended.stderr):
        pytest.skip("node: the npm registry cannot be reached")
    assert ended.returncode == 0, ended.stderr
    (place / "complete").touch()


@pytest.fixture
def acpx_of(packages: Path, tmp_path: Path) -> Generator[AcpxOf]:
    """Makes an `acpx` of its own home, at an agent whose model follows the rules given."""
    node = packages / f"node-linux-{MACHINES.get(platform.machine(), 'unknown')}" / "bin" / "node"
    if not node.exists():
        pytest.skip(f"node: no node@22 for {platform.system()} on {platform.machine()}")
    with ExitStack() as stack:

        def make(*rules: Rule) -> Acpx:
            return stack.enter_context(Acpx([str(node), str(packages / "acpx" / "dist" / "cli.js")], tmp_path, rules))

        yield make
