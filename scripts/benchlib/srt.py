"""The peer that the `sandbox` case is held against: npm `@anthropic-ai/sandbox-runtime`, installed when asked for."""

import json
import shutil
from pathlib import Path
from statistics import median

from benchlib.opencode import NotRun, install
from benchlib.world import World

VERSION = "0.0.83"
PACKAGE = "@anthropic-ai/sandbox-runtime"
NOT_ASKED = "asked for with --with-srt"
TIMES = 10


def program(folder: Path) -> Path:
    """Its command, installed below `folder` if it is not there yet. Raises NotRun with the reason why it cannot be."""
    missing = [name for name in ("node", "bwrap", "socat", "rg") if shutil.which(name) is None]
    if missing:
        raise NotRun(f"it needs {', '.join(missing)}")
    place = folder / f"srt-{VERSION}"
    found = place / "node_modules" / PACKAGE / "dist" / "cli.js"
    if not found.is_file():
        install(place, f"{PACKAGE}@{VERSION}")
    return found


def milliseconds(world: World) -> float:
    """The median of `true` through its command line, which is how programs that are not Node.js call it."""
    if isinstance(world.srt, str):
        raise NotRun(world.srt)
    settings = world.folder / "srt-settings.json"
    rules = {"allowWrite": ["."], "denyRead": [], "denyWrite": []}
    network: dict[str, list[str]] = {"allowedDomains": [], "deniedDomains": []}
    settings.write_text(json.dumps({"network": network, "filesystem": rules}), encoding="utf-8")
    command = ["node", str(world.srt), "--settings", str(settings), "true"]
    with world.fresh(1) as place:
        samples = [place.run(command, cwd=place.repositories(1)[0]).seconds for _ in range(TIMES + 1)]
    return median(samples[1:]) * 1000
