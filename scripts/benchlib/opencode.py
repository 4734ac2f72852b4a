"""The peer that the `serve` cases are held against: npm `opencode-ai`, installed when it is asked for."""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = "1.18.33"
PACKAGE = "opencode-ai"
NOT_ASKED = "asked for with --with-opencode"

_MACHINES = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}
# No install script runs: the program lies ready in the package of the machine, and npm checks that against its hash.
_INSTALL = ("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save")


class NotRun(Exception):
    """Something is not measured here; the text is why, for the table."""


def cache() -> Path:
    """Where it is kept between benches."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "acp-agent-bench"


def program(folder: Path) -> Path:
    """The program itself, without the launcher around it; installed below `folder` if it is not there yet.

    Raises NotRun with the reason why it cannot be had.
    """
    machine = f"opencode-{sys.platform}-{_MACHINES.get(platform.machine(), platform.machine())}"
    place = folder / f"opencode-{VERSION}"
    found = place / "node_modules" / machine / "bin" / "opencode"
    if not found.is_file():
        install(place, f"{PACKAGE}@{VERSION}")
    if not found.is_file():
        raise NotRun(f"{PACKAGE}@{VERSION} has no {machine}")
    return found


def install(place: Path, package: str) -> None:
    """Install an npm package into the folder `place`. Raises NotRun where that does not work."""
    if shutil.which("npm") is None:
        raise NotRun("no npm to install it with")
    place.mkdir(parents=True, exist_ok=True)
    (place / "package.json").write_text('{"private": true}\n', encoding="utf-8")
    command = [*_INSTALL, package]
    ended = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=600, check=False)
    if ended.returncode:
        said = [line for line in ended.stderr.splitlines() if line.startswith("npm error")]
        raise NotRun(f"npm install: {said[0].removeprefix('npm error ') if said else ended.returncode}")


def environment(home: Path, url: str) -> dict[str, str]:
    """The environment in which it uses the model server at `url` alone, remembers in `home`, and fetches nothing."""
    model = {"name": "bench", "npm": "@ai-sdk/openai-compatible", "models": {"test-model": {"name": "test-model"}}}
    options = {"baseURL": url, "apiKey": "sk-of-the-bench"}
    settings = {
        "provider": {"bench": {**model, "options": options}},
        "model": "bench/test-model",
        "small_model": "bench/test-model",
        "autoupdate": False,
        "share": "disabled",
    }
    fetches = ("MODELS_FETCH", "AUTOUPDATE", "LSP_DOWNLOAD", "DEFAULT_PLUGINS")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "OPENCODE_CONFIG_CONTENT": json.dumps(settings),
        **{f"OPENCODE_DISABLE_{name}": "1" for name in fetches},
    }
